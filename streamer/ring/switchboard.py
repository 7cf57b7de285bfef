"""ring, ring, … ⇄ **switchboard** → worker: one worker for several rings.

A ring asks for slots, and is granted them in turn; a slot is leave to have one image here. So no
ring needs to know the others, and none can have more than its share while others want theirs. A
ring whose process dies closes its socket, and what it was granted goes to the others.
"""

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from streamer.frame import Image
from streamer.ring.channel import (
    Request,
    Response,
    SlotsReturned,
    SlotsWanted,
    Stylize,
    WorkerEnd,
    answer,
    plug_in,
)

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Line:
    """One ring's connection."""

    connection: "Connection[Any, Any]"
    end: WorkerEnd
    wanted: int = 0
    granted: int = 0  # and not given back by a response yet
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An image that waits to be stylized."""

    line: _Line
    request: Request
    image: Image


class Switchboard:
    """`slots` images at a time, of all rings together.

    `batches`: `stylize` gets all requests that wait. One thread talks to the rings, another one
    stylizes, so that slots are granted meanwhile.
    """

    def __init__(self, slots: int, stylize: Stylize, batches: bool) -> None:
        self._free = slots
        self._worked_s = 0.0
        self._stylize, self._batches = stylize, batches
        self._lines: deque[_Line] = deque()  # whose turn is next comes first
        self._new: deque[_Line] = deque()
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._done: deque[tuple[_Line, Response]] = deque()
        self._wake_read, self._wake = os.pipe()
        for work in (self._talk, self._work):
            threading.Thread(target=_vital, args=(work,), name="switchboard", daemon=True).start()

    def serve(self, address: str, index: int) -> bool:
        """Be worker `index` of the ring at `address` until it hangs up.

        False: that is on another machine.
        """
        if (connection := plug_in(address)) is None:
            return False
        with connection:
            line = _Line(connection, WorkerEnd(connection, index))
            self._new.append(line)
            os.write(self._wake, b"!")
            line.closed.wait()
        return True

    def _work(self) -> None:
        while True:
            some = [self._asked.get()]
            while self._batches and not self._asked.empty():
                some.append(self._asked.get())
            began = time.monotonic()
            responses = answer([(one.request, one.image) for one in some], self._stylize)
            self._worked_s += time.monotonic() - began
            for one, response in zip(some, responses, strict=True):
                self._done.append((one.line, replace(response, worked_s=self._worked_s)))
            os.write(self._wake, b"!")

    def _talk(self) -> None:
        while True:
            lines = {line.connection: line for line in self._lines}
            for ready in wait([*lines, self._wake_read]):
                if isinstance(ready, Connection):
                    self._read(lines[ready])
                else:
                    os.read(self._wake_read, 4096)
            while self._new:
                self._lines.append(self._new.popleft())
            while self._done:
                self._respond(*self._done.popleft())
            self._grant()

    def _read(self, line: _Line) -> None:
        try:
            while line.end.waiting:
                self._take(line, line.end.receive())
        except (EOFError, OSError):
            self._drop(line)

    def _respond(self, line: _Line, response: Response) -> None:
        if line.closed.is_set():
            return
        if line.granted > 0:
            line.granted -= 1
            self._free += 1
        try:
            line.end.respond(response)
        except OSError:
            self._drop(line)

    def _take(self, line: _Line, message: object) -> None:
        match message:
            case SlotsWanted(count):
                line.wanted += count
            case SlotsReturned(count):
                count = min(count, line.granted)
                line.granted -= count
                self._free += count
            case (Request() as request, Image() as image):
                self._asked.put(_Asked(line, request, image))
            case _:
                log.error("a ring sent what makes no sense: %r", message)

    def _grant(self) -> None:
        """Free slots, to those who want some, one each in turn."""
        while self._free > 0:
            line = next((one for one in self._lines if one.wanted > 0), None)
            if line is None:
                return
            self._lines.remove(line)
            self._lines.append(line)
            line.wanted -= 1
            line.granted += 1
            self._free -= 1
            try:
                line.end.grant()
            except OSError:
                self._drop(line)

    def _drop(self, line: _Line) -> None:
        """It hung up; what it was granted is free again."""
        if line in self._lines:
            self._lines.remove(line)
            self._free += line.granted
            line.granted = 0
            line.closed.set()


def _vital(work: Callable[[], None]) -> None:
    """Without this thread the worker would hang: it ends, and another one takes its place."""
    try:
        work()
    finally:
        log.error("the switchboard of a worker broke", exc_info=True)
        os._exit(1)
