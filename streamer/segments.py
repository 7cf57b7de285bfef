"""files → **segments** → encode → checkpoint.

Cuts the stream of stylized frames into stretches that are safe on disk once they are closed.
"""

import cv2
import numpy as np

from streamer.checkpoint import Checkpoint
from streamer.encode import Encoding, SegmentWriter
from streamer.frame import Image, i420_size

FRAMES = 240  # of a segment: what an interruption costs at most, and how often a keyframe comes
CUT_DIFFERENCE = 40  # mean difference of luma, of 255, that only a change of scene makes


class Segments:
    """Writes frames one after the other; whole segments survive whatever happens."""

    def __init__(
        self, checkpoint: Checkpoint, encoding: Encoding, first: int, smoother: "Smoother"
    ) -> None:
        self._checkpoint = checkpoint
        self._encoding = encoding
        self._number = first
        self._smoother = smoother
        self._writer: SegmentWriter | None = None
        self._pts: list[int] = []
        self._duration = 0

    def write(self, image: Image, pts: int, duration: int) -> None:
        """Smooth and encode a frame."""
        if self._writer is None:
            self._writer = SegmentWriter(self._checkpoint.path(self._number), self._encoding)
            self._pts = []
        self._writer.write(self._smoother(image), pts, duration)
        self._pts.append(pts)
        self._duration = duration
        if len(self._pts) == FRAMES:
            self.close()

    def close(self) -> None:
        """Close the segment at work, so that it counts."""
        if self._writer is None:
            return
        with self._writer:
            self._writer = None
        state = self._smoother.state
        self._checkpoint.close(self._number, tuple(self._pts), self._duration, state)
        self._number += 1

    def abandon(self) -> None:
        """Leave the segment at work as it is: it does not count."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


class Smoother:
    """Calms flicker: each frame shows `weight` (0..0.95) of the one before, except at a cut."""

    def __init__(self, weight: float, width: int, height: int, state: bytes = b"") -> None:
        self._weight = weight
        self._luma = width * height
        whole = len(state) == i420_size(width, height)
        self._last = np.frombuffer(state, np.uint8) if whole else None

    @property
    def state(self) -> bytes:
        """What the next frame depends on; empty when it depends on nothing."""
        return b"" if self._last is None else self._last.tobytes()

    def __call__(self, image: Image) -> Image:
        if self._weight == 0:
            return image
        data = image.data
        if self._last is not None and not self._is_cut(image):
            mixed = cv2.addWeighted(data, 1 - self._weight, self._last, self._weight, 0)
            data = np.asarray(mixed, np.uint8).reshape(-1)
        self._last = data
        return Image(image.width, image.height, data)

    def _is_cut(self, image: Image) -> bool:
        assert self._last is not None
        changed = cv2.absdiff(image.data[: self._luma : 16], self._last[: self._luma : 16])
        return float(changed.mean()) > CUT_DIFFERENCE
