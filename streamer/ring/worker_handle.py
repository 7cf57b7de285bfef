"""ring → **worker handle** → worker → **worker handle** → flow.

One worker as the ring sees it: its slots, the frames it holds, how long it takes.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from streamer.errors import RingError, StreamerError, StylizeError
from streamer.frame import Frame, Image
from streamer.ring.channel import (
    Request,
    Response,
    RingEnd,
    SlotsGranted,
    SlotsReturned,
    SlotsWanted,
)
from streamer.ring.flow import Completion, InFlight
from streamer.ring.worker import About

log = logging.getLogger(__name__)

LOOK_S = 2.0  # between looks at a worker on another machine
ANSWER_S = 10.0  # for its answer
MAX_FAILURES = 5  # in a row, of a worker that answers; then it is restarted


Make = Callable[[Any], Coroutine[Any, Any, Any]]  # of Workers, what answers calls


class Process(Protocol):
    """See `streamer.ring.cluster.Process`."""

    async def call(self, method: str, *arguments: object) -> Any: ...
    def kill(self) -> None: ...


class Workers(Protocol):
    """What a ring needs of `streamer.ring.cluster.Cluster`; its docstrings hold here too."""

    def __len__(self) -> int: ...
    def shortage(self) -> str | None: ...
    async def about(self, index: int) -> About: ...
    async def serve(self, index: int, address: str) -> bool: ...
    async def stylize(self, index: int, frame: Frame) -> Response: ...
    def start_processes(self, count: int, make: Make) -> Sequence[Process]: ...
    async def ended(self) -> str: ...
    def restart(self, index: int) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may take, in seconds."""

    stall_s: float = 0.5  # live: a frame held longer, and `stall_factor` times the usual, is lost
    stall_factor: float = 4.0
    exact_factor: float = 3.0  # of both, for a frame whose own statistics are measured
    unknown_stall_s: float = 10.0  # while the usual is unknown
    hung_s: float = 60.0  # after that the worker itself is ended


class Owner(Protocol):
    """What workers' handles and their supervisor need of a ring; the docstrings of Ring hold."""

    patience: Patience
    failure: RingError | None

    def share_out(self) -> None: ...
    def resend(self, frame: InFlight) -> None: ...
    def retry(self, frame: InFlight, error: StreamerError, by: int | None) -> None: ...
    def own(self, work: Coroutine[None, None, None], name: str) -> None: ...
    def end(self, handle: "WorkerHandle") -> None: ...
    def fail(self, error: RingError) -> None: ...
    async def wait_changed(self) -> None: ...


@dataclass(slots=True)
class WorkerStats:
    """What a worker has done so far."""

    frames: int = 0
    lost: int = 0
    failed: int = 0
    restarts: int = 0
    busy_s: float = 0.0


class WorkerHandle:
    """Sends frames to one worker and takes them back; every frame has exactly one outcome."""

    def __init__(
        self, index: int, depth: int, workers: Workers, ring: Owner, shared: bool = False
    ) -> None:
        self.index = index
        self.stats = WorkerStats()
        self.up = asyncio.Event()
        self.failure: str | None = None  # why it was given up
        self.about: About | None = None  # None: it has not been placed yet
        self.failures_in_row = 0
        self.last_at = 0.0  # when it last gave something back
        self._depth = depth
        self._shared = shared  # with other rings: its slots are asked for, and granted
        self._wanted = self._granted = 0  # slots; asked for, and got but not used
        self.taken_s = self._worked_s = 0.0  # seconds it worked for all rings; as it last said
        self._workers = workers
        self._ring = ring
        self._reserved = 0
        self._was_up = False  # since its last death
        self._down = asyncio.Event()  # set when it died
        self._channel: RingEnd | None = None  # None while up: it is on another machine
        self._held: deque[InFlight] = deque()

    @property
    def load(self) -> int:
        """Frames it holds."""
        return len(self._held)

    @property
    def free(self) -> int:
        """Slots that can be reserved; none while it holds a frame that was given up."""
        stalled = any(frame.given_up for frame in self._held)
        if stalled or not self.up.is_set():
            return 0
        if self.local and self._shared:
            return self._granted - self._reserved
        return self._depth - self.load - self._reserved

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        return self._channel is not None

    def as_dict(self) -> dict[str, object]:
        """What `/stats` shows: state (`waiting` until it is placed and loaded), counts, place."""
        state = "busy" if self._held else "ready"
        if self.failure is not None:
            state = "failed"
        elif not self.up.is_set():
            state = "restarting" if self.stats.restarts else "waiting"
        about = None if self.about is None else asdict(self.about)
        return {"state": state, **asdict(self.stats), "failure": self.failure, "about": about}

    # --- frames ----------------------------------------------------------------------------

    def reserve(self) -> None:
        """Keep one slot; `send` or `release` follows."""
        self._reserved += 1

    def settle(self, waiting: int) -> None:
        """Ask for slots for as many frames as wait, or give back what none waits for."""
        if not (self._shared and self._channel is not None and self.up.is_set()):
            return
        try:
            if waiting == 0 and self.free > 0:
                count, self._granted = self.free, self._reserved
                self._channel.tell(SlotsReturned(count))
            elif (more := min(waiting, self._depth) - self._wanted - self.free) > 0:
                self._wanted += more
                self._channel.tell(SlotsWanted(more))
        except OSError:
            self.disconnect()

    def release(self) -> None:
        """Give back a slot that was reserved."""
        self._reserved -= 1
        self._ring.share_out()

    def send(self, frame: InFlight) -> None:
        """Give the worker a frame in a reserved slot."""
        self._reserved -= 1
        self._granted = max(self._granted - 1, 0)
        if not self.up.is_set():  # it died since
            self._ring.resend(frame)
            return
        self._wait(frame, self._patience_s(frame))
        self._held.append(frame)
        frame.submitted_at = time.monotonic()
        asked = frame.frame
        if self._channel is None:
            self._ring.own(self._call(frame), f"call to worker {self.index}")
            return
        try:
            self._channel.send(asked.image, Request.of(asked))
        except OSError:
            self.disconnect()

    def _patience_s(self, frame: InFlight) -> float:
        patience, flow, orders = self._ring.patience, frame.flow, frame.frame.orders
        if not flow.live:
            return patience.hung_s
        if flow.service_s is None:
            return patience.unknown_stall_s
        stall_s = max(patience.stall_s, patience.stall_factor * flow.service_s)
        if orders is not None and orders.exact:
            stall_s *= patience.exact_factor
        return (1 + self.load) * stall_s

    def _wait(self, frame: InFlight, patience_s: float) -> None:
        loop = asyncio.get_running_loop()
        frame.timer = loop.call_later(patience_s, self._owned, self._overdue, frame)

    def _owned(self, call: Callable[..., None], *args: object) -> None:
        """A callback of the event loop, which would lose its error: it ends the ring instead."""
        try:
            call(*args)
        except Exception as error:
            log.exception("worker %d: %s broke", self.index, call.__name__)
            self._ring.fail(RingError(f"the ring broke: {error!r}"))

    def _receive(self) -> None:
        """The worker's socket is readable."""
        assert self._channel is not None  # the reader goes when the channel goes
        try:
            response = self._channel.take()
        except Exception as error:  # its end, or bytes that make no sense: either way the end
            if not isinstance(error, EOFError | OSError):
                log.error("worker %d sent what cannot be read: %r", self.index, error)
            self.disconnect()
            return
        if isinstance(response, SlotsGranted):
            self._wanted -= response.count
            self._granted += response.count
            self._ring.share_out()
        else:
            self._respond(self._held[0], response)

    async def _call(self, frame: InFlight) -> None:
        """The same for a worker on another machine."""
        try:
            response = await self._workers.stylize(self.index, frame.frame)
        except ConnectionError:
            self.disconnect()
            return
        except Exception as error:
            response = Response.of(error)
        self._respond(frame, response)

    def _respond(self, frame: InFlight, response: Response) -> None:
        if response.worked_s:
            since = response.worked_s - self._worked_s
            self.taken_s += since if since > 0 else response.worked_s  # less: another process
            self._worked_s = response.worked_s
        if frame not in self._held:
            return  # it was lost in the meantime, with the worker
        now = time.monotonic()
        # Those that were stylized together come back together, but were begun long before.
        begun_at = max(frame.submitted_at, min(self.last_at, now - response.inference_s))
        self.stats.busy_s += now - max(frame.submitted_at, self.last_at)
        self.last_at = now
        self._take_back(frame)
        if response.image is None:
            self._failed(frame, response.error or "no image", response.to_blame)
        else:
            self._done(frame, response.image, response, begun_at)
        self._ring.share_out()

    def _done(self, frame: InFlight, image: Image, response: Response, begun_at: float) -> None:
        self.failures_in_row = 0
        self.stats.frames += 1
        if frame.given_up:
            return
        asked, took_s = frame.frame, response.inference_s
        stylized = replace(
            asked,
            image=image,
            height_px=response.height_px or asked.height_px,
            measured=response.measured,
            service_s=took_s,
            upcoming_ready=response.upcoming_ready,
        )
        wait_s, transfer_s = begun_at - asked.captured_at, self.last_at - begun_at - took_s
        frame.flow.complete(
            Completion(frame.seq, stylized, self.last_at, wait_s, transfer_s, took_s)
        )

    def _failed(self, frame: InFlight, error: str, to_blame: bool) -> None:
        """`to_blame`: the worker is, not what was asked of it."""
        self.stats.failed += 1
        self.failures_in_row += to_blame
        if to_blame and self.failures_in_row == 1:
            log.warning("worker %d failed: %s", self.index, error)
        if not frame.given_up:
            error = f"frame {frame.seq} cannot be stylized: {error}"
            self._ring.retry(frame, StylizeError(error), self.index if to_blame else None)
        if self.failures_in_row >= MAX_FAILURES:
            log.error("worker %d failed %d times in a row", self.index, MAX_FAILURES)
            self.failures_in_row = 0
            self._ring.end(self)

    def _take_back(self, frame: InFlight) -> None:
        self._held.remove(frame)
        assert frame.timer is not None  # since it was sent
        frame.timer.cancel()

    def _lose(self, frame: InFlight) -> None:
        self.stats.lost += 1
        error = RingError(f"frame {frame.seq} crashed {frame.tries + 1} workers")
        self._ring.retry(frame, error, self.index)

    def _overdue(self, frame: InFlight) -> None:
        """It takes too long: a live flow goes on without it; a hung worker is ended at last."""
        if frame.flow.live and not frame.given_up:
            frame.given_up = True
            self._wait(frame, self._ring.patience.hung_s)
            self._lose(frame)
        else:
            log.error("worker %d hangs", self.index)
            frame.tries += 1  # counts twice: the next one will probably hang as long
            self._ring.end(self)

    # --- connections -----------------------------------------------------------------------

    def plug_in(self, channel: RingEnd) -> None:
        """The worker has connected: it is loaded and warm."""
        self.disconnect()
        asyncio.get_running_loop().add_reader(channel.fileno(), self._owned, self._receive)
        self._channel = channel
        self._connected()

    async def serve_by_calls(self) -> None:
        """It is up on another machine: return when a call finds that it died.

        Raises as `Workers.about` does, which it asks from time to time: no socket tells.
        """
        self._connected()
        down = self._down = asyncio.Event()
        while not down.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await down.wait()
                    continue
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._workers.about(self.index)
            except TimeoutError:  # Ray keeps calls for a worker that waits for another machine
                raise ConnectionError("it does not answer") from None

    def disconnect(self) -> None:
        """The worker is gone, and what it held with it."""
        self.up.clear()
        self._down.set()
        self._wanted = self._granted = 0
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        for frame in tuple(self._held):
            self._take_back(frame)
            if not frame.given_up:
                self._lose(frame)

    def was_up(self) -> bool:
        """Whether it was connected since this was last asked; it is counted as restarted then."""
        was_up, self._was_up = self._was_up, False
        self.stats.restarts += was_up
        return was_up

    def _connected(self) -> None:
        self._was_up = True
        self.up.set()
        self._ring.share_out()
