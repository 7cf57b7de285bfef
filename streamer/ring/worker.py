"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `cluster.py` makes it an actor.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.engine.stylizer import Stylizer
from streamer.frame import Image, Style, i420_size
from streamer.i420 import resize
from streamer.ring.channel import Requests, serve_ring


@dataclass(frozen=True, slots=True)
class Stylized:
    """A stylized image and the seconds it took."""

    image: Image
    inference_s: float


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
        self.stylize(grey, warm, None)  # the first image of an engine is its slowest

    def stylize(self, image: Image, style: Style, height_px: int | None) -> Stylized:
        """Stylize at `height_px`, return at the image's own size."""
        stylized, inference_s = self._stylize([image], [style], [height_px])
        return Stylized(stylized[0], inference_s)

    def serve(self, address: str, index: int) -> bool:
        """Answer the ring at `address` until it hangs up; False if it is on another machine."""
        return serve_ring(address, index, self._stylize_requests, self._stylizer.batches)

    def _stylize_requests(self, requests: Requests) -> list[tuple[Image, float]]:
        asked, images = zip(*requests, strict=True)
        styles, heights_px = [one.style for one in asked], [one.height_px for one in asked]
        stylized, inference_s = self._stylize(images, styles, heights_px)
        return [(image, inference_s) for image in stylized]

    def _stylize(
        self,
        images: Sequence[Image],
        styles: Sequence[Style],
        heights_px: Sequence[int | None],
    ) -> tuple[list[Image], float]:
        """The stylized images, and the seconds that all of them waited for each other."""
        with self._lock:
            began = time.monotonic()
            pairs = zip(images, heights_px, strict=True)
            small = [resize(image, *height_to_size(image, height)) for image, height in pairs]
            stylized = zip(self._stylizer.stylize_all(small, styles), images, strict=True)
            whole = [resize(done, image.width, image.height) for done, image in stylized]
            return whole, time.monotonic() - began
