"""A video as source and sink: bounded, overlapping, failing where it is waited for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamer.errors import MediaError
from streamer.files.decode import DecodedFrame
from streamer.files.source_sink import FileSink, FileSource, depth_of
from streamer.frame import Image, Style, i420_size
from streamer.pipeline import run as pipeline
from streamer.ring.ring import Ring
from tests.support.fakes import ThreadWorkers, numbered
from tests.support.waiting import eventually

BASE = Fraction(1, 25)


def picture(number: int) -> DecodedFrame:
    return DecodedFrame(
        Image(32, 16, np.full(i420_size(32, 16), number % 256, np.uint8)), number, 1
    )


class VideoInfo:
    """Pictures that count how many were asked for, and can fail or take their time."""

    def __init__(self, length: int, fails_at: int = -1, takes_s: float = 0.0) -> None:
        self.decoded = 0
        self._length, self._fails_at, self._takes_s = length, fails_at, takes_s

    def __iter__(self) -> Iterator[DecodedFrame]:
        for number in range(self._length):
            if number == self._fails_at:
                raise MediaError("a bad video")
            time.sleep(self._takes_s)
            self.decoded += 1
            yield picture(number)


async def stays(number: Callable[[], int], expected: int) -> None:
    """It gets there, and no further."""
    await eventually(lambda: number() >= expected)
    await asyncio.sleep(0.05)
    assert number() == expected


async def drain(source: FileSource) -> list[int]:
    taken = []
    while await source.ready():
        taken.append(source.take().pts)
    return taken


async def test_every_picture_becomes_a_frame_with_its_place_and_style() -> None:
    style = Style((("mosaic", 1.0),), 0.5)
    source = FileSource([picture(3)], BASE, style, height_px=90)
    assert await source.ready()
    frame = source.take()
    assert (frame.pts, frame.duration, frame.time_base) == (3, 1, BASE)
    assert (frame.style, frame.height_px) == (style, 90)
    assert not await source.ready()


async def test_decoding_stops_when_nobody_takes() -> None:
    video = VideoInfo(100)
    source = FileSource(video, BASE, Style(), depth=4)
    await stays(lambda: video.decoded, 5)  # four wait, the fifth waits for room
    for _ in range(3):
        assert await source.ready()
        source.take()
    await stays(lambda: video.decoded, 8)
    assert await drain(source) == list(range(3, 100))


async def test_a_video_that_breaks_gives_what_came_before_and_then_says_so() -> None:
    source = FileSource(VideoInfo(10, fails_at=3), BASE, Style())
    with pytest.raises(MediaError, match="a bad video"):
        await drain(source)
    assert source.take is not None


async def test_closing_a_source_ends_its_thread_though_frames_wait() -> None:
    source = FileSource(VideoInfo(1000), BASE, Style(), depth=2)
    await source.ready()
    await source.close()
    assert not [t for t in threading.enumerate() if t.name == "decode"]


async def test_a_sink_takes_no_more_than_fits_and_keeps_the_order() -> None:
    gate, written = threading.Event(), []

    def write(image: Image, pts: int, duration: int) -> None:
        gate.wait(5)
        written.append(pts)

    sink = FileSink(write, depth=3)
    sent = 0

    async def feed() -> None:
        nonlocal sent
        for number in range(50):
            await sink.send(numbered(number, pts=number))
            sent += 1

    feeding = asyncio.create_task(feed())
    await eventually(lambda: sent >= 3)
    await asyncio.sleep(0.05)
    assert sent in (3, 4)  # three wait, one may be at the encoder
    gate.set()
    await feeding
    await sink.finish()
    assert written == list(range(50)) and sink.written == 50


async def test_a_sink_that_cannot_write_fails_whoever_sends() -> None:
    def write(image: Image, pts: int, duration: int) -> None:
        raise MediaError("the disk is full")

    sink = FileSink(write, depth=2)
    with pytest.raises(MediaError, match="the disk is full"):
        for number in range(20):
            await sink.send(numbered(number))
            await asyncio.sleep(0.01)
    with pytest.raises(MediaError, match="the disk is full"):
        await sink.finish()
    await sink.close()


async def test_decoding_stylizing_and_encoding_overlap() -> None:
    """Ten times, all three have to be at work at once to get past the barrier."""
    together = threading.Barrier(3, timeout=30)

    def decoded() -> Iterator[DecodedFrame]:
        for number in range(12):
            if number >= 2:
                together.wait()
            yield picture(number)

    def stylize(image: Image) -> Image:
        if 1 <= image.data[0] <= 10:
            together.wait()
        return image

    def write(image: Image, pts: int, duration: int) -> None:
        if pts <= 9:
            together.wait()

    source, sink = FileSource(decoded(), BASE, Style()), FileSink(write)
    async with Ring(lambda: ThreadWorkers(1, stylize)) as ring:
        await pipeline.run(source, ring.open(live=False), sink)
        await sink.finish()
    assert sink.written == 12


@pytest.mark.parametrize("size", [(64, 32), (1920, 1080), (7680, 4320), (16000, 8000)])
def test_waiting_frames_are_bounded_in_memory(size: tuple[int, int]) -> None:
    depth = depth_of(*size)
    assert 2 <= depth <= 16
    assert depth == 2 or depth * i420_size(*size) <= 64 << 20
