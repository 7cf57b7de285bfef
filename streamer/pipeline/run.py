"""source → **ring → reorder → pacer** → sink.

Carries the frames of one stream, as two tasks: one feeds the ring, one delivers what comes out.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from streamer.frame import Frame, Sink, Source
from streamer.pipeline.pacer import Pacer
from streamer.pipeline.reorder import ReorderBuffer
from streamer.pipeline.smoother import Smoother
from streamer.pipeline.stats import Recent, Stats
from streamer.ring.flow import Completion, Flow
from streamer.styles.model import is_painted

WAIT_S = 0.1  # until it is asked again whether the next frame should wait
MIN_DEADLINE_S = 0.5
MIN_REORDER_WAIT_S = 0.15
# Not the default executor: uploads and photos would hold live frames up there.
_SMOOTHING = ThreadPoolExecutor(2, thread_name_prefix="smoothing")


async def run(
    source: Source,
    flow: Flow,
    sink: Sink,
    *,
    stats: Stats | None = None,
    waits: Callable[[float], bool] = lambda now: False,
    apply_style: Callable[[Frame], Frame] = lambda frame: frame,
    on_stylized: Callable[[Frame, float], bool] = lambda frame, now: True,
    on_delivered: Callable[[int, Frame], None] = lambda seq, frame: None,
    deadline_s: float | None = None,
) -> None:
    """Carry frames from `source` to `sink` until the source ends.

    While `waits`, no frame is taken. `apply_style` gives a frame its style the moment the ring
    takes it. `on_stylized` gets every frame when it comes back, in any order, and says whether it
    is to be shown; `on_delivered` gets it with its seq after the sink. On a live flow a frame older
    than `deadline_s` (None: three times the usual latency, at least half a second) is dropped.
    Raises what source, ring or sink raise.
    """
    came_back = asyncio.Event()

    def stylized(frame: Frame, now: float) -> bool:
        came_back.set()
        return on_stylized(frame, now)

    delivery = _Delivery(
        flow,
        sink,
        stats or Stats(),
        on_stylized=stylized,
        on_delivered=on_delivered,
        deadline_s=deadline_s,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_feed(source, flow, waits, came_back, apply_style))
        tasks.create_task(delivery.run())


@contextlib.contextmanager
def ungrouped() -> Iterator[None]:
    """Raises the first failure of a group instead of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


async def _feed(
    source: Source,
    flow: Flow,
    waits: Callable[[float], bool],
    came_back: asyncio.Event,
    apply_style: Callable[[Frame], Frame],
) -> None:
    """Wait for a frame, then for a turn; only then take it, so that it is the newest."""
    while await source.ready():
        while waits(time.monotonic()):
            came_back.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(came_back.wait(), WAIT_S)
        await flow.submit(lambda: apply_style(source.take()))
    flow.finish()


class _Delivery:
    """What comes out of the ring, in order, at its time, to the sink."""

    def __init__(
        self,
        flow: Flow,
        sink: Sink,
        stats: Stats,
        *,
        on_stylized: Callable[[Frame, float], bool],
        on_delivered: Callable[[int, Frame], None],
        deadline_s: float | None,
    ) -> None:
        self._flow = flow
        self._sink = sink
        self._stats = stats
        self._on_stylized = on_stylized
        self._on_delivered = on_delivered
        self._deadline_s = deadline_s
        self._reorder = ReorderBuffer[Completion](
            MIN_REORDER_WAIT_S if flow.live else None, flow.window
        )
        self._pacer = Pacer() if flow.live else None
        self._smoother = Smoother()
        self._ages = Recent(32)  # of all frames, delivered or not
        self._unfit = 0  # frames that were not to be shown
        self._ready_at = 0.0  # when the newest frame and all before it had come back

    async def run(self) -> None:
        """Until the flow is drained."""
        while not self._flow.drained:
            done = await self._flow.result(self._patience_s())
            for item in self._in_order(done):
                await self._deliver(item)
            self._flow.advance(self._reorder.next_seq)

    def _patience_s(self) -> float | None:
        deadline = self._reorder.next_deadline()
        return None if deadline is None else max(deadline - time.monotonic(), 0.0)

    def _in_order(self, done: Completion | None) -> list[Completion]:
        now = time.monotonic()
        released = []
        if done is not None:
            shown = done.frame is not None and self._on_stylized(done.frame, now)
            self._unfit += done.frame is not None and not shown
            item = done if shown else None
            released = self._reorder.push(done.seq, item, now)
        if self._flow.live:
            self._reorder.max_wait_s = max(MIN_REORDER_WAIT_S, 2 * (self._flow.service_s or 0))
        released += self._reorder.expire(now)
        dropped = self._stats.dropped
        dropped["lost"] = self._flow.lost
        dropped["late"] = self._reorder.late
        dropped["skipped"] = self._reorder.skipped + self._unfit
        return released

    async def _deliver(self, done: Completion) -> None:
        assert done.frame is not None  # tombstones stay in the reorder buffer
        frame = await self._smoothed(done.frame)
        self._ready_at = max(done.finished_at, self._ready_at)
        if self._pacer is not None:
            due_at = self._pacer.due_at(frame.pts_s, self._ready_at)
            await asyncio.sleep(due_at - time.monotonic())
        now = time.monotonic()
        latency_s = now - frame.captured_at
        self._ages.add(latency_s)
        if self._flow.live and latency_s > self._freshness_s():
            self._stats.dropped["deadline"] += 1
            return
        await self._sink.send(frame)
        self._on_delivered(done.seq, frame)
        self._count(done, now, latency_s)

    async def _smoothed(self, frame: Frame) -> Frame:
        smooth = frame.style.smooth
        if smooth > 0 and is_painted(frame.style):
            loop = asyncio.get_running_loop()
            image = await loop.run_in_executor(_SMOOTHING, self._smoother, frame.image, smooth)
            return replace(frame, image=image)
        self._smoother.forget()
        return frame

    def _freshness_s(self) -> float:
        if self._deadline_s is not None:
            return self._deadline_s
        if len(self._ages) < 8:  # nobody knows yet what is usual
            return float("inf")
        return max(MIN_DEADLINE_S, 3 * self._ages.quantile(0.5))

    def _count(self, done: Completion, now: float, latency_s: float) -> None:
        stages = self._stats.stages
        stages["wait"].add(done.wait_s)
        stages["transfer"].add(done.transfer_s)
        stages["inference"].add(done.inference_s)
        stages["reorder"].add(self._ready_at - done.finished_at)
        stages["pace"].add(now - self._ready_at)
        self._stats.latency.add(latency_s)
        self._stats.delivered.tick(now)
