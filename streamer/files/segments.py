"""files → **segments** → encode → checkpoint.

Cuts the stream of stylized frames into stretches that are safe on disk once they are closed.
"""

from streamer.files.checkpoint import Checkpoint
from streamer.files.encode import Encoding, SegmentWriter
from streamer.frame import Image
from streamer.pipeline.smoother import Smoother

FRAMES = 240  # of a segment: what an interruption costs at most, and how often a keyframe comes


class Segments:
    """Writes frames one after the other; whole segments survive whatever happens."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        encoding: Encoding,
        first: int,
        smoother: Smoother,
        smooth: float,
    ) -> None:
        self._checkpoint = checkpoint
        self._encoding = encoding
        self._number = first
        self._smoother = smoother
        self._smooth = smooth
        self._writer: SegmentWriter | None = None
        self._pts: list[int] = []
        self._duration = 0

    def write(self, image: Image, pts: int, duration: int) -> None:
        """Smooth and encode a frame."""
        if self._writer is None:
            self._writer = SegmentWriter(self._checkpoint.path(self._number), self._encoding)
            self._pts = []
        self._writer.write(self._smoother(image, self._smooth), pts, duration)
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
