"""pipeline → flow → **ring** → worker handle → worker → worker handle → flow → reorder.

N workers in a circle. A flow takes a frame, and numbers it, when a worker is reserved for it,
never earlier, so that nothing that was dropped leaves a hole. Streams share the workers' time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from fractions import Fraction
from typing import Self

from streamer.errors import RingError, StreamerError
from streamer.frame import Frame, Image, Style
from streamer.ring.flow import Completion, Flow, InFlight
from streamer.ring.supervisor import Supervisor
from streamer.ring.worker_handle import Make, Patience, Process, WorkerHandle, Workers

MAX_TRIES = 3  # of a frame that its workers do not survive, or fail at


class Ring:
    """Use as `async with Ring(start) as ring`: inside, the workers are loaded and warm.

    `start` makes the workers; it blocks, and runs in a thread. `depth` is how many frames one
    worker may hold at a time, of a live flow no more than one for each worker. `quorum` workers
    must be up to begin with (None: all); the others may wait for a machine that is yet to join.
    `shared`: its workers serve other rings, too, each of the same `depth`.
    Raises RingError when they cannot be started.
    """

    def __init__(
        self,
        start: Callable[[], Workers],
        *,
        depth: int = 1,
        quorum: int | None = None,
        patience: Patience | None = None,
        shared: bool = False,
    ) -> None:
        self.ready = False
        self.failed = asyncio.Event()  # for good; `failure` says why
        self.failure: RingError | None = None
        self.patience = patience or Patience()
        self.supervisor = Supervisor(start, self, depth, quorum, shared)
        self._depth = depth
        self._waiting: deque[tuple[Flow, asyncio.Future[WorkerHandle]]] = deque()
        self._again: deque[InFlight] = deque()
        self._virtual_s = 0.0  # start of the newest reservation, in workers' time of one flow
        self._flows: set[Flow] = set()
        self._changed = asyncio.Event()  # a worker came up or was freed, or the ring failed

    async def __aenter__(self) -> Self:
        try:
            await self.supervisor.start()
        except BaseException:
            await self.__aexit__()
            raise
        self.ready = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.fail(RingError("the ring is closed"))
        await self.supervisor.stop()

    @property
    def _handles(self) -> list[WorkerHandle]:
        return self.supervisor.handles

    def __len__(self) -> int:
        return len(self._handles)

    def open(self, *, live: bool, window: int | None = None) -> Flow:
        """A flow for one stream; `live` gives up frames instead of waiting for them."""
        slots = len(self._handles) * self._depth
        flow = Flow(live=live, window=window or max(16, 4 * slots), reserve=self._reserve)
        self._flows = {one for one in self._flows if not one.closed or one.in_workers} | {flow}
        return flow

    async def stylize(self, image: Image, style: Style, height_px: int | None = None) -> Image:
        """One image, stylized at this height or its own.

        Raises StylizeError when no worker can, else RingError.
        """
        flow = self.open(live=False, window=1)
        frame = Frame(image, 0, Fraction(1), time.monotonic(), style, height_px)
        try:
            await flow.submit(lambda: frame)
            done = await flow.result(None)
        finally:
            flow.close()
        assert done is not None and done.frame is not None  # this flow waits and never gives up
        return done.frame.image

    @property
    def waits_for(self) -> str | None:
        """What the cluster lacks for workers that have not started yet."""
        return self.supervisor.shortage

    @property
    def frame_s(self) -> float | None:
        """A worker's seconds for a frame of 640x360 when it started, the slowest one's."""
        told = [handle.about.frame_ms for handle in self._handles if handle.about is not None]
        return max(told) / 1000 if told else None

    @property
    def busy_s(self) -> float:
        """Seconds that all workers together have worked, for whomever."""
        return sum(max(handle.stats.busy_s, handle.taken_s) for handle in self._handles)

    def stats(self) -> list[dict[str, object]]:
        """One entry a worker."""
        return [handle.as_dict() for handle in self._handles]

    def fail(self, error: RingError) -> None:
        """From now on every flow gets `error`, or what failed first."""
        self.ready = False
        self.failure = self.failure or error
        self.failed.set()
        for flow in self._flows:
            flow.fail(self.failure)
        for _, reserved in self._waiting:
            if not reserved.done():
                reserved.set_exception(self.failure)
        self._changed.set()

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run a task; one that raises ends the ring, with its reason."""
        self.supervisor.own(work, name)

    def end(self, handle: WorkerHandle) -> None:
        """Have a worker's process replaced by another."""
        self.supervisor.end(handle)

    async def start_processes(self, count: int, make: Make) -> Sequence[Process]:
        """See `Workers.start_processes`; for a ring that has started, and is `shared`."""
        return await self.supervisor.start_processes(count, make)

    async def wait_changed(self) -> None:
        """Until a worker comes up or is freed, or the ring fails."""
        self._changed.clear()
        await self._changed.wait()

    # --- frames in: a flow reserves a worker -------------------------------------------------

    async def _reserve(self, flow: Flow) -> WorkerHandle:
        """A slot in a worker, as soon as it is this flow's turn. Raises RingError."""
        if self.failure is not None:
            raise self.failure
        reserved: asyncio.Future[WorkerHandle] = asyncio.get_running_loop().create_future()
        self._waiting.append((flow, reserved))
        self.share_out()
        try:
            return await reserved
        except asyncio.CancelledError:
            if reserved.done() and not reserved.cancelled() and not reserved.exception():
                flow.give_back(reserved.result())
            raise

    def share_out(self) -> None:
        """Reserve free slots: for frames that must be done again, then for flows that wait."""
        self._changed.set()
        for _ in range(len(self._again)):
            frame = self._again.popleft()
            if (worker := self._free_worker(frame.avoid)) is None:
                self._again.append(frame)
            else:
                worker.reserve()
                worker.send(frame)
        while (worker := self._free_worker()) and (waiting := self._next_waiting()):
            flow, reserved = waiting
            self._virtual_s = max(self._virtual_s, flow.spent_s)
            flow.charge(self._virtual_s)
            worker.reserve()
            reserved.set_result(worker)
        unserved = len(self._again) + len(self._fit())
        for handle in self._handles:
            handle.settle(unserved)

    def _free_worker(self, avoid: int | None = None) -> WorkerHandle | None:
        """The one that will be done first; `avoid` only when no other is up."""
        up = [handle for handle in self._handles if handle.up.is_set()]
        free = [
            handle for handle in up if handle.free > 0 and (handle.index != avoid or len(up) < 2)
        ]
        return min(free, key=_suitability, default=None)

    def _next_waiting(self) -> tuple[Flow, asyncio.Future[WorkerHandle]] | None:
        """The flow that has had the least of the workers' time; first come, first served.

        A live flow with a frame at every worker is passed over: its newest frame is better off
        in the intake, where a newer one may take its place.
        """
        fit = self._fit()
        # Who waited less than the ring went on has no claim to the time before it came.
        chosen = min(fit, key=lambda one: max(one[0].spent_s, self._virtual_s), default=None)
        if chosen is not None:
            self._waiting.remove(chosen)
        return chosen

    def _fit(self) -> list[tuple[Flow, asyncio.Future[WorkerHandle]]]:
        """Of those that wait, who could take a worker now.

        While a stream is live, the rest leaves it one worker: one large photo takes as long as
        many frames, and several would stop the stream.
        """
        self._waiting = deque(one for one in self._waiting if not one[1].done())
        if not self._waiting:
            return []
        live = any(flow.live and not flow.closed for flow in self._flows)
        rest = self._depth * max(1, len(self) - live)
        rest -= sum(flow.in_workers for flow in self._flows if not flow.live)
        return [
            one
            for one in self._waiting
            if (one[0].in_workers < len(self) if one[0].live else rest > 0)
        ]

    # --- frames out: what worker handles report ----------------------------------------------

    def retry(self, frame: InFlight, error: StreamerError, by: int | None) -> None:
        """Do a frame again, or give up; `by` the worker to blame, None: none would do better."""
        frame.tries, frame.avoid = frame.tries + 1, by
        if frame.flow.live or (by is not None and frame.tries < MAX_TRIES):
            self.resend(frame)
        else:
            frame.flow.in_workers -= 1
            frame.flow.fail(error)

    def resend(self, frame: InFlight) -> None:
        """Have another worker do a frame; a live stream goes on without it."""
        if frame.flow.live or frame.flow.closed:
            frame.flow.complete(Completion(frame.seq, None))
        else:
            self._again.append(frame)
            self.share_out()


def _suitability(handle: WorkerHandle) -> tuple[int, bool, int, float]:
    """The least is the best: one that does not fail, on this machine, that is done first."""
    return handle.failures_in_row, not handle.local, handle.load, handle.last_at
