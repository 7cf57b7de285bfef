"""Chromium as a WHIP client that offers one codec only, of an encoder and packetizer of its own."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Playwright

from tests.support.browser import Server, launch, page_at, server_with
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

PUBLISH = """
    async ([mimeType, fmtp, name, sendEncodings]) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [320, 180];
      const context = canvas.getContext('2d');
      setInterval(() => {
        context.fillStyle = `hsl(${performance.now() / 20 % 360} 80% 50%)`;
        context.fillRect(0, 0, 320, 180);
      }, 50);
      const pc = window.pc = new RTCPeerConnection();
      const [track] = canvas.captureStream(20).getTracks();
      const transceiver = pc.addTransceiver(track, {direction: 'sendonly', sendEncodings});
      const codecs = RTCRtpSender.getCapabilities('video').codecs.filter((codec) =>
        codec.mimeType === mimeType && (codec.sdpFmtpLine ?? '').includes(fmtp));
      if (!codecs.length) return 'not offered here';
      transceiver.setCodecPreferences(codecs);
      await pc.setLocalDescription();
      const body = pc.localDescription.sdp;
      const headers = {'Content-Type': 'application/sdp'};
      const answer = await fetch(`/whip/${name}`, {method: 'POST', body, headers});
      if (answer.status !== 201) return `${answer.status} ${await answer.text()}`;
      await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
      return '';
    }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--backend", "none", "--workers", "1")
    with server_with(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright) as browser:
        yield browser


@pytest.mark.parametrize(
    ("mime_type", "fmtp"),
    [
        ("video/VP8", ""),
        ("video/VP9", "profile-id=0"),
        ("video/AV1", "profile=0"),
        ("video/H264", "packetization-mode=0;profile-level-id=42001f"),
        ("video/H264", "packetization-mode=1;profile-level-id=4d001f"),
    ],
)
def test_a_publisher_of_one_codec_is_seen(
    server: Server, browser: Browser, mime_type: str, fmtp: str
) -> None:
    name = f"{mime_type[6:]}{len(fmtp)}{fmtp[-6:].replace('=', '')}"
    with page_at(browser, server.url) as page:
        assert page.evaluate(PUBLISH, [mime_type, fmtp, name, [{}]]) == ""
        eventually_sync(lambda: streams(server).get(name, {}).get("in_fps", 0) > 10)
        assert streams(server)[name]["codec"] == mime_type[6:]
        assert httpx.get(f"{server.url}/streams/{name}.jpg").status_code == 200
        page.evaluate("pc.close()")
    eventually_sync(lambda: name not in streams(server))


@pytest.mark.parametrize(
    ("mime_type", "fmtp", "layers"),
    [
        ("video/VP8", "", [{"rid": "h"}, {"rid": "l", "scaleResolutionDownBy": 2}]),
        ("video/VP8", "", [{"scalabilityMode": "L1T3"}]),
        ("video/VP9", "profile-id=0", [{"scalabilityMode": "L1T3"}]),
        ("video/VP9", "profile-id=0", [{"scalabilityMode": "L3T3_KEY"}]),
        ("video/AV1", "profile=0", [{"scalabilityMode": "L1T2"}]),
    ],
    ids=["simulcast", "vp8 temporal", "vp9 temporal", "vp9 spatial", "av1 temporal"],
)
def test_a_publisher_of_several_layers_is_seen(
    server: Server, browser: Browser, mime_type: str, fmtp: str, layers: list[dict[str, object]]
) -> None:
    """All layers of one stream are taken; of several streams, the first one alone is sent."""
    name = "layers"
    with page_at(browser, server.url) as page:
        assert page.evaluate(PUBLISH, [mime_type, fmtp, name, layers]) == ""
        eventually_sync(lambda: streams(server).get(name, {}).get("in_fps", 0) > 10)
        told = streams(server)[name]
        assert (told["width"], told["height"]) == (320, 180)
        assert told["decode_errors"] == 0
        page.evaluate("pc.close()")
    eventually_sync(lambda: name not in streams(server))


def streams(server: Server) -> dict[str, dict[str, Any]]:
    """By name."""
    return {str(stream["name"]): stream for stream in server.streams().values()}
