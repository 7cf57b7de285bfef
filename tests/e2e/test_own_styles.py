"""Styles of one's own, added or sent to a server, in a photo, a film and a live stream."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.frame import Image
from tests.support.clips import read_number
from tests.support.networks import negative_network
from tests.support.pictures import smooth_rgb
from tests.support.rtc_client import RtcClient
from tests.support.served import answers, ask, connected, served_with
from tests.support.video_clips import Clip, luma, write_clip
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

READY_S = 90.0


def streamer(*words: object) -> str:
    command = [sys.executable, "-m", "streamer", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def own(tmp_path: Path, data_dir: Path) -> None:
    """Two styles: `negative` from a network, `painting` from a picture."""
    picture = tmp_path / "painting.png"
    Pillow.fromarray(smooth_rgb(300, 200, seed=9)).save(picture)
    assert streamer("styles", "add", picture) == "painting is here\n"
    assert streamer("styles", "add", negative_network(tmp_path / "negative.onnx")) == (
        "negative is here\n"
    )


def negative_number(plane: np.ndarray) -> int | None:
    """The number of a frame that was turned into its negative."""
    return read_number(np.asarray(251 - plane.astype(int)).clip(0, 255).astype(np.uint8))


async def test_photos_and_live_streams_are_painted_in_added_styles() -> None:
    with served_with("--backend", "onnx", "--height", "180", "--workers", "1") as server:
        server.wait_until("/readyz", READY_S)
        listed = [entry["name"] for entry in httpx.get(server.url + "/styles").json()["styles"]]
        assert listed[-2:] == ["painting", "negative"]
        rgb = smooth_rgb(90, 61)
        photos = {style: photo_in(server.url, style) for style in ("painting", "negative")}
        assert all(photo.shape == rgb.shape for photo in photos.values())
        assert np.abs(photos["negative"] - (255 - rgb)).mean() < 8
        assert np.abs(photos["painting"] - rgb).mean() > 15
        async with connected(server, RtcClient(320, 180, fps=8)) as client:
            ask(client, 1, style="negative")
            await eventually(lambda: 1 in answers(client))
            assert "applied" in answers(client)[1]
            await eventually(lambda: client.images and negative_number(client.images[-1].planes[0]))
            assert read_number(client.images[-1].planes[0]) is None


def test_films_are_painted_in_added_styles(tmp_path: Path) -> None:
    clip = Clip(pts=tuple(range(0, 12 * 512, 512)))
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    streamer("file", source, "-o", target, "--style", "negative", "--workers", 1)
    with av.open(str(target)) as film:
        numbers = [negative_number(luma(frame)) for frame in film.decode(video=0)]
    assert numbers == list(range(12))


async def test_a_painting_sent_to_a_server_that_runs_is_painted_at_once(tmp_path: Path) -> None:
    with served_with("--backend", "onnx", "--height", "180", "--workers", "2") as server:
        server.wait_until("/readyz", READY_S)
        async with connected(server, RtcClient(320, 180, fps=8)) as client:
            ask(client, 1, style="none")
            await eventually(lambda: client.images and read_number(client.images[-1].planes[0]))
            assert yellowness(client.images[-1]) < 20
            answer = await asyncio.to_thread(send, server.url, painting())
            assert answer.status_code == 201, answer.text
            assert answer.json()["name"] == "painting-2", "painting is there already"
            styles = httpx.get(server.url + "/styles").json()["styles"]
            assert styles[-1] == answer.json()

            ask(client, 2, style="painting-2")
            await eventually(lambda: 2 in answers(client))
            assert "applied" in answers(client)[2]
            await eventually(lambda: yellowness(client.images[-1]) > 40)
        photos = [photo_in(server.url, style) for style in ("painting", "painting-2", "none")]
        assert np.abs(photos[1] - photos[2]).mean() > 15
        assert np.abs(photos[1] - photos[0]).mean() > 5, "another painting"
    assert "painting-2" in streamer("styles", "list")


def yellowness(image: Image) -> float:
    """How far the picture as a whole is from grey, away from blue."""
    return 128 - float(image.planes[1].mean())


def painting() -> bytes:
    """Yellow and red stripes."""
    rows, columns = np.mgrid[:200, :300]
    bright = ((rows + columns) // 12 % 2)[..., None]
    file, pixels = io.BytesIO(), bright * (250, 210, 20) + (1 - bright) * (180, 10, 10)
    Pillow.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def send(url: str, content: bytes) -> httpx.Response:
    files = {"image": ("painting.png", content, "image/png")}
    return httpx.post(url + "/styles", files=files, timeout=READY_S)


def photo_in(url: str, style: str) -> np.ndarray:
    jpeg = io.BytesIO()
    Pillow.fromarray(smooth_rgb(90, 61)).save(jpeg, "JPEG", quality=95)
    upload = {"image": ("photo.jpg", jpeg.getvalue(), "image/jpeg")}
    answer = httpx.post(f"{url}/stylize/{style}", files=upload, timeout=READY_S)
    assert answer.status_code == 200, answer.text
    return np.asarray(Pillow.open(io.BytesIO(answer.content))).astype(int)
