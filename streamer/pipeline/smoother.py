"""reorder → **smoother** → pacer: a motion-adaptive temporal filter against flicker.

A pixel that hardly changed since the last frame is flicker and moves only part of the way. One
that changed much is motion and is shown as it is, so nothing leaves a ghost behind.
"""

from functools import lru_cache

import cv2
import numpy as np

from streamer.frame import SMOOTHEST, Image, Plane

_PART = 1 << 17  # bytes at a time
MOTION = 32.0  # of 255: a change of this size keeps a third of its smoothing, of twice this none


class Smoother:
    """Gives each frame, in order, a part `weight` (0..0.95) of the one shown before it.

    `state` is all it remembers: the image shown last, as bytes; empty when there is none.
    """

    def __init__(self, state: bytes = b"") -> None:
        self._last: Plane | None = np.frombuffer(state, np.uint8) if state else None

    @property
    def state(self) -> bytes:
        """What the next frame depends on; empty when it depends on nothing."""
        return b"" if self._last is None else self._last.tobytes()

    def forget(self) -> None:
        """The next frame is shown as it is."""
        self._last = None

    def __call__(self, image: Image, weight: float) -> Image:
        """The image as it is to be shown; one of another size than the last is shown as it is."""
        if weight <= 0:
            return image
        data, last = image.data, self._last
        if last is not None and last.shape == data.shape:
            data = np.empty_like(image.data)
            follow(last, image.data, _part_of(round(weight, 3)), data)
        self._last = data
        return Image(image.width, image.height, data)


def follow(last: Plane, data: Plane, held: Plane, moved: Plane) -> None:
    """From the last image to this one, each change of 0..255 held back by what `held` says.

    Writes to `moved`; part by part, since what stays in the processor's cache takes half the time.
    """
    scratch = np.empty((2, min(_PART, len(data))), np.uint8)
    for at in range(0, len(data), _PART):
        old, new, result = (one[at : at + _PART] for one in (last, data, moved))
        back, most = scratch[:, : len(new)]
        cv2.LUT(cv2.absdiff(old, new, dst=back), held, dst=back)
        # Between the new value and the old one, as near to the old one as may be.
        cv2.max(cv2.subtract(new, back, dst=result), old, dst=result)
        cv2.min(cv2.add(new, back, dst=most), result, dst=result)


@lru_cache(maxsize=64)
def _part_of(weight: float) -> Plane:
    """How far to hold back a change of 0..255."""
    change = np.arange(256.0)
    held = min(weight, SMOOTHEST) * change * np.exp(-((change / MOTION) ** 2))
    return np.asarray(held, np.uint8)  # cut off, not rounded: else small changes never arrive
