"""GStreamer's webrtcbin (libnice, its own DTLS) publishes to us, and watches."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from tests.support.served import served_with
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

PYTHON = "/usr/bin/python3"  # of the system, which has the bindings
CLIENT = Path(__file__).parents[1] / "support" / "gst_client.py"
NEEDED = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstWebRTC', '1.0')"


@pytest.fixture(scope="module", autouse=True)
def bindings() -> None:
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", NEEDED], check=False).returncode:
        pytest.skip("GStreamer's webrtcbin with its Python bindings is not here (make gstreamer)")


@contextlib.contextmanager
def client(way: str, url: str, codec: str) -> Iterator[IO[str]]:
    """A running client; what it prints."""
    command = [PYTHON, str(CLIENT), way, url, codec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_with("--backend", "none") as served:
        served.wait_until("/readyz", 60)
        yield served.url


@pytest.mark.parametrize("codec", ["H264", "VP9"])
def test_webrtcbin_publishes(url: str, codec: str) -> None:
    with client("publish", f"{url}/whip/{codec}", codec):
        eventually_sync(lambda: in_fps(url, codec) > 5)


def test_webrtcbin_watches_what_it_publishes(url: str) -> None:
    with client("publish", f"{url}/whip/VP8", "VP8"):
        eventually_sync(lambda: in_fps(url, "VP8") > 5)
        with client("watch", f"{url}/whep/VP8", "VP8") as said:
            told = [json.loads(next(said)) for _ in range(10)]
    assert told[-1].get("frames", 0) > 20, told


def in_fps(url: str, name: str) -> float:
    streams = httpx.get(f"{url}/streams").json()
    assert streams.get(name, {}).get("codec", name) == name
    return float(streams.get(name, {}).get("in_fps", 0))
