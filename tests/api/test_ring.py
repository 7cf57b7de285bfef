"""`streamer.Ring` with workers in threads: videos that are taken whole, in part, and not at all."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import streamer
from streamer.api import ring as api_ring
from streamer.errors import RingError
from streamer.i420 import Pixels
from streamer.ring.ring import Ring
from tests.support.fakes import ThreadWorkers

COUNT = 30


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_ring, "ring_of", lambda *_, **__: Ring(lambda: ThreadWorkers(2)))


@pytest.fixture
async def unheard() -> AsyncIterator[list[dict[str, Any]]]:
    """What an event loop complains of, such as exceptions that nobody took."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: heard.append(told))
    yield heard


def frames(count: int = COUNT) -> Iterator[Pixels]:
    return (np.full((32, 48, 3), 4 * number, np.uint8) for number in range(count))


async def frames_of_a_loop() -> AsyncIterator[Pixels]:
    for one in frames():
        await asyncio.sleep(0)
        yield one


async def test_frames_come_in_order_of_async_generators_too() -> None:
    async with streamer.Ring() as ring:
        lines = [int(one[0, 0, 0]) async for one in ring.stylize_frames(frames())]
        again = [int(one[0, 0, 0]) async for one in ring.stylize_frames(frames_of_a_loop())]
    assert lines == again == sorted(lines)
    assert len(lines) == COUNT


@pytest.mark.parametrize("source", [frames, frames_of_a_loop])
async def test_a_video_may_be_left(source: Any, unheard: list[dict[str, Any]]) -> None:
    async with streamer.Ring() as ring:
        async for _ in ring.stylize_frames(source()):
            break
    gc.collect()
    await asyncio.sleep(0.1)
    assert unheard == []


async def test_who_still_iterates_hears_that_the_ring_is_closed(
    unheard: list[dict[str, Any]],
) -> None:
    async with streamer.Ring() as ring:
        rest = ring.stylize_frames(frames())
        await anext(rest)
    with pytest.raises(RingError, match="the ring is closed"):
        async for _ in rest:
            pass
    gc.collect()
    assert unheard == []


async def test_what_the_frames_raise_comes_out() -> None:
    def broken() -> Iterator[Pixels]:
        yield from frames(2)
        raise ValueError("no more film")

    async with streamer.Ring() as ring:
        with pytest.raises(ValueError, match="no more film"):
            async for _ in ring.stylize_frames(broken()):
                pass


@pytest.mark.parametrize("wrong", [{"backend": "foo"}, {"workers": 0}, {"threads": 0}])
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(streamer.errors.UsageError, match=next(iter(wrong))):
        streamer.Ring(**wrong)
    if "workers" not in wrong:
        with pytest.raises(streamer.errors.UsageError, match=next(iter(wrong))):
            streamer.Stylizer(**wrong)
