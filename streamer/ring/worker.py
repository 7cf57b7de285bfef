"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `cluster.py` makes it an actor.
"""

import logging
import os
import queue
import socket
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.engine.priority import give_way
from streamer.engine.stylizer import Stylizer, Task
from streamer.errors import StreamerError
from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Size, Style, i420_size
from streamer.i420 import size_at
from streamer.ring.channel import Request, Response, serve_ring
from streamer.ring.switchboard import Switchboard

log = logging.getLogger(__name__)

WARM_PX = 360  # the height that is ready from the beginning
STREAMS = 16  # whose height is remembered
MAX_WANTED = 64  # sizes and styles that wait to be prepared
INSTRUCTIONS = (  # that decide how fast a CPU runs networks, as Linux names them
    "amx_int8", "amx_bf16", "avx512_vnni", "avx512_bf16", "avx_vnni", "avx512f", "avx2",
    "i8mm", "bf16", "asimddp",
)  # fmt: skip
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class About:
    """What a worker runs on, and how long it took for a frame of 640x360 when it started."""

    host: str
    pid: int
    cpu: str
    instructions: tuple[str, ...]
    engine: str
    frame_ms: float
    address: str = "127.0.0.1"


def _cpu_info() -> list[tuple[str, str]]:
    """What Linux says of the first core; nothing elsewhere."""
    try:
        first = CPU_INFO.read_text().partition("\n\n")[0]
    except OSError:
        return []
    pairs = (line.partition(":") for line in first.splitlines())
    return [(name.strip(), value.strip()) for name, _, value in pairs]


class Worker:
    """Stylizes images, for a ring on this machine or on another: one at a time, or a batch."""

    def __init__(self, load: Callable[[], Stylizer], warm: Style) -> None:
        self._stylizer = load()
        self._lock = threading.Lock()  # one batch at a time, whichever way it comes in
        self._switchboard: Switchboard | None = None
        self._preparation = Preparation(self._stylizer)
        # An engine that still compiles while Python ends aborts the process.
        weakref.finalize(self, self._preparation.stop)
        self._heights: OrderedDict[int, int] = OrderedDict()  # at last, by stream
        grey = Image(640, WARM_PX, np.full(i420_size(640, WARM_PX), 128, np.uint8))
        frame = Frame(grey, 0, VIDEO_TIME_BASE, 0.0, warm)
        self._stylizer.prepare(grey.size, warm)
        self.stylize(frame)  # the first image of an engine is its slowest
        self._frame_s = self.stylize(frame).inference_s
        for name in self._stylizer.beside(warm):
            self._preparation.want(grey.size, Style(((name, 1.0),)))

    def about(self) -> About:
        """What this worker runs on."""
        told = dict(_cpu_info())
        words = set((told.get("flags") or told.get("Features") or "").split())
        return About(
            socket.gethostname(),
            os.getpid(),
            told.get("model name", ""),
            tuple(one for one in INSTRUCTIONS if one in words),
            self._stylizer.engine,
            round(1000 * self._frame_s, 1),
        )

    def stylize(self, frame: Frame) -> Response:
        """Stylize a frame at its `height_px`; the image comes back at its own size."""
        return self._stylize([Request.of(frame)], [frame.image])[0]

    def serve(self, address: str, index: int, shared: int = 0) -> bool:
        """Answer the ring at `address` until it hangs up; False if it is on another machine.

        `shared`: slots that all its rings share, each of which gives the same number; 0: it is
        the only one.
        """
        batches = self._stylizer.batches
        if not shared:
            return serve_ring(address, index, self._stylize, batches)
        with self._lock:
            if self._switchboard is None:
                self._switchboard = Switchboard(shared, self._stylize, batches)
        return self._switchboard.serve(address, index)

    def _stylize(self, requests: Sequence[Request], images: Sequence[Image]) -> list[Response]:
        """Each with the seconds that all of them waited for each other."""
        asked = list(zip(requests, images, strict=True))
        with self._lock:
            began = time.monotonic()
            tasks = [
                Task(image, one.style, one.orders, self._choose(one, image)) for one, image in asked
            ]
            done = self._stylizer.stylize_all(tasks)
            ready = [self._is_ready(one, image) for one, image in asked]
            inference_s = time.monotonic() - began
        return [
            Response(
                inference_s,
                one.image,
                one.measured,
                min(task.size) if task.size else None,
                upcoming_ready=upcoming_ready,
            )
            for one, task, upcoming_ready in zip(done, tasks, ready, strict=True)
        ]

    def _choose(self, request: Request, image: Image) -> Size:
        """The size to stylize an image at.

        A frame of a live stream whose size has to be compiled first is stylized at the height of
        the frame before it, or at one that is ready, while a thread prepares what it needs. When
        none is ready, as with a camera of another shape, it waits for the least of them.
        """
        if not self._stylizer.paints(request.style):
            return image.size
        wanted = size_at(image, request.height_px)
        stream = None if request.orders is None else request.orders.stream
        if stream is None:
            return wanted
        if self._preparation.ready(wanted, request.style):
            self._heights[stream] = min(wanted)
            self._heights.move_to_end(stream)
            if len(self._heights) > STREAMS:
                self._heights.popitem(last=False)
            return wanted
        for height_px in (self._heights.get(stream, WARM_PX), WARM_PX):
            size = size_at(image, height_px)
            if self._stylizer.ready(size, request.style):
                self._preparation.want(wanted, request.style)
                return size
        return size

    def _is_ready(self, request: Request, image: Image) -> bool:
        """Whether what comes next could be stylized at once, at the least height; else it will."""
        style, least = request.upcoming, size_at(image, WARM_PX)
        try:
            if style is None or self._preparation.ready(least, style):
                return True
            self._preparation.want(least, style)
        except StreamerError:
            return True  # whoever asks for it is told
        return False


Wish = tuple[Size, frozenset[str]]  # and the styles


def _wish(size: Size, style: Style) -> Wish:
    return size, frozenset(name for name, _ in style.blend)


class Preparation:
    """Compiles in a thread what a stylizer needs for a size and a style; the newest wish first."""

    def __init__(self, stylizer: Stylizer) -> None:
        self._stylizer = stylizer
        self._failed: set[Wish] = set()
        self._wanted: set[Wish] = set()  # waiting or being prepared
        self._queue: queue.LifoQueue[tuple[Wish, Style] | None] = queue.LifoQueue()
        self._thread = threading.Thread(target=self._run, name="prepare", daemon=True)
        self._thread.start()

    def ready(self, size: Size, style: Style) -> bool:
        """Whether an image of this size can be stylized now.

        True too for what could not be prepared, so that stylizing it says why.
        """
        return _wish(size, style) in self._failed or self._stylizer.ready(size, style)

    def want(self, size: Size, style: Style) -> None:
        """So that it will be ready soon."""
        wish = _wish(size, style)
        if wish not in self._wanted and len(self._wanted) < MAX_WANTED:
            self._wanted.add(wish)
            self._queue.put((wish, style))

    def stop(self) -> None:
        """Finish what is being compiled, and nothing more."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        give_way()
        while (wanted := self._queue.get()) is not None:
            wish, style = wanted
            try:
                self._stylizer.prepare(wish[0], style)
            except Exception:
                log.exception("x %dx%d cannot be prepared", *wish[0])
                if len(self._failed) >= MAX_WANTED:
                    self._failed.clear()
                self._failed.add(wish)
            self._wanted.discard(wish)
