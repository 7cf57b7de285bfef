"""ring ⇄ **channel** ⇄ worker, on one machine.

Planes lie in memory both processes share; a Unix socket says "this slot is yours" one way and
"it is done" the other. A process that dies, dies loudly: its end of the socket closes at once,
seconds before anything else would notice.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np

from streamer.errors import StreamerError
from streamer.frame import Frame, Image, Plane, Style, i420_size
from streamer.memory import LARGE_BYTES, is_shared, new_memory, receive_memory, send_memory
from streamer.statistics import Measurement, Orders

HELLO_S = 5  # for a worker that connected to say which it is
SHRINK_BYTES = 16 << 20  # memory above this is given back when images need a quarter of it


@dataclass(frozen=True, slots=True)
class Request:
    """What to do with an image."""

    style: Style
    height_px: int | None = None
    orders: Orders | None = None
    upcoming: Style | None = None  # to be prepared

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """What a frame asks for."""
        return cls(frame.style, frame.height_px, frame.orders, frame.upcoming)


@dataclass(frozen=True, slots=True)
class Response:
    """What became of a request; without an image `error` says why."""

    inference_s: float
    image: Image | None = None
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    height_px: int | None = None  # that it was stylized at
    upcoming_ready: bool = True
    error: str | None = None
    to_blame: bool = False  # the worker is, not what was asked of it
    worked_s: float = 0.0  # that the worker has worked for all its rings, when it has several

    @classmethod
    def of(cls, error: Exception) -> Self:
        text = f"{type(error).__name__}: {error}"
        return cls(0.0, error=text, to_blame=not isinstance(error, StreamerError))


@dataclass(frozen=True, slots=True)
class SlotFilled:
    """An image of this size begins the memory of `slot`; its result is to be written over it."""

    slot: int
    width: int
    height: int
    request: Request


@dataclass(frozen=True, slots=True)
class SlotsWanted:
    """A ring that shares its worker with others asks for so many slots more."""

    count: int


@dataclass(frozen=True, slots=True)
class SlotsGranted:
    """It may fill so many slots more."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class SlotsReturned:
    """It has no use for so many of those that it was granted."""

    count: int


@dataclass(frozen=True, slots=True)
class SlotResized:
    """`slot` has new memory of `size` bytes; its file descriptor follows on the socket."""

    slot: int
    size: int


Stylize = Callable[[Sequence[Request], Sequence[Image]], Sequence[Response]]


class RingEnd:
    """The ring's end of the channel to one worker, with room for `depth` images.

    Blocks until the worker says which it is, `HELLO_S` at most. Raises EOFError, OSError, or
    what comes of bytes that no worker sent.
    """

    def __init__(self, accepted: socket.socket, depth: int) -> None:
        accepted.setblocking(True)  # every message is far smaller than a socket's buffer
        self._connection: Connection[Any, Any] = Connection(accepted.detach())
        try:
            if not self._connection.poll(HELLO_S):
                raise TimeoutError("it does not say which worker it is")
            self.index: int = self._connection.recv()
        except BaseException:
            self._connection.close()
            raise
        self._memory: list[Plane] = [np.empty(0, np.uint8)] * depth
        self._free = deque(range(depth))
        # Of each request in flight: slot, shape, whether the slot's memory is the image's own.
        self._busy: deque[tuple[int, Image, bool]] = deque()

    def fileno(self) -> int:
        """For `loop.add_reader`: readable when `receive` has something."""
        return self._connection.fileno()

    def send(self, image: Image, request: Request) -> None:
        """Hand over one image. Raises OSError when the worker is gone.

        A large one in memory that `is_shared` is not copied, but becomes its own result: the
        worker writes it over when all is done, so one that fails has not changed it.
        """
        slot, size = self._free.popleft(), image.data.nbytes
        has = self._memory[slot].nbytes
        given = size >= LARGE_BYTES and is_shared(image.data)
        if given:
            self._put(slot, image.data)
        else:
            unfit = size > has or (has > SHRINK_BYTES and 4 * size < has)
            memory = new_memory(size) if unfit else self._memory[slot]
            memory[:size] = image.data  # first: who is told of memory waits for the image in it
            if unfit:
                self._put(slot, memory)
        self._busy.append((slot, image, given))
        self._connection.send(SlotFilled(slot, image.width, image.height, request))

    def receive(self) -> Response:
        """The oldest request's response. Raises EOFError or OSError when the worker is gone."""
        response = self.take()
        assert isinstance(response, Response)  # of a worker that is not shared
        return response

    def take(self) -> Response | SlotsGranted:
        """As `receive`, of a worker that may be shared: its response or its grant."""
        response = self._connection.recv()
        if isinstance(response, SlotsGranted):
            return response
        assert isinstance(response, Response)  # nothing else is ever sent this way
        slot, asked, given = self._busy.popleft()
        self._free.append(slot)
        if given:
            self._memory[slot] = np.empty(0, np.uint8)
        if response.error is not None:
            return response
        data = asked.data if given else self._memory[slot][: asked.data.nbytes].copy()
        return replace(response, image=Image(asked.width, asked.height, data))

    def tell(self, news: object) -> None:
        """Something that is no image, for the other end's `receive`."""
        self._connection.send(news)

    def close(self) -> None:
        self._connection.close()

    def _put(self, slot: int, memory: Plane) -> None:
        self._connection.send(SlotResized(slot, memory.nbytes))
        send_memory(self._connection, memory)
        self._memory[slot] = memory


class WorkerEnd:
    """The worker's end: images to stylize, each answered in the order they came.

    It says first which worker it is. Raises OSError when the other end is gone.
    """

    def __init__(self, connection: "Connection[Any, Any]", index: int = 0) -> None:
        connection.send(index)
        self._connection = connection
        self._memory: dict[int, Plane] = {}
        self._asked: deque[Image] = deque()

    def fileno(self) -> int:
        """For `loop.add_reader`: readable when `receive` has something, or soon will."""
        return self._connection.fileno()

    @property
    def waiting(self) -> bool:
        """Whether `receive` returns at once."""
        return self._connection.poll()

    def receive(self) -> Any:
        """A request and its image, which stays as it is until it is answered; or what was told.

        Raises EOFError or OSError when the other end is gone.
        """
        while isinstance(message := self._connection.recv(), SlotResized):
            self._memory[message.slot] = receive_memory(self._connection, message.size)
        if not isinstance(message, SlotFilled):
            return message
        data = self._memory[message.slot][: i420_size(message.width, message.height)]
        image = Image(message.width, message.height, data)
        self._asked.append(image)
        return message.request, image

    def grant(self, count: int = 1) -> None:
        """Leave to send so many images more. Raises OSError when the other end is gone."""
        self._connection.send(SlotsGranted(count))

    def respond(self, response: Response) -> None:
        """The oldest request's response. Raises OSError when the other end is gone."""
        asked = self._asked.popleft()
        if response.image is not None and response.image.data is not asked.data:
            asked.data[:] = response.image.data
        self._connection.send(replace(response, image=None))


def serve_ring(address: str, index: int, stylize: Stylize, batches: bool = False) -> bool:
    """Be worker `index` of the ring at `address` until it hangs up.

    `batches`: `stylize` gets all requests that wait. False when the ring is on another machine,
    where no such socket is.
    """
    if (connection := plug_in(address)) is None:
        return False
    with connection, contextlib.suppress(EOFError, ConnectionError):
        end = WorkerEnd(connection, index)
        waiting: list[tuple[Request, Image]] = []
        while True:
            waiting.append(end.receive())
            if not (batches and end.waiting):
                for response in answer(waiting, stylize):
                    end.respond(response)
                waiting.clear()
    return True


def plug_in(address: str) -> "Connection[Any, Any] | None":
    """A connection to the ring at `address`; None when that is on another machine."""
    if not Path(address).exists():
        return None
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(address)
        return Connection(plug.detach())


def answer(waiting: Sequence[tuple[Request, Image]], stylize: Stylize) -> list[Response]:
    """What became of each request; never raises."""
    requests, images = zip(*waiting, strict=True)
    try:
        return list(stylize(requests, images))
    except Exception as error:  # one bad image must not end the worker, nor spoil the others
        if len(waiting) > 1:
            return [response for one in waiting for response in answer([one], stylize)]
        return [Response.of(error)]
