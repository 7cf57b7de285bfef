"""Source to sink through a real ring with workers in threads."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from streamer.errors import RingError
from streamer.frame import Frame, Image, Style
from streamer.pipeline import run as pipeline
from streamer.pipeline.intake import Intake
from streamer.pipeline.stats import Stats
from streamer.ring import ring
from streamer.ring.ring import Ring
from tests.support.fakes import Killed, ListSink, ListSource, ThreadWorkers, numbered


class Erratic:
    """Takes a random time, and dies now and then, of frame 40 for certain, of none twice."""

    def __init__(self, seed: int, deaths: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._deaths = deaths
        self._died_of: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, image: Image) -> Image:
        number = int(image.data[0])
        with self._lock:
            pause, fate = self._random.uniform(0, 0.02), self._random.random()
            dies = fate < self._deaths or (self._deaths > 0 and number == 40)
            dies = dies and number not in self._died_of
            self._died_of |= {number} if dies else set()
        time.sleep(pause)
        if dies:
            raise Killed
        return image


@pytest.mark.parametrize("seed", range(3))
async def test_file_frames_come_out_whole_and_in_order(seed: int) -> None:
    sink = ListSink()
    async with Ring(lambda: ThreadWorkers(4, Erratic(seed, deaths=0.05))) as four:
        await pipeline.run(ListSource(80), four.open(live=False), sink)
    assert sink.numbers == list(range(80))


@pytest.mark.parametrize("seed", range(3))
async def test_live_frames_come_out_in_order_whatever_dies(seed: int) -> None:
    sink, stats = ListSink(), Stats()
    async with Ring(lambda: ThreadWorkers(4, Erratic(seed, deaths=0.05))) as four:
        flow = four.open(live=True)
        await pipeline.run(ListSource(80, 0.005), flow, sink, stats=stats)
    assert sink.numbers == sorted(set(sink.numbers))
    assert len(sink.numbers) + sum(stats.dropped.values()) == 80
    assert stats.dropped["lost"] == flow.lost > 0


async def test_live_a_stall_stops_the_stream_no_longer_than_the_reorder_buffer_waits() -> None:
    gate = threading.Event()

    def stall(image: Image) -> Image:
        if image.data[0] == 20:
            gate.wait(5)
        time.sleep(0.005)
        return image

    sink, stats = ListSink(), Stats()
    async with Ring(lambda: ThreadWorkers(2, stall)) as two:
        await pipeline.run(ListSource(60, 0.02), two.open(live=True), sink, stats=stats)
        gate.set()
    gaps = [b - a for a, b in zip(sink.times, sink.times[1:], strict=False)]
    assert max(gaps) < 0.5
    assert sink.numbers == sorted(set(sink.numbers))
    assert set(range(60)) - set(sink.numbers) == {20}
    assert stats.dropped["skipped"] == 1


async def test_overload_costs_frames_and_never_latency() -> None:
    """A camera three times as fast as the ring, through a real intake."""

    def slow(image: Image) -> Image:
        time.sleep(0.030)
        return image

    intake = Intake[Frame]()
    sink, stats = ListSink(), Stats()
    async with Ring(lambda: ThreadWorkers(1, slow)) as one:
        run = asyncio.create_task(pipeline.run(intake, one.open(live=True), sink, stats=stats))
        for number in range(200):
            intake.put(numbered(number))
            await asyncio.sleep(0.010)
        intake.close()
        await run
    assert sink.numbers == sorted(set(sink.numbers))
    assert intake.dropped > 100
    assert len(sink.numbers) > 40
    assert stats.latency.quantile(0.95) < 0.5  # frames that queued up would be 4 s late


async def test_a_frame_past_its_deadline_is_dropped_and_counted() -> None:
    class Old(ListSource):
        def take(self) -> Frame:
            frame = super().take()
            late = frame.image.data[0] % 2
            return replace(frame, captured_at=frame.captured_at - 5.0 * late)

    sink, stats = ListSink(), Stats()
    async with Ring(lambda: ThreadWorkers(1)) as one:
        source = Old(20, 0.005)
        await pipeline.run(source, one.open(live=True), sink, stats=stats, deadline_s=1.0)
    assert sink.numbers == list(range(0, 20, 2))
    assert stats.dropped["deadline"] == 10


async def test_a_file_knows_no_deadline() -> None:
    sink = ListSink()
    async with Ring(lambda: ThreadWorkers(1)) as one:
        await pipeline.run(ListSource(5), one.open(live=False), sink, deadline_s=0.0)
    assert len(sink.frames) == 5


async def test_the_style_is_given_when_the_ring_takes_the_frame() -> None:
    names: Iterator[int] = iter(range(100))
    heard: list[tuple[int, str]] = []

    def apply_style(frame: Frame) -> Frame:
        return replace(frame, style=Style(((str(next(names)), 1.0),)))

    def on_delivered(seq: int, frame: Frame) -> None:
        heard.append((seq, frame.style.blend[0][0]))

    async with Ring(lambda: ThreadWorkers(2)) as two:
        flow = two.open(live=False)
        await pipeline.run(
            ListSource(10), flow, ListSink(), apply_style=apply_style, on_delivered=on_delivered
        )
    assert heard == [(seq, str(seq)) for seq in range(10)]


async def test_while_one_frame_is_waited_for_no_other_is_taken() -> None:
    taken, came_back, at_once = 0, 0, list[int]()

    def apply_style(frame: Frame) -> Frame:
        nonlocal taken
        taken += 1
        at_once.append(taken - came_back)
        return frame

    def on_stylized(frame: Frame, now: float) -> bool:
        nonlocal came_back
        came_back += 1
        return True

    async with Ring(lambda: ThreadWorkers(4, Erratic(0))) as four:
        sink = ListSink()
        await pipeline.run(
            ListSource(12),
            four.open(live=True),
            sink,
            waits=lambda now: taken > came_back and taken < 8,
            apply_style=apply_style,
            on_stylized=on_stylized,
        )
    assert len(sink.frames) == came_back == 12
    assert max(at_once[:8]) == 1 < max(at_once)


async def test_every_stage_is_measured() -> None:
    stats = Stats()
    async with Ring(lambda: ThreadWorkers(1)) as one:
        await pipeline.run(ListSource(10), one.open(live=True), ListSink(), stats=stats)
    for stage in ("wait", "transfer", "inference", "reorder", "pace"):
        assert len(stats.stages[stage]) == 10
    total = sum(stats.stages[stage].quantile(0.5) for stage in stats.stages)
    assert total == pytest.approx(stats.latency.quantile(0.5), abs=0.02)


async def test_what_the_sink_raises_ends_the_run() -> None:
    class Full:
        async def send(self, frame: Frame) -> None:
            raise OSError("disk full")

    async with Ring(lambda: ThreadWorkers(1)) as one:
        with pytest.raises(ExceptionGroup) as caught:
            await pipeline.run(ListSource(5), one.open(live=False), Full())
    assert caught.group_contains(OSError, match="disk full")


async def test_a_ring_that_closes_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "MAX_TRIES", 1)

    def die(image: Image) -> Image:
        raise Killed

    async with Ring(lambda: ThreadWorkers(1, die)) as one:
        with pytest.raises(ExceptionGroup) as caught:
            await pipeline.run(ListSource(5), one.open(live=False), ListSink())
    assert caught.group_contains(RingError)


async def test_a_frame_that_does_not_fit_its_scene_is_not_shown_and_holds_nothing_up() -> None:
    stats = Stats()
    async with Ring(lambda: ThreadWorkers(4, Erratic(0))) as four:
        sink = ListSink()
        flow, unfit = four.open(live=True), {1, 2, 7}
        shown = lambda frame, now: frame.pts // 3000 not in unfit  # noqa: E731
        await pipeline.run(ListSource(12), flow, sink, stats=stats, on_stylized=shown)
    assert [frame.pts // 3000 for frame in sink.frames] == [n for n in range(12) if n not in unfit]
    assert stats.dropped["skipped"] == 3
