"""Sources of `streamer camera`: a file goes round, an address is tried until it is there."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import av
import pytest

from streamer.camera import source as camera_source
from streamer.camera.source import Address, CameraSource
from tests.support.clips import number_frame, read_number, timed_frame
from tests.support.waiting import eventually

FRAMES = 6


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"crf": "10", "bf": "0"})
        video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
        for n in range(FRAMES):
            out.mux(video.encode(timed_frame(number_frame(n, 128, 64), n * 3000)))
        out.mux(video.encode())
    return path


async def take(source: CameraSource, count: int) -> list[int | None]:
    """The numbers of the next frames."""
    numbers: list[int | None] = []
    async with asyncio.timeout(20):
        while len(numbers) < count and await source.frames.ready():
            frame = source.frames.take()
            numbers.append(read_number(frame.image.planes[0]))
    return numbers


async def test_a_file_is_played_over_and_over_at_its_own_speed(clip: Path) -> None:
    told: list[str] = []
    began = asyncio.get_running_loop().time()
    with contextlib.closing(CameraSource(Address(str(clip), paced=True), told.append)) as source:
        numbers = await take(source, 2 * FRAMES)
    assert 0 in numbers[1:], "it began anew"
    assert asyncio.get_running_loop().time() - began > (FRAMES - 2) / 30
    assert told == [], "the end of a file is nothing to tell of"


async def test_time_grows_whatever_the_source_says(clip: Path) -> None:
    with contextlib.closing(CameraSource(Address(str(clip), paced=True), print)) as source:
        pts = []
        for _ in range(2 * FRAMES):
            assert await source.frames.ready()
            pts.append(source.frames.take().pts)
    assert pts == sorted(set(pts))


async def test_an_address_that_is_away_is_tried_until_it_is_there_and_again_when_it_ends(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_source, "RETRY_S", (0.05,))
    told: list[str] = []
    later = tmp_path / "later.mp4"
    with contextlib.closing(CameraSource(Address(str(later)), told.append)) as source:
        await eventually(lambda: len(told) >= 2)
        assert "No such file" in told[0] and "trying again" in told[0]
        shutil.copy(clip, tmp_path / "part")
        (tmp_path / "part").rename(later)
        assert await take(source, 2)
        await eventually(lambda: any("it ended" in line for line in told))
        assert await take(source, 2), "opened again"


async def test_what_has_no_video_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with contextlib.closing(CameraSource(Address(str(path)), told.append)):
        await eventually(lambda: told)
    assert "Invalid data" in told[0]
