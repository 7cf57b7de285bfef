"""ring → **worker** → stylizer → **worker** → ring.

What runs in the other process. A plain class that knows no Ray: `ring.py` makes it an actor.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from streamer.channel import Job, answer_ring
from streamer.frame import Image, Style, i420_size


class Stylize(Protocol):
    """What a worker needs of a stylizer."""

    def stylize(self, image: Image, style: Style) -> Image:
        """The image in the given style, at its own size."""


@dataclass(frozen=True, slots=True)
class Painted:
    """A stylized image and the seconds it took."""

    image: Image
    inference_s: float


def resize(image: Image, width: int, height: int) -> Image:
    """`image` at another size: area averaging down, linear up, plane by plane."""
    if (image.width, image.height) == (width, height):
        return image
    method = cv2.INTER_AREA if height < image.height else cv2.INTER_LINEAR
    resized = Image(width, height, np.empty(i420_size(width, height), np.uint8))
    for source, target in zip(image.planes, resized.planes, strict=True):
        cv2.resize(source, target.shape[::-1], dst=target, interpolation=method)
    return resized


def height_to_size(image: Image, height_px: int | None) -> tuple[int, int]:
    """Width and height to stylize at: never above the image's own, even, same shape."""
    if height_px is None or height_px >= image.height:
        return image.width, image.height
    width = round(image.width * height_px / image.height / 2) * 2
    return max(width, 2), height_px


class Worker:
    """Stylizes one image at a time, for a ring on this machine or on another."""

    def __init__(self, load: Callable[[], Stylize], warm: Style) -> None:
        self._stylizer = load()
        self._lock = threading.Lock()  # one image at a time, whichever way it comes in
        grey = Image(640, 360, np.full(i420_size(640, 360), 128, np.uint8))
        self.paint(grey, warm, None)  # the first image of an engine is its slowest

    def paint(self, image: Image, style: Style, height_px: int | None) -> Painted:
        """Stylize at `height_px`, return at the image's own size."""
        with self._lock:
            began = time.monotonic()
            small = resize(image, *height_to_size(image, height_px))
            painted = self._stylizer.stylize(small, style)
            return Painted(resize(painted, image.width, image.height), time.monotonic() - began)

    def serve(self, address: str, index: int) -> bool:
        """Answer the ring at `address` until it hangs up; False if it is on another machine."""
        return answer_ring(address, index, self._answer)

    def _answer(self, job: Job, image: Image) -> tuple[Image, float]:
        painted = self.paint(image, job.style, job.height_px)
        return painted.image, painted.inference_s
