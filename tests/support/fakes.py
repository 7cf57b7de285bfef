"""Stand-ins at the wires: workers in threads instead of Ray's processes, lists instead of cameras.

The channel between ring and worker is the real one: a Unix socket and shared memory.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np

from streamer.errors import RingError
from streamer.frame import Frame, Image, i420_size
from streamer.ring.channel import Request, Response, serve_ring
from streamer.ring.flow import Completion
from streamer.ring.ring import Ring
from streamer.ring.worker import About
from streamer.ring.worker_handle import Make, Process

VIDEO = Fraction(1, 90000)


class Killed(BaseException):
    """What a stylize function raises to take its worker down, as `kill -9` would."""


Stylize = Callable[[Image], Image]


def leave(image: Image) -> Image:
    return image


def invert(image: Image) -> Image:
    return Image(image.width, image.height, 255 - image.data)


@dataclass
class ThreadWorkers:
    """Workers as threads of this process; `remote` ones are reached by plain calls only.

    `together`: each stylizes all frames that wait for it at once; `batches` tells how many.
    """

    count: int = 1
    stylize_image: Stylize = leave
    remote: bool = False
    hopeless: bool = False
    together: bool = False
    batches: list[int] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)
    restarted: list[int] = field(default_factory=list)
    stopped: bool = False

    def __len__(self) -> int:
        return self.count

    def shortage(self) -> str | None:
        return None

    async def about(self, index: int) -> About:
        return About("here", 1, "fake", (), "none", 0.0)

    async def serve(self, index: int, address: str) -> bool:
        if self.hopeless:
            raise RingError(f"worker {index} cannot start: no model")
        if self.remote:
            return False
        try:
            return await asyncio.get_running_loop().run_in_executor(
                None, self._answer, address, index
            )
        except ConnectionError:
            self.deaths[index] += 1
            raise

    async def stylize(self, index: int, frame: Frame) -> Response:
        try:
            return Response(0.0, await asyncio.to_thread(self.stylize_image, frame.image))
        except Killed as death:
            self.deaths[index] += 1
            raise ConnectionError("killed") from death
        except Exception as error:
            raise RuntimeError(str(error)) from error

    def start_processes(self, count: int, make: Make) -> Sequence[Process]:
        raise NotImplementedError

    async def ended(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    def restart(self, index: int) -> None:
        self.restarted.append(index)

    def stop(self) -> None:
        self.stopped = True

    def _answer(self, address: str, index: int) -> bool:
        def stylize(requests: Sequence[Request], images: Sequence[Image]) -> list[Response]:
            began = time.monotonic()
            stylized = [self.stylize_image(image) for image in images]
            self.batches.append(len(images))
            return [Response(time.monotonic() - began, image) for image in stylized]

        try:
            return serve_ring(address, index, stylize, self.together)
        except Killed as death:  # a BaseException would end the executor's thread
            raise ConnectionError("killed") from death


def numbered(number: int, width: int = 32, height: int = 16, pts: int | None = None) -> Frame:
    """A frame whose every byte is `number`, so that it can be told from its neighbours."""
    data = np.full(i420_size(width, height), number, np.uint8)
    at = 3000 * number if pts is None else pts
    return Frame(Image(width, height, data), at, VIDEO, time.monotonic())


class ListSource:
    """Frames 0..count-1, as fast as they are taken or every `interval_s`."""

    def __init__(self, count: int, interval_s: float = 0.0) -> None:
        self._count = count
        self._interval_s = interval_s
        self._next = 0

    async def ready(self) -> bool:
        await asyncio.sleep(self._interval_s)
        return self._next < self._count

    def take(self) -> Frame:
        self._next += 1
        return numbered(self._next - 1)


class ListSink:
    """Keeps what it is sent, and when."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.times: list[float] = []

    async def send(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.times.append(time.monotonic())

    @property
    def numbers(self) -> list[int]:
        return [int(frame.image.data[0]) for frame in self.frames]


class Once:
    """Does something with the first image only, or with the first `times` ones; then stylizes."""

    def __init__(self, act: Callable[[], None], times: int = 1, then: Stylize = leave) -> None:
        self._calls = itertools.count()
        self._lock = threading.Lock()
        self._act = act
        self._times = times
        self._then = then

    def __call__(self, image: Image) -> Image:
        with self._lock:
            call = next(self._calls)
        if call < self._times:
            self._act()
        return self._then(image)


class Gate:
    """Holds a worker, and tells when it is there."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def pass_(self) -> None:
        self.reached.set()
        self.open.wait(5)


async def four_at_a_gate(one: Ring, gate: Gate) -> list[Completion | None]:
    """A frame of each of four live flows: the first is in work while the others come."""
    flows = [one.open(live=True) for _ in range(4)]
    for number, flow in enumerate(flows):
        await flow.submit(partial(numbered, number))
        await asyncio.to_thread(gate.reached.wait, 5)
    gate.open.set()
    return [await flow.result(5) for flow in flows]
