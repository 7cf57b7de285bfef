"""Pictures made for tests: smooth, colourful, and different everywhere."""

import cv2
import numpy as np

from streamer.frame import Image
from streamer.i420 import Pixels, from_rgb


def smooth_rgb(width: int, height: int, seed: int = 0) -> Pixels:
    """Soft patches of random colours, (height, width, 3)."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC))


def picture(width: int, height: int, seed: int = 0) -> Image:
    """The same as an image."""
    return from_rgb(smooth_rgb(width, height, seed))
