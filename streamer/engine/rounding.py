"""Weights as whole numbers whose errors cancel in what pictures show.

A rounded weight is off by up to half a step. Rounded one after the other, each passes its error on
to those still to come, as far as both see the same (Frantar et al. 2023). In a photograph
neighbouring pixels do, and none is black on average.
"""

import numpy as np

from streamer.engine.graph import Array
from streamer.engine.separable import DEVIATION, NOISE, REACH_PX

_YUV_MEAN, _YUV_DEVIATION = np.array([0.45, 0.5, 0.5]), np.array([0.86, 0.2, 0.2]) * DEVIATION
_LEAST = 1e-4  # of the moments' mean, so that they can be inverted


def rounded(weights: Array, moments: Array, most: int) -> Array:
    """Whole numbers up to `most` for weights (outputs, n) of inputs with these moments (n, n)."""
    count = len(moments)
    seen = moments + _LEAST * np.trace(moments) / count * np.eye(count)
    passed_on = np.linalg.cholesky(np.linalg.inv(seen)).T
    left, whole = weights.astype(float), np.zeros(weights.shape)
    for at in range(count):
        whole[:, at] = np.rint(left[:, at]).clip(-most, most)
        error = (left[:, at] - whole[:, at]) / passed_on[at, at]
        left -= np.outer(error, passed_on[at])
    return whole


def of_image(height: int, width: int) -> Array:
    """Second moments of the Y, U and V, 0..1, that a kernel of this size sees."""
    pixels = height * width
    mean = np.repeat(_YUV_MEAN, pixels)
    return np.kron(np.diag(_YUV_DEVIATION**2), _alike(height, width)) + np.outer(mean, mean)


def of_columns(count: int, width: int) -> Array:
    """Of what a separated convolution has between its column and its row, which is about zero."""
    return np.kron(np.eye(count), _alike(1, width))


def _alike(height: int, width: int) -> Array:
    """How alike the pixels of a kernel are."""
    rows, columns = np.divmod(np.arange(height * width), width)
    distances = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    return np.asarray(np.exp(-distances / REACH_PX) + NOISE * np.eye(height * width))
