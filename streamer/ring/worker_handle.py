"""ring → **hand** → worker → **hand** → ring.

One worker as the ring sees it: what it holds, whether it lives, how long it takes.
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

from streamer.frame import Image, Style
from streamer.ring.channel import RingEnd
from streamer.ring.flow import Completion, InFlight
from streamer.ring.worker import Stylized

log = logging.getLogger(__name__)

HUNG_S = 60.0  # a worker that is silent for so long is ended
RETRY_S = 0.05


class Workers(Protocol):
    """What a ring needs of `streamer.ring.cluster.Cluster`; its docstrings hold here too."""

    def __len__(self) -> int: ...
    async def serve(self, index: int, address: str) -> bool: ...
    async def stylize(
        self, index: int, image: Image, style: Style, height_px: int | None
    ) -> Stylized: ...
    def restart(self, index: int) -> None: ...
    def stop(self) -> None: ...


class Outcome(Protocol):
    """Whom a hand tells what became of its frames: the ring."""

    def done(self, ticket: InFlight, done: Completion) -> None: ...
    def refused(self, ticket: InFlight, error: str) -> None: ...
    def lost(self, ticket: InFlight) -> None: ...
    def room(self) -> None: ...


@dataclass(slots=True)
class WorkerStats:
    """What a worker has done so far."""

    frames: int = 0
    lost: int = 0
    restarts: int = 0
    busy_s: float = 0.0


class WorkerHandle:
    """Gives frames to one worker and takes them back; every frame has exactly one outcome."""

    def __init__(self, index: int, depth: int, workers: Workers, outcome: Outcome) -> None:
        self.tally = WorkerStats()
        self.up = asyncio.Event()
        self.last_at = 0.0  # when it last gave something back
        self._index = index
        self._depth = depth
        self._workers = workers
        self._outcome = outcome
        self._served = False  # since its last death
        self._broken = asyncio.Event()  # a call found that it died
        self._channel: RingEnd | None = None  # None while up: it is on another machine
        self._tickets: deque[InFlight] = deque()
        self._timers: dict[InFlight, asyncio.TimerHandle] = {}
        self._calls: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def free(self) -> int:
        """How many frames it can take now; none while it holds one that was given up."""
        stalled = any(ticket.given_up for ticket in self._tickets)
        return self._depth - len(self) if self.up.is_set() and not stalled else 0

    @property
    def state(self) -> str:
        """`ready`, `busy` or `restarting`."""
        if not self.up.is_set():
            return "restarting"
        return "busy" if self._tickets else "ready"

    async def tend(self, address: str) -> None:
        """Have the worker serve the ring at `address`, again after every death.

        Ends by being cancelled; raises RingError when Ray will not restart it.
        """
        while True:
            try:
                if not await self._workers.serve(self._index, address):
                    self._begin(None)
                    await self._death()
            except ConnectionError:
                if self._served:
                    self._served = False
                    self.tally.restarts += 1
                    log.warning("x worker %d died; another takes its place", self._index)
                self.down()
                await asyncio.sleep(RETRY_S)  # while it is restarted Ray refuses at once

    async def _death(self) -> None:
        """Of a worker on another machine: noticed by the call that it breaks."""
        self._broken.clear()
        await self._broken.wait()
        raise ConnectionError

    def plug_in(self, channel: RingEnd) -> None:
        """The worker has connected: it is loaded and warm."""
        self.down()
        asyncio.get_running_loop().add_reader(channel.fileno(), self._answered)
        self._begin(channel)

    def take(self, ticket: InFlight, patience_s: float) -> None:
        """Give the worker a frame; after `patience_s` a live flow gives it up."""
        loop = asyncio.get_running_loop()
        self._tickets.append(ticket)
        self._timers[ticket] = loop.call_later(patience_s, self._overdue, ticket)
        frame = ticket.frame
        if self._channel is None:
            call = loop.create_task(self._call(ticket))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            return
        try:
            self._channel.send(frame.image, frame.style, frame.height_px)
        except OSError:
            self.down()

    def down(self) -> None:
        """The worker is gone, and what it held with it."""
        self.up.clear()
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        held, self._tickets = self._tickets, deque()
        for ticket in held:
            self._timers.pop(ticket).cancel()
            self.tally.lost += 1
            if not ticket.given_up:
                self._outcome.lost(ticket)

    def _begin(self, channel: RingEnd | None) -> None:
        self._channel = channel
        self._served = True
        self.up.set()
        self._outcome.room()

    def _answered(self) -> None:
        """The worker's socket is readable."""
        assert self._channel is not None  # the reader goes when the channel goes
        try:
            image, answer = self._channel.receive()
        except (EOFError, OSError):
            self.down()
        else:
            self._give_back(self._tickets[0], image, answer.inference_s, answer.error)

    async def _call(self, ticket: InFlight) -> None:
        """The plain way, to a worker on another machine."""
        frame = ticket.frame
        try:
            stylized = await self._workers.stylize(
                self._index, frame.image, frame.style, frame.height_px
            )
        except ConnectionError:
            if ticket in self._tickets:  # else the first of its calls to break has said so
                self.down()
                self._broken.set()
        except RuntimeError as error:
            self._give_back(ticket, None, 0.0, str(error))
        else:
            self._give_back(ticket, stylized.image, stylized.inference_s, None)

    def _give_back(
        self, ticket: InFlight, image: Image | None, inference_s: float, error: str | None
    ) -> None:
        if ticket not in self._tickets:  # it died in the meantime, and with it the frame
            return
        now = time.monotonic()
        # Those that were stylized together come back together, but were begun long before.
        begun_at = max(ticket.submitted_at, min(self.last_at, now - inference_s))
        self.tally.busy_s += now - max(ticket.submitted_at, self.last_at)
        self._tickets.remove(ticket)
        self._timers.pop(ticket).cancel()
        self.last_at = now
        self.tally.frames += 1
        if ticket.given_up:
            pass
        elif image is None:
            self._outcome.refused(ticket, error or "no image came back")
        else:
            frame = replace(ticket.frame, image=image)
            wait_s = begun_at - frame.captured_at
            transfer_s = now - begun_at - inference_s
            self._outcome.done(
                ticket, Completion(ticket.seq, frame, now, wait_s, transfer_s, inference_s)
            )
        self._outcome.room()

    def _overdue(self, ticket: InFlight) -> None:
        """It takes too long: a live flow goes on without; a hung worker is ended at last."""
        loop = asyncio.get_running_loop()
        if ticket.flow.live and not ticket.given_up:
            ticket.given_up = True
            self.tally.lost += 1
            self._outcome.lost(ticket)
            self._timers[ticket] = loop.call_later(HUNG_S, self._overdue, ticket)
        else:
            self._workers.restart(self._index)
