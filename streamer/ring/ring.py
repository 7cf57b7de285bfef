"""pipeline → **ring** → hand → worker → hand → **ring** → reorder.

N workers in a circle. A frame is numbered when a worker takes it, never earlier, so nothing
that was let go leaves a hole. Every stream has a flow of its own; flows take turns.
"""

import asyncio
import math
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Self

from streamer.errors import RingError
from streamer.frame import Frame, Image, Style
from streamer.ring.channel import RingEnd
from streamer.ring.flow import Completion, Flow, InFlight
from streamer.ring.turns import Turns
from streamer.ring.worker_handle import HUNG_S, WorkerHandle, Workers

MAX_TRIES = 3  # of a frame that its workers do not survive
STALL_S = 0.5  # live: a frame held for longer, and for STALL_FACTOR times the usual, is given up
STALL_FACTOR = 4.0
START_S = 120.0  # for all workers to be up
UNKNOWN_STALL_S = 10.0  # as long as nobody knows what is usual


class Ring:
    """Use as `async with Ring(start) as ring`: inside, the workers are loaded and warm.

    `start` makes the workers; it blocks, and runs in a thread. `depth` is how many frames one
    worker may hold at a time, of a live flow no more than one for each worker. `quorum` workers
    must be up to begin with (None: all); the others may wait for a machine that is yet to join.
    Raises RingError when they cannot be started.
    """

    def __init__(
        self, start: Callable[[], Workers], *, depth: int = 1, quorum: int | None = None
    ) -> None:
        self.ready = False
        self._start, self._depth, self._quorum = start, depth, quorum
        self._hands: list[WorkerHandle] = []
        self._turns = Turns(self.room)
        self._retries: deque[InFlight] = deque()
        self._flows: set[Flow] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: RingError | None = None
        self._changed = asyncio.Event()  # a worker came up or was freed, or the ring failed

    async def __aenter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="streamer-ring-"))
        try:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self._home / "ring"))
            self._listener.listen()
            self._listener.setblocking(False)
            self._workers = await _begin(self._start)
        except BaseException:
            self._clean_up()
            raise
        try:
            await self._bring_up()
        except BaseException:
            await self.__aexit__()
            raise
        self.ready = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._fail(RingError("the ring is closed"))
        for task in self._tasks:
            task.cancel()
        for hand in self._hands:
            hand.down()
        self._clean_up()
        await asyncio.to_thread(self._workers.stop)

    def open(self, *, live: bool, window: int | None = None) -> Flow:
        """A flow for one stream; `live` gives up frames instead of waiting for them."""
        slots = len(self._hands) * self._depth
        flow = Flow(live=live, window=window or max(16, 4 * slots), send=self._send)
        self._flows = {flow for flow in self._flows if not flow.closed} | {flow}
        return flow

    async def stylize(self, image: Image, style: Style) -> Image:
        """One picture, at its full size. Raises RingError when it cannot be done."""
        flow = self.open(live=False, window=1)
        frame = Frame(image, 0, Fraction(1), time.monotonic(), style)
        try:
            await flow.submit(lambda: frame)
            done = await flow.result(None)
        finally:
            flow.close()
        assert done is not None and done.frame is not None  # this flow waits and never gives up
        return done.frame.image

    def __len__(self) -> int:
        return len(self._hands)

    @property
    def busy_s(self) -> float:
        """Seconds that all workers together have worked."""
        return sum(hand.tally.busy_s for hand in self._hands)

    def stats(self) -> list[dict[str, object]]:
        """One entry a worker."""
        return [
            {
                "state": hand.state,
                "frames": hand.tally.frames,
                "lost": hand.tally.lost,
                "restarts": hand.tally.restarts,
                "busy_s": round(hand.tally.busy_s, 3),
            }
            for hand in self._hands
        ]

    # --- workers come and go ---------------------------------------------------------------

    async def _bring_up(self) -> None:
        count = len(self._workers)
        self._hands = [
            WorkerHandle(index, self._depth, self._workers, self) for index in range(count)
        ]
        self._tasks = [asyncio.create_task(self._accept())]
        self._tasks += [asyncio.create_task(self._tend(hand)) for hand in self._hands]
        enough = count if self._quorum is None else min(self._quorum, count)
        try:
            async with asyncio.timeout(START_S):
                while self._failure is None and self._up() < enough:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise RingError(
                f"{self._up()} of {len(self._hands)} workers came up within {START_S:.0f} s;"
                " has the cluster as many free CPUs or GPUs? fewer --workers need fewer"
            ) from None
        if self._failure is not None:
            raise self._failure

    def _up(self) -> int:
        return sum(hand.up.is_set() for hand in self._hands)

    async def _tend(self, hand: WorkerHandle) -> None:
        try:
            await hand.tend(str(self._home / "ring"))
        except RingError as error:
            self._fail(error)

    async def _accept(self) -> None:
        """Workers connect when they are warm, and again after a restart."""
        while True:
            accepted, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            channel = RingEnd(accepted, self._depth)
            self._hands[channel.index].plug_in(channel)

    def _fail(self, error: RingError) -> None:
        """From now on every flow gets `error`."""
        self.ready = False
        self._failure = self._failure or error
        for flow in self._flows:
            flow.fail(self._failure)
        self.room()

    def _clean_up(self) -> None:
        self._listener.close()
        shutil.rmtree(self._home, ignore_errors=True)

    # --- frames in -------------------------------------------------------------------------

    async def _send(self, flow: Flow, take: Callable[[], Frame]) -> int:
        await self._turns.wait(flow)
        self._turns.taken()
        try:
            if self._failure is not None:
                raise self._failure
            ticket = flow.accept(take(), time.monotonic())
            self._dispatch(ticket)
            return ticket.seq
        finally:
            self.room()

    def _dispatch(self, ticket: InFlight) -> None:
        free = [hand for hand in self._hands if hand.free > 0]
        if free:
            first_free = min(free, key=lambda hand: (len(hand), hand.last_at))
            patience_s = self._patience_s(ticket.flow, ahead=len(first_free))
            first_free.take(ticket, patience_s)
        else:  # the worker that had room died between the turn and the frame
            self.lost(ticket)

    def _patience_s(self, flow: Flow, ahead: int) -> float:
        if not flow.live:
            return HUNG_S
        usual_s = flow.service_s
        if usual_s is None:
            return UNKNOWN_STALL_S
        return (1 + ahead) * max(STALL_S, STALL_FACTOR * usual_s)

    # --- frames out: what hands report -----------------------------------------------------

    def room(self) -> None:
        """Give out what room there is: first to frames that must be done again."""
        self._changed.set()
        room = sum(hand.free for hand in self._hands) - self._turns.given
        while self._retries and room > 0:
            self._dispatch(self._retries.popleft())
            room -= 1
        if self._failure is None:
            self._turns.give(room, each=len(self._hands))
        else:  # all are to see it
            self._turns.give(math.inf, each=math.inf)

    def done(self, ticket: InFlight, done: Completion) -> None:
        """A frame came back."""
        ticket.flow.put(done)

    def lost(self, ticket: InFlight) -> None:
        """A frame's worker died or stalled: live streams go on, others have it done again."""
        if ticket.flow.live:
            ticket.flow.put(Completion(ticket.seq, None))
        elif ticket.tries >= MAX_TRIES:
            ticket.flow.fail(RingError(f"frame {ticket.seq} ended {MAX_TRIES} workers"))
        else:
            ticket.tries += 1
            self._retries.append(ticket)
            self.room()

    def refused(self, ticket: InFlight, error: str) -> None:
        """A worker says it cannot stylize a frame."""
        if ticket.flow.live:
            ticket.flow.put(Completion(ticket.seq, None))
        else:
            ticket.flow.fail(RingError(f"frame {ticket.seq} cannot be stylized: {error}"))


async def _begin(start: Callable[[], Workers]) -> Workers:
    """`start` in a thread, which cannot be cancelled: workers nobody waits for are stopped."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="ring-start")
    starting = thread.submit(start)
    thread.shutdown(wait=False)
    try:
        return await asyncio.shield(asyncio.wrap_future(starting))
    except asyncio.CancelledError:
        starting.add_done_callback(_stop)
        raise


def _stop(started: Future[Workers]) -> None:
    if started.exception() is None:
        started.result().stop()
