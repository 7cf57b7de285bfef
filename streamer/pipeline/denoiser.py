"""camera, receiver → **denoiser** → intake: a motion-adaptive temporal filter against noise.

The temporal half of FFmpeg's hqdn3d, on 8 bits: a pixel that differs little from the last filtered
one is noise and moves a small part of the way; one that differs much is motion.
"""

import math

import numpy as np

from streamer.frame import Image, Plane
from streamer.pipeline.smoother import follow

STRENGTH = 12.0  # of 255: three quarters of a difference of this size are taken, as in hqdn3d


class Denoiser:
    """For the frames of one stream, in order."""

    def __init__(self) -> None:
        self._last: Plane | None = None

    def __call__(self, image: Image) -> Image:
        """The image with less noise; one of another size than the last as it is."""
        data, last = image.data, self._last
        if last is not None and last.shape == data.shape:
            data = follow(last, data, _HELD)
        self._last = data
        return Image(image.width, image.height, data)


def _held(strength: float) -> Plane:
    """How far to hold back a difference of 0..255."""
    difference = np.arange(256.0)
    power = math.log(0.25) / math.log(1 - strength / 255)
    held = difference * (1 - difference / 255) ** power
    return np.asarray(held, np.uint8)  # cut off, not rounded: else small changes never arrive


_HELD = _held(STRENGTH)
