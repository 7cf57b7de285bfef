"""Moving pictures that carry their number, readable after a lossy codec, a resize and a style."""

import functools
import operator
from fractions import Fraction

import av
import numpy as np

from streamer.avframe import to_frame
from streamer.frame import Image, Plane, i420_size

BITS = 16
CHECK_BITS = 4
CELLS = BITS + CHECK_BITS
DARK, BRIGHT = 32, 224
CONTRAST_MIN = 24  # between a cell and its inverse; a flat picture has none


def number_frame(n: int, width: int, height: int) -> Image:
    """A picture of any size from 64x32 on that says `n` modulo 65536.

    The upper quarter has the bits as bright and dark bars, most significant first, then a
    checksum; the quarter below has the same inverted, so that no brightness or colour cast
    matters. The lower half moves, as video does. From one number to the next two bars change,
    fewer than would look like another scene.
    """
    image = Image(width, height, np.full(i420_size(width, height), 128, np.uint8))
    luma, u, v = image.planes
    code = _code(n)
    bits = np.array([code >> i & 1 for i in reversed(range(CELLS))])
    bars = bits[np.arange(width) * CELLS // width] * (BRIGHT - DARK) + DARK
    quarter = height // 4
    luma[:quarter] = bars
    luma[quarter : 2 * quarter] = DARK + BRIGHT - bars
    rows = height - 2 * quarter
    stripes = (40 + np.abs((np.arange(width + 2 * rows) + n * 3) % 256 - 128)).astype(np.uint8)
    luma[2 * quarter :] = np.lib.stride_tricks.sliding_window_view(stripes, width)[: 2 * rows : 2]
    u[u.shape[0] // 2 :] = 100 + n % 50
    v[v.shape[0] // 2 :] = 160 - n % 50
    return image


def read_number(luma: Plane) -> int | None:
    """What `number_frame` wrote into a luma plane of any size; None: cannot be read for certain."""
    height, width = luma.shape
    quarter = height / 4
    upper = luma[int(quarter * 0.25) : int(quarter * 0.75) + 1].mean(axis=0)
    lower = luma[int(quarter * 1.25) : int(quarter * 1.75) + 1].mean(axis=0)
    contrast = upper - lower
    code = 0
    for cell in range(CELLS):
        left, right = int((cell + 0.3) * width / CELLS), int((cell + 0.7) * width / CELLS)
        bar = contrast[left : max(right, left + 1)].mean()
        if abs(bar) < CONTRAST_MIN:
            return None
        code = code << 1 | int(bar > 0)
    number = _number(code)
    return number if _code(number) == code else None


def _code(n: int) -> int:
    """Gray code of `n` with a checksum."""
    n %= 1 << BITS
    gray = n ^ n >> 1
    return gray << CHECK_BITS | (gray ^ gray >> 4 ^ gray >> 8 ^ gray >> 12 ^ 0b1010) & 0xF


def _number(code: int) -> int:
    gray = code >> CHECK_BITS
    return functools.reduce(operator.xor, (gray >> bit for bit in range(BITS)))


def timed_frame(image: Image, pts: int) -> av.VideoFrame:
    """The image as an encoder takes it, at `pts` of a 90 kHz clock."""
    frame = to_frame(image)
    frame.pts, frame.time_base = pts, Fraction(1, 90_000)
    return frame
