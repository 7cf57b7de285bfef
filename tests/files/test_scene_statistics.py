"""Statistics of a video: the same in every run, and after a resume."""

import asyncio
import random
from collections.abc import Iterable

import numpy as np
import pytest

from streamer.files.scene_statistics import LAG, SceneStatistics
from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Style, i420_size
from streamer.statistics import Measurement, Statistics

STYLE = Style((("mosaic", 0.5), ("wave", 0.5)))
WIDTH, HEIGHT = 64, 36


def frames(count: int, cuts: Iterable[int] = ()) -> list[Frame]:
    """25 a second; every cut shows other noise."""
    made, seed = [], 0
    for n in range(count):
        seed += n in set(cuts)
        data = np.random.default_rng(seed).integers(16, 235, i420_size(WIDTH, HEIGHT), np.uint8)
        made.append(Frame(Image(WIDTH, HEIGHT, data), n * 3600, VIDEO_TIME_BASE, 0.0))
    return made


def measured(frame: Frame) -> dict[str, Measurement]:
    """Something that tells frames and styles apart."""
    assert frame.orders is not None
    value, found = np.float32(frame.pts / 3600), {}
    for name in frame.orders.measure:
        own = Statistics(np.array([value]), np.array([value + len(name)], np.float32))
        found[name] = Measurement(own, own if name in frame.orders.exact else None, HEIGHT)
    return found


async def through(
    statistics: SceneStatistics, given: Iterable[Frame], in_ring: int, seed: int
) -> list[tuple[float, ...]]:
    """What each frame uses, by a ring of any speed that answers in any order."""
    order, ring, used = random.Random(seed), list[Frame](), list[tuple[float, ...]]()

    async def answer() -> None:
        while True:
            await asyncio.sleep(0)
            if ring:
                done = ring.pop(order.randrange(len(ring)))
                object.__setattr__(done, "measured", measured(done))
                statistics.on_stylized(done, 0.0)

    answering = asyncio.create_task(answer())
    for frame in given:
        while len(ring) >= in_ring:
            await asyncio.sleep(0)
        await statistics.settle(frame.pts_s)
        sent = statistics.apply(frame)
        assert sent.orders is not None
        known = sent.orders.known
        used.append(tuple(float(known[name].mean[0]) for name in sorted(known)))
        ring.append(sent)
    answering.cancel()
    return used


async def test_every_run_uses_the_same_whatever_the_ring_does() -> None:
    given = frames(120, cuts=(50,))
    runs = [
        await through(SceneStatistics(STYLE, 40), given, in_ring, seed)
        for in_ring, seed in ((1, 0), (4, 1), (16, 2))
    ]
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][0] == () and runs[0][1] == (0.0, 0.0)  # exact from the second frame on
    assert runs[0][50] == () and runs[0][51] == (50.0, 50.0)  # and anew after a cut
    assert 0 < runs[0][45][0] < 45  # it follows in between


@pytest.mark.parametrize("cut", [39, 40, 55])
async def test_a_resumed_run_uses_what_the_uninterrupted_one_does(cut: int) -> None:
    given = frames(100, cuts=(cut,))
    whole = SceneStatistics(STYLE, 40)
    expected = await through(whole, given, 8, 3)
    state = whole.state_after(given[39].pts)
    resumed = SceneStatistics(STYLE, 40, state)
    assert await through(resumed, given[40:], 3, 4) == expected[40:]


async def test_a_measurement_waits_for_its_turn_only() -> None:
    statistics, given = SceneStatistics(STYLE, 1000), frames(LAG + 40)
    first = statistics.apply(given[0])
    object.__setattr__(first, "measured", measured(first))
    waiting = asyncio.create_task(statistics.settle(given[1].pts_s))
    await asyncio.sleep(0)
    assert not waiting.done()  # a scene's first frame is waited for
    statistics.on_stylized(first, 0.0)
    await waiting
    asked = None
    for n in range(1, LAG + 40):
        if asked is not None and n == asked + LAG:
            break
        await asyncio.wait_for(statistics.settle(given[n].pts_s), 1)
        orders = statistics.apply(given[n]).orders
        assert orders is not None
        asked = n if orders.measure and asked is None else asked
    assert asked is not None


def test_without_a_network_nothing_is_measured() -> None:
    frame = frames(1)[0]
    assert SceneStatistics(Style(), 40).apply(frame) is frame
