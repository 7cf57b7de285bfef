"""pipeline → **flow** → ring → **flow** → reorder.

One stream's way through the ring: its own numbering, its own window, its turn among others.
"""

import asyncio
import contextlib
import statistics
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streamer.errors import StreamerError
from streamer.frame import Frame


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
    """An accepted frame in a worker's hands."""

    flow: "Flow"
    seq: int
    frame: Frame
    submitted_at: float
    tries: int = 1
    given_up: bool = False  # its tombstone is out; whatever comes now is ignored


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
        send: Callable[["Flow", Callable[[], Frame]], Awaitable[int]],
    ) -> None:
        self.live = live
        self.window = window
        self.lost = 0
        self.held = 0  # frames that workers hold
        self.closed = False
        self._send = send
        self._next_seq = 0
        self._delivered = 0
        self._finished = False
        self._failure: StreamerError | None = None
        self._done: deque[Completion] = deque()
        self._services: deque[float] = deque(maxlen=32)
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

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

    async def submit(self, take: Callable[[], Frame]) -> int:
        """Wait for this flow's turn and a worker with room, then take a frame and send it.

        Returns the frame's seq. Raises RingError when the ring is closed or has no worker left.
        """
        await self._room.wait()
        return await self._send(self, take)

    async def result(self, timeout_s: float | None) -> Completion | None:
        """The next frame that is done, in any order; None after `timeout_s` or when drained.

        Raises what made the flow fail.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._done and not self.drained and self._failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        if self._failure is not None:
            raise self._failure
        return self._done.popleft() if self._done else None

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
        self._done.clear()

    def accept(self, frame: Frame, now: float) -> InFlight:
        """Ring only: number a frame."""
        ticket = InFlight(self, self._next_seq, frame, now)
        self._next_seq += 1
        self.held += 1
        self._update()
        return ticket

    def put(self, done: Completion) -> None:
        """Ring only: a frame came back, or did not."""
        self.held -= 1
        if self.closed:
            return
        if done.frame is None:
            self.lost += 1
        else:
            self._services.append(done.inference_s + done.transfer_s)
        self._done.append(done)
        self._changed.set()

    def fail(self, error: StreamerError) -> None:
        """Ring only: this flow cannot go on."""
        self._failure = error
        self._changed.set()

    def _update(self) -> None:
        if self.in_flight < self.window:
            self._room.set()
        else:
            self._room.clear()
        if self.drained:
            self._changed.set()
