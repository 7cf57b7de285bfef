"""source_sink → **scene statistics** → ring → **scene statistics**: statistics of a video's scenes.

They are the same in every run, whichever worker is faster: what is measured of a frame is used
from a frame on that is fixed beforehand, and that waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from streamer.frame import Frame, Style
from streamer.pipeline.stream_statistics import StreamStatistics
from streamer.statistics import Measurement
from streamer.styles.model import names_of

LAG = 24  # frames from a measurement to its use; that of a new scene is used at once

Pending = tuple[
    int, int, "asyncio.Future[Mapping[str, Measurement]]"
]  # use at index, scene, result


class SceneStatistics:
    """For frames in order. After every `segment` frames nothing is pending, so that a video can
    be resumed there from `state_after` its last frame."""

    def __init__(self, style: Style, segment: int, state: bytes = b"") -> None:
        self._names = names_of(style.blend)
        self._stream = StreamStatistics.restore(state)
        self._segment = segment
        self._index = 0
        self._pending: deque[Pending] = deque()
        self._asked: dict[int, asyncio.Future[Mapping[str, Measurement]]] = {}  # by pts
        self._states: dict[int, bytes] = {}  # by pts

    async def settle(self, now: float) -> None:
        """Wait for what the next frame, at `now` seconds of the video, has to use."""
        while self._pending and (self._ends_segment or self._pending[0][0] <= self._index):
            _, scene, measured = self._pending.popleft()
            self._stream.take(scene, await measured, now)

    def apply(self, frame: Frame) -> Frame:
        """The frame with its orders; call `settle` first."""
        if not self._names:
            return frame
        orders = self._stream.orders(
            frame.image.planes[0], self._names, frame.pts_s, frame.height_px
        )
        if self._ends_segment:  # what it measures would be used by a run that is not resumed only
            self._states[frame.pts] = self._stream.state()
        elif orders.measure:
            measured = asyncio.get_running_loop().create_future()
            self._asked[frame.pts] = measured
            lag = LAG if orders.known else 1
            self._pending.append((self._index + lag, orders.scene, measured))
        self._index += 1
        return replace(frame, orders=orders)

    def on_stylized(self, frame: Frame, now: float) -> bool:
        """A frame came back from the ring; it is to be shown."""
        if asked := self._asked.pop(frame.pts, None):
            asked.set_result(frame.measured)
        return True

    def state_after(self, pts: int) -> bytes:
        """What frames after the last one of a segment depend on; empty if on nothing."""
        return self._states.pop(pts, b"")

    @property
    def _ends_segment(self) -> bool:
        return self._index % self._segment == self._segment - 1
