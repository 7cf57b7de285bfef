"""ring ⇄ **channel** ⇄ worker, on one machine.

Planes lie in memory both processes share; a Unix socket says "this slot is yours" one way and
"it is done" the other. A process that dies, dies loudly: its end of the socket closes at once,
seconds before anything else would notice. The memory has no name in any file system, so
nothing is left behind whatever happens.
"""

import contextlib
import mmap
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

import numpy as np

from streamer.frame import Image, Plane, Style, i420_size


@dataclass(frozen=True, slots=True)
class Job:
    """One image to stylize; its planes begin the memory of `slot`."""

    slot: int
    width: int
    height: int
    style: Style
    height_px: int | None


@dataclass(frozen=True, slots=True)
class Grown:
    """`slot` has new memory of `size` bytes; its file descriptor follows on the socket."""

    slot: int
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A job is done: its image lies where the job's was, unless `error` says why not."""

    inference_s: float
    error: str | None = None


Wish = tuple[Job, Image]  # the result is written over the image
Stylize = Callable[[Sequence[Wish]], Sequence[tuple[Image, float]]]  # with seconds of each


class RingEnd:
    """The ring's end of the channel to one worker, with room for `depth` images."""

    def __init__(self, accepted: socket.socket, depth: int) -> None:
        accepted.setblocking(True)  # every message is far smaller than a socket's buffer
        self._connection: Connection[Any, Any] = Connection(accepted.detach())
        self.index, self._pid = self._connection.recv()  # who the worker is
        self._memory: list[Plane] = [np.empty(0, np.uint8)] * depth
        self._free = deque(range(depth))
        self._busy: deque[tuple[int, Image]] = deque()  # slot and shape of each job in flight

    def fileno(self) -> int:
        """For `loop.add_reader`: readable when `receive` has something."""
        return self._connection.fileno()

    def send(self, image: Image, style: Style, height_px: int | None) -> None:
        """WorkerHandle over one image. Raises OSError when the worker is gone."""
        slot = self._free.popleft()
        if image.data.nbytes > self._memory[slot].nbytes:
            self._grow(slot, image.data.nbytes)
        self._memory[slot][: image.data.nbytes] = image.data
        self._busy.append((slot, image))
        self._connection.send(Job(slot, image.width, image.height, style, height_px))

    def receive(self) -> tuple[Image | None, Answer]:
        """The oldest job's image, or None and why. Raises EOFError or OSError: worker gone."""
        answer = self._connection.recv()
        assert isinstance(answer, Answer)  # nothing else is ever sent this way
        slot, job = self._busy.popleft()
        self._free.append(slot)
        if answer.error is not None:
            return None, answer
        data = self._memory[slot][: job.data.nbytes].copy()
        return Image(job.width, job.height, data), answer

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _grow(self, slot: int, size: int) -> None:
        fd = _nameless_memory(size)
        try:
            self._connection.send(Grown(slot, size))
            send_handle(self._connection, fd, self._pid)
            self._memory[slot] = _view(fd, size)
        finally:
            os.close(fd)


def answer_ring(address: str, index: int, stylize: Stylize, together: bool = False) -> bool:
    """The worker's end: be worker `index` of the ring at `address` until it hangs up.

    `together`: `stylize` gets all jobs that wait. False when the ring is on another machine, where
    no such socket is.
    """
    if not Path(address).exists():
        return False
    memory: dict[int, Plane] = {}
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(address)
        connection: Connection[Any, Any] = Connection(plug.detach())
    with connection, contextlib.suppress(EOFError, ConnectionError):
        connection.send((index, os.getpid()))
        waiting: list[Wish] = []
        while True:
            message = connection.recv()
            if isinstance(message, Grown):
                memory[message.slot] = _receive_memory(connection, message.size)
                continue
            data = memory[message.slot][: i420_size(message.width, message.height)]
            waiting.append((message, Image(message.width, message.height, data)))
            if not (together and connection.poll()):
                for answer in _answers(waiting, stylize):
                    connection.send(answer)
                waiting.clear()
    return True


def _answers(wishes: Sequence[Wish], stylize: Stylize) -> list[Answer]:
    try:
        stylized = stylize(wishes)
    except Exception as error:  # one bad image must not end the worker, nor spoil the others
        if len(wishes) > 1:
            return [answer for wish in wishes for answer in _answers([wish], stylize)]
        return [Answer(0.0, f"{type(error).__name__}: {error}")]
    for (_, image), (done, _) in zip(wishes, stylized, strict=True):
        image.data[:] = done.data
    return [Answer(inference_s) for _, inference_s in stylized]


def _receive_memory(connection: "Connection[Any, Any]", size: int) -> Plane:
    fd = recv_handle(connection)
    try:
        return _view(fd, size)
    finally:
        os.close(fd)


def _nameless_memory(size: int) -> int:
    """A file descriptor of `size` bytes of shared memory."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("streamer")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, size)
    return fd


def _view(fd: int, size: int) -> Plane:
    return np.frombuffer(mmap.mmap(fd, size), np.uint8)
