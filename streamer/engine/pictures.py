"""Pictures like photographs, made by code: what ranges are measured on where there is no photo.

Dead leaves (Lee, Mumford & Huang 2001): discs of all sizes that cover one another have the edges
and the spectrum of natural pictures. Soft shading and a little noise go on top.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
COUNT = 4


@cache
def pictures(width: int, height: int) -> tuple[tuple[Plane, Plane, Plane], ...]:
    """Y, U and V of each; always the same. Both sides are even."""
    return tuple(_picture(width, height, np.random.default_rng(seed)) for seed in range(COUNT))


def _picture(width: int, height: int, rng: np.random.Generator) -> tuple[Plane, Plane, Plane]:
    canvas = np.zeros((height, width, 3), np.uint8)
    base, spread = rng.uniform(60, 190), rng.uniform(35, 70)
    # Radii of density r^-3, large ones first, so that small ones stay visible.
    radii = np.sort(3 * (1 - rng.random(1500)) ** -0.5)[::-1].clip(max=min(width, height) / 2)
    for radius in radii:
        center = int(rng.integers(width)), int(rng.integers(height))
        tone = base + spread * rng.normal()
        color = (tone + 22 * rng.normal(size=3)).clip(0, 255).tolist()
        cv2.circle(canvas, center, int(radius), color, -1, cv2.LINE_AA)
    coarse = rng.normal(1, 0.25, (4, 6)).astype(np.float32)
    shade = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    noisy = cv2.GaussianBlur(canvas, (0, 0), 0.6) * shade + rng.normal(0, 2, canvas.shape)
    data = cv2.cvtColor(noisy.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2YUV_I420).ravel()
    area = width * height
    u, v = data[area:].reshape(2, height // 2, width // 2)
    return data[:area].reshape(height, width), u, v
