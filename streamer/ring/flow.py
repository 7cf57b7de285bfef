"""pipeline → **flow** → ring → **flow** → reorder.

One stream's way through the ring: its numbering, its sliding window, its share of the workers.
"""

import asyncio
import contextlib
import statistics
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from streamer.errors import StreamerError
from streamer.frame import Frame

FILE_SHARE = 4.0  # a second of a file counts like four of a live stream: live streams go first


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of an accepted frame, and where its time went (seconds)."""

    seq: int
    frame: Frame | None  # stylized; None is a tombstone: it was lost
    finished_at: float = 0.0  # monotonic
    wait_s: float = 0.0  # captured, until a worker took it
    transfer_s: float = 0.0
    inference_s: float = 0.0


@dataclass(slots=True, eq=False)
class InFlight:
    """An accepted frame that a worker has, or that waits for its next worker."""

    flow: "Flow"
    seq: int
    frame: Frame
    submitted_at: float = 0.0  # monotonic; to the worker that has it now
    timer: asyncio.TimerHandle | None = None  # of that worker's patience
    tries: int = 0  # workers that failed at it or died of it
    avoid: int | None = None  # the last of these
    given_up: bool = False  # its tombstone is out; whatever comes now is ignored


class Slot(Protocol):
    """A worker with room kept for one frame: exactly one of these two follows."""

    def send(self, frame: InFlight) -> None: ...
    def release(self) -> None: ...


class Flow:
    """Numbers a stream's frames from 0 and collects what the ring makes of them.

    At most `window` frames are between acceptance and delivery. A live flow gives up a frame
    that its worker holds too long or loses; any other flow waits, and has it done again.
    """

    def __init__(
        self,
        *,
        live: bool,
        window: int,
        reserve: Callable[["Flow"], Awaitable[Slot]],
    ) -> None:
        self.live = live
        self.window = window
        self.lost = 0
        self.in_workers = 0  # frames that workers hold, or have a slot for
        self.spent_s = 0.0  # workers' time, by which the ring shares them out
        self.closed = False
        self._reserve = reserve
        self._next_seq = 0
        self._delivered = 0
        self._finished = False
        self._failure: StreamerError | None = None
        self._completed: deque[Completion] = deque()
        self._services: deque[float] = deque(maxlen=32)
        self._changed = asyncio.Event()
        self._window_open = asyncio.Event()
        self._window_open.set()

    @property
    def in_flight(self) -> int:
        """Frames accepted and not yet delivered."""
        return self._next_seq - self._delivered

    @property
    def drained(self) -> bool:
        """Whether everything that will ever come has been delivered."""
        return self._finished and self.in_flight == 0

    @property
    def service_s(self) -> float | None:
        """Median seconds a worker takes for one frame of this flow; None until known."""
        return statistics.median(self._services) if len(self._services) >= 4 else None

    def charge(self, start_s: float) -> None:
        """Ring only: a worker is reserved, at `start_s` of the ring's virtual time.

        Start-time fair queueing (Goyal, Vin and Cheng, 1996), by the time that frames of this
        flow usually take.
        """
        cost_s = statistics.median(self._services) if self._services else 0.0
        self.in_workers += 1
        self.spent_s = start_s + cost_s * (1.0 if self.live else FILE_SHARE)

    def give_back(self, worker: Slot) -> None:
        """The slot that was reserved is not used."""
        self.in_workers -= 1
        worker.release()

    async def submit(self, take: Callable[[], Frame]) -> int:
        """Wait for the window and for a worker, then take a frame, number it and send it there.

        Returns the frame's seq. Raises RingError when the ring is closed or has no worker left.
        """
        await self._window_open.wait()
        worker = await self._reserve(self)
        try:
            frame = take()
        except BaseException:
            self.give_back(worker)
            raise
        accepted = InFlight(self, self._next_seq, frame)
        self._next_seq += 1
        self._update()
        worker.send(accepted)
        return accepted.seq

    async def result(self, timeout_s: float | None) -> Completion | None:
        """The next completion, in any order; None after `timeout_s` or when drained.

        Raises what made the flow fail.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._completed and not self.drained and self._failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        if self._failure is not None:
            raise self._failure
        return self._completed.popleft() if self._completed else None

    def advance(self, next_seq: int) -> None:
        """Everything before `next_seq` is delivered or given up: the window slides."""
        self._delivered = next_seq
        self._update()

    def finish(self) -> None:
        """Nothing more will be submitted."""
        self._finished = True
        self._update()

    def close(self) -> None:
        """Nobody wants the results any more."""
        self.closed = True
        self._completed.clear()

    def complete(self, completion: Completion) -> None:
        """Ring only: a frame came back, or is lost."""
        self.in_workers -= 1
        if self.closed:
            return
        if completion.frame is None:
            self.lost += 1
        else:
            self._services.append(completion.inference_s + completion.transfer_s)
        self._completed.append(completion)
        self._changed.set()

    def fail(self, error: StreamerError) -> None:
        """Ring only: this flow cannot go on."""
        self._failure = error
        self._changed.set()

    def _update(self) -> None:
        if self.in_flight < self.window:
            self._window_open.set()
        else:
            self._window_open.clear()
        if self.drained:
            self._changed.set()
