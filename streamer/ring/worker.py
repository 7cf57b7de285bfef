"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `cluster.py` makes it an actor.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from streamer.engine.stylizer import Stylizer
from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Style, i420_size
from streamer.i420 import resize
from streamer.ring.channel import Request, Response, serve_ring

log = logging.getLogger(__name__)

WARM_PX = 360  # the height that is ready from the beginning
STREAMS = 16  # whose last request is remembered

def height_to_size(image: Image, height_px: int | None) -> tuple[int, int]:
    """Width and height to stylize at: never above the image's own, even, same shape."""
    if height_px is None or height_px >= image.height:
        return image.width, image.height
    width = round(image.width * height_px / image.height / 2) * 2
    return max(width, 2), height_px


class Worker:
    """Stylizes images, for a ring on this machine or on another: one at a time, or a batch."""

    def __init__(self, load: Callable[[], Stylizer], warm: Style) -> None:
        self._stylizer = load()
        self._lock = threading.Lock()  # one batch at a time, whichever way it comes in
        self._preparation = Preparation(self._stylizer)
        self._last: OrderedDict[int, Request] = OrderedDict()  # of each stream, that was ready
        grey = Image(640, WARM_PX, np.full(i420_size(640, WARM_PX), 128, np.uint8))
        frame = Frame(grey, 0, VIDEO_TIME_BASE, 0.0, warm)
        self.stylize(frame)  # the first image of an engine is its slowest

    def stylize(self, frame: Frame) -> Response:
        """Stylize a frame at its `height_px`; the image comes back at its own size."""
        request = Request(frame.style, frame.height_px, frame.orders)
        return self._stylize([request], [frame.image])[0]

    def serve(self, address: str, index: int) -> bool:
        """Answer the ring at `address` until it hangs up; False if it is on another machine."""
        return serve_ring(address, index, self._stylize, self._stylizer.batches)

    def _stylize(self, requests: Sequence[Request], images: Sequence[Image]) -> list[Response]:
        """Each with the seconds that all of them waited for each other."""
        with self._lock:
            began = time.monotonic()
            chosen = [self._choose(*one) for one in zip(requests, images, strict=True)]
            small = [image for _, image in chosen]
            done = self._stylizer.stylize_all(
                small, [one.style for one, _ in chosen], [one.orders for one, _ in chosen]
            )
            whole = [
                resize(one.image, image.width, image.height)
                for one, image in zip(done, images, strict=True)
            ]
            inference_s = time.monotonic() - began
        parts = zip(whole, done, small, strict=True)
        return [
            Response(inference_s, image, one.measured, worked_on.height)
            for image, one, worked_on in parts
        ]

    def _choose(self, request: Request, image: Image) -> tuple[Request, Image]:
        """A request and the image at the size to stylize it at.

        A frame of a live stream whose size or style has to be compiled first is stylized as the one
        before it, while a thread prepares what it needs.
        """
        wanted = resize(image, *height_to_size(image, request.height_px))
        stream = None if request.orders is None else request.orders.stream
        if stream is None:
            return request, wanted
        if self._preparation.ready(wanted, request.style):
            self._remember(stream, request)
            return request, wanted
        last = self._last.get(stream, request)
        for look in (request, last):
            for height_px in (last.height_px, WARM_PX):
                small = resize(image, *height_to_size(image, height_px))
                if self._stylizer.ready(small, look.style):
                    return look, small
        return request, wanted

    def _remember(self, stream: int, request: Request) -> None:
        self._last[stream] = request
        self._last.move_to_end(stream)
        if len(self._last) > STREAMS:
            self._last.popitem(last=False)


class Preparation:
    """Compiles in a thread what a stylizer needs for a size and a style, one at a time."""

    def __init__(self, stylizer: Stylizer) -> None:
        self._stylizer = stylizer
        self._thread: threading.Thread | None = None
        self._failed: tuple[int, int, tuple[tuple[str, float], ...]] | None = None

    def ready(self, image: Image, style: Style) -> bool:
        """Whether it can be stylized now; else it will be, soon.

        True too for what could not be prepared, so that stylizing it says why.
        """
        names = tuple((name, 1.0) for name, _ in style.blend)
        if self._failed == (image.width, image.height, names):
            return True
        if self._stylizer.ready(image, style):
            return True
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._prepare, args=(image, style, names), name="prepare", daemon=True
            )
            self._thread.start()
        return False

    def _prepare(self, image: Image, style: Style, names: tuple[tuple[str, float], ...]) -> None:
        try:
            self._stylizer.prepare(image, style)
        except Exception:
            log.exception("x %dx%d cannot be prepared", image.width, image.height)
            self._failed = image.width, image.height, names
