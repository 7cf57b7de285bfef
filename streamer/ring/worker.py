"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `ring.py` makes it an actor.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamer.frame import Image, Style, i420_size
from streamer.i420 import resize
from streamer.ring.channel import Wish, answer_ring


class Stylize(Protocol):
    """What a worker needs of a stylizer; one that stylizes one by one inherits the rest."""

    @property
    def batches(self) -> bool:
        """Whether many at once are faster than one after the other."""
        return False

    def stylize(self, image: Image, style: Style) -> Image:
        """The image in the given style, at its own size."""

    def stylize_all(self, images: Sequence[Image], styles: Sequence[Style]) -> list[Image]:
        """Each image in its style."""
        return [self.stylize(*one) for one in zip(images, styles, strict=True)]


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

    def __init__(self, load: Callable[[], Stylize], warm: Style) -> None:
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
        return answer_ring(address, index, self._answer, together=self._stylizer.batches)

    def _answer(self, wishes: Sequence[Wish]) -> list[tuple[Image, float]]:
        jobs, images = zip(*wishes, strict=True)
        styles, heights_px = [job.style for job in jobs], [job.height_px for job in jobs]
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
