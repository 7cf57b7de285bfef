"""OBS's way: publishers by WHIP, viewers by WHEP, through a running `streamer serve`.

The publisher is FFmpeg's own WHIP muxer, WebRTC stack and all; the viewers are aiortc's.
"""

import contextlib
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image as Picture

from tests.support.clips import read_number
from tests.support.ffmpeg_publisher import HEIGHT, WIDTH
from tests.support.http_world import OFFER, SDP
from tests.support.rtc_client import RtcClient
from tests.support.served import FPS, Served, publishing, streams
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

READY_S = 90.0


async def all_see(clients: list[RtcClient], more: int) -> None:
    """Until every client has seen `more` further frames."""
    enough = [len(client.arrivals) + more for client in clients]
    await eventually(lambda: all(len(c.arrivals) > n for c, n in zip(clients, enough, strict=True)))


def encoders(server: Served) -> dict[str, dict[str, Any]]:
    found: dict[str, Any] = httpx.get(server.url + "/stats").json()["viewers"].get("cam", {})
    return found


def viewer(**options: Any) -> RtcClient:
    return RtcClient(WIDTH, HEIGHT, video="recvonly", channel=False, **options)


@contextlib.asynccontextmanager
async def watching(server: Served, client: RtcClient) -> AsyncIterator[RtcClient]:
    """`client`, watching `cam`."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await http.post("/whep/cam", content=await client.offer(), headers=SDP)
        assert answer.status_code == 201, answer.text
        try:
            await client.accept(answer.text, 30)
            yield client
        finally:
            assert (await http.delete(answer.headers["Location"])).status_code in (200, 404)
            await client.close()


@pytest.mark.parametrize(
    ("kind", "flags"),
    [("rsa", {}), ("ec", {"whip_flags": "dtls_active"}), ("ec", {"profile": "high"})],
    ids=["passive with RSA", "active with EC", "High profile"],
)
async def test_ffmpeg_publishes_and_is_seen_and_heard(
    served: Served, tmp_path: Path, kind: str, flags: dict[str, str]
) -> None:
    served.wait_until("/readyz", READY_S)
    client = viewer(audio="recvonly")
    with publishing(served, tmp_path, kind=kind, **flags):
        async with watching(served, client):
            await eventually(lambda: len(client.numbers()) >= 20 and len(client.loudness) > 20)
            loud = [rms for _, rms in client.loudness[-10:]]
    numbers = client.numbers()
    assert numbers == sorted(set(numbers)), "in order, none twice"
    assert min(loud) > 1000, "the tone"
    assert streams(served) == {}, "FFmpeg hangs up when it ends"


@pytest.mark.parametrize("served", [("--max-viewers", "21")], indirect=True)
async def test_one_encoder_serves_twenty_viewers(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.wait_until("/readyz", READY_S)
    process = psutil.Process(served.process.pid)
    report = []
    with publishing(served, tmp_path):
        for count in (1, 5, 20):
            first_s, began = [], time.monotonic()
            async with contextlib.AsyncExitStack() as stack:
                clients = [viewer() for _ in range(count)]
                for client in clients:
                    asked_at = time.monotonic()
                    await stack.enter_async_context(watching(served, client))
                    await eventually(lambda: client.arrivals)  # noqa: B023
                    first_s.append(client.arrivals[0].at - asked_at)
                process.cpu_percent()
                await all_see(clients, 20)
                cpu = process.cpu_percent()
                made = encoders(served)
                assert made.keys() == {"H264"}
                assert made["H264"]["viewers"] == count
                assert made["H264"]["frames"] <= (time.monotonic() - began + 1) * FPS, "once each"
                report.append(
                    f"{count:2} viewers: first picture {max(first_s):.2f} s at most,"
                    f" {cpu:.0f} % CPU, {made['H264']}"
                )
            for client in clients:
                assert client.numbers() == sorted(set(client.numbers()))
            await eventually(lambda: encoders(served) == {}, 10)
    with capsys.disabled():
        print("", *report, sep="\n")


async def test_viewers_outlive_a_publisher_and_go_when_nobody_comes_back(
    served: Served, tmp_path: Path
) -> None:
    served.wait_until("/readyz", READY_S)
    client = viewer(audio="recvonly")
    async with contextlib.AsyncExitStack() as stack:
        with publishing(served, tmp_path):
            await stack.enter_async_context(watching(served, client))
            await eventually(lambda: len(client.numbers()) > 10)
        before = client.numbers()[-1]
        with publishing(served, tmp_path):  # counts from 0 again
            await eventually(lambda: client.numbers()[-1] < before)
            await eventually(lambda: len(client.numbers()) > 30)
            heard = len(client.loudness)
            await eventually(lambda: len(client.loudness) > heard + 20)
        pts = [arrival.pts for arrival in client.arrivals]
        assert pts == sorted(pts), "time goes on"
        await eventually(lambda: encoders(served) == {}, 40)
    nobody = httpx.post(served.url + "/whep/cam", content=OFFER, headers=SDP)
    assert nobody.status_code == 409
    assert int(nobody.headers["retry-after"]) > 0


async def test_a_viewer_that_is_lost_leaves_nothing(served: Served, tmp_path: Path) -> None:
    served.wait_until("/readyz", READY_S)
    with publishing(served, tmp_path):
        client = viewer()
        async with httpx.AsyncClient(base_url=served.url) as http:
            answer = await http.post("/whep/cam", content=await client.offer(), headers=SDP)
            await client.accept(answer.text)
            await eventually(lambda: client.arrivals)
            await client.close()
            await eventually(lambda: encoders(served) == {}, 60)
            assert (await http.delete(answer.headers["Location"])).status_code == 404


async def test_programs_get_pictures_and_change_the_look(served: Served, tmp_path: Path) -> None:
    served.wait_until("/readyz", READY_S)
    with publishing(served, tmp_path):
        async with httpx.AsyncClient(base_url=served.url, timeout=20) as http:
            picture = await http.get("/streams/cam.jpg")
            assert number_in(picture.content) is not None
            shown = (await http.patch("/streams/cam", json={"strength": 0.25})).json()
            assert shown["strength"] == 0.25
            assert (await http.patch("/streams/cam", json={"style": "nope"})).status_code == 404
            async with http.stream("GET", "/streams/cam.mjpeg") as response:
                assert response.headers["content-type"].startswith("multipart/x-mixed-replace")
                seen = b""
                async for chunk in response.aiter_bytes():
                    seen += chunk
                    if seen.count(b"--frame") > 8:
                        break
            jpegs = [part.partition(b"\r\n\r\n")[2] for part in seen.split(b"--frame\r\n")[1:-1]]
            numbers = [number_in(jpeg) for jpeg in jpegs]
            assert len(set(numbers)) == len(numbers) > 5
            assert (await http.get("/streams/other.jpg")).status_code == 404


def number_in(jpeg: bytes) -> int | None:
    with Picture.open(io.BytesIO(jpeg)) as picture:
        return read_number(np.asarray(picture.convert("L")))
