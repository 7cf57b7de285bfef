"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `cluster.py` makes it an actor.
"""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from streamer.engine.stylizer import Stylizer
from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Style, i420_size
from streamer.i420 import resize
from streamer.ring.channel import Request, Response, serve_ring


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
        grey = Image(640, 360, np.full(i420_size(640, 360), 128, np.uint8))
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
            sizes = (
                height_to_size(*one)
                for one in zip(images, (r.height_px for r in requests), strict=True)
            )
            small = [resize(image, *size) for image, size in zip(images, sizes, strict=True)]
            done = self._stylizer.stylize_all(
                small, [one.style for one in requests], [one.orders for one in requests]
            )
            whole = [
                resize(one.image, image.width, image.height)
                for one, image in zip(done, images, strict=True)
            ]
            inference_s = time.monotonic() - began
        pairs = zip(whole, done, strict=True)
        return [Response(inference_s, image, one.measured) for image, one in pairs]
