"""camera, receiver → **denoiser** → intake: a motion-adaptive temporal filter against noise.

A pixel that differs little from the last filtered one is noise and moves a small part of the way;
one that differs much is motion. Chroma is held back less: behind what moves, its trail shows.
"""

import numpy as np

from streamer.frame import Image, Plane
from streamer.pipeline.smoother import follow


class Denoiser:
    """For the frames of one stream, in order."""

    def __init__(self) -> None:
        self._last: Plane | None = None

    def __call__(self, image: Image) -> Image:
        """The image with less noise; one of another size than the last as it is."""
        data, last = image.data, self._last
        if last is not None and last.shape == data.shape:
            luma, data = image.width * image.height, np.empty_like(data)
            for part, held in ((slice(luma), _LUMA), (slice(luma, None), _CHROMA)):
                follow(last[part], image.data[part], held, data[part])
        self._last = data
        return Image(image.width, image.height, data)


def _held(weight: float, noise: float) -> Plane:
    """How far to hold back a difference of 0..255: of `noise` still a third of `weight`."""
    difference = np.arange(256.0)
    held = weight * difference * np.exp(-((difference / noise) ** 2))
    return np.asarray(held, np.uint8)  # cut off, not rounded: else small changes never arrive


_LUMA, _CHROMA = _held(0.9, 12), _held(0.7, 7)
