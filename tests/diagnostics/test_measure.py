"""Frames a second of a ring, with workers in threads that take a known time."""

import time

import pytest

from streamer.diagnostics import measure
from streamer.diagnostics.measure import live_fps
from streamer.errors import StylizeError
from streamer.frame import Image, Style
from streamer.ring.ring import Ring
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


def test_decoding_and_encoding_take_their_share_of_the_same_cores() -> None:
    assert live_fps(20, 0.0, cores=2, on_gpu=False) == 20
    assert live_fps(20, 0.1, cores=2, on_gpu=False) == pytest.approx(10)
    assert live_fps(200, 0.02, cores=2, on_gpu=True) == 100
    assert live_fps(50, 0.02, cores=2, on_gpu=True) == 50
