"""Frames a second of a ring, with workers in threads that take a known time."""

import time

import pytest

from streamer.diagnostics import measure
from streamer.errors import StylizeError
from streamer.frame import Image, Style
from streamer.ring.ring import Ring
from streamer.webrtc.jitter_buffer import EncodedFrame
from tests.support.fakes import ThreadWorkers


def slow(image: Image) -> Image:
    time.sleep(0.05)
    return image


async def test_two_workers_of_50_ms_are_measured_as_such() -> None:
    async with Ring(lambda: ThreadWorkers(2, slow)) as ring:
        found = await measure.speed(ring, Style(), 90, seconds=0.5, size=(160, 90))
        again = await measure.speed(ring, Style(), 90, seconds=0.5, size=(160, 90))
    for one in (found, again):
        assert 2 < one.fps <= 41  # 40 where nobody else wants the cores
        assert one.service_s >= 0.05


def refuse(image: Image) -> Image:
    raise ValueError("no such style")


async def test_a_ring_that_fails_is_an_error_and_no_number() -> None:
    async with Ring(lambda: ThreadWorkers(1, refuse)) as ring:
        with pytest.raises(StylizeError, match="no such style"):
            await measure.speed(ring, Style(), 90, size=(160, 90))


def test_coding_takes_time_and_larger_pictures_take_more() -> None:
    small, large = (measure.coding_s("VP8", *size) for size in ((160, 90), (1280, 720)))
    assert 0 < small < large


async def test_a_live_stream_and_a_file_go_all_the_way() -> None:
    """A stream shows no more than the camera gives; neither goes faster than its workers."""
    async with Ring(lambda: ThreadWorkers(1, slow)) as ring:
        live = await measure.live_fps(ring, Style(), 90, seconds=1.5)
        file = await measure.file_fps(ring, Style(), 90, seconds=0.5)
    assert 0 < live <= 22 and 0 < file <= 22  # 20 where nobody else wants the cores
    async with Ring(lambda: ThreadWorkers(2, lambda image: image)) as ring:
        assert await measure.live_fps(ring, Style(), 90, fps=5, seconds=1.0) <= 6


async def test_a_live_stream_that_cannot_be_stylized_is_an_error() -> None:
    async with Ring(lambda: ThreadWorkers(1, refuse)) as ring:
        with pytest.raises(StylizeError, match="no such style"):
            await measure.live_fps(ring, Style(), 90, seconds=0.5)


def test_the_load_of_the_machine_is_a_share() -> None:
    assert 0 <= measure.others_load() <= 1


async def test_the_time_to_make_the_video_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = measure.encoded()

    def slowly() -> list[EncodedFrame]:
        time.sleep(2.0)
        return coded

    monkeypatch.setattr(measure, "encoded", slowly)
    async with Ring(lambda: ThreadWorkers(1, lambda image: image)) as ring:
        assert await measure.live_fps(ring, Style(), 90, fps=10, seconds=1.0) > 4
