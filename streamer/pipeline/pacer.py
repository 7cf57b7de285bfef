"""reorder → **pacer** → sink: when to show a frame, so that motion is as even as it was filmed.

Workers finish in bunches. This estimates a playout delay, as jitter buffers do for the network.
"""

from collections import deque

from streamer.pipeline.stats import quantile


class Pacer:
    """Maps media time to playing time: `pts + offset`, with the smallest offset that fits.

    The offset follows the larger part of the recent delays (`ready_at - pts`), so one slow frame
    is shown late instead of delaying all that follow: at once when it is far off, else too slowly
    to be seen. No frame is ever held longer than the stream's usual time from frame to frame,
    nor than `max_hold_s`: workers that take turns need no more, and latency is worth more than a
    smooth picture of a machine that chokes. A jump of media time starts afresh.
    """

    def __init__(
        self,
        max_hold_s: float = 0.1,
        *,
        memory: int = 30,
        quantile: float = 0.75,
        far_s: float = 0.010,
        glide_s: float = 0.0002,
        jump_s: float = 0.5,
    ) -> None:
        self.reanchored = 0
        self._max_hold_s = max_hold_s
        self._quantile = quantile
        self._far_s = far_s
        self._glide_s = glide_s  # per frame
        self._jump_s = jump_s
        self._delays: deque[float] = deque(maxlen=memory)
        self._intervals: deque[float] = deque([max_hold_s], maxlen=memory)
        self._last_pts_s: float | None = None
        self._offset: float | None = None

    def due_at(self, pts_s: float, ready_at: float) -> float:
        """When to show a frame of media time `pts_s` that could be shown from `ready_at` on.

        `ready_at` must not contain time for which this pacer held earlier frames: latency
        would feed on itself.
        """
        delay = ready_at - pts_s
        if self._offset is None or abs(delay - self._offset) > self._jump_s:
            self.reanchored += self._offset is not None
            self._delays.clear()
            self._offset = delay
        self._delays.append(delay)
        change = quantile(self._delays, self._quantile) - self._offset
        is_far = abs(change) > self._far_s
        self._offset += change if is_far else min(max(change, -self._glide_s), self._glide_s)
        return ready_at + min(max(self._offset - delay, 0.0), self._longest_hold_s(pts_s))

    def _longest_hold_s(self, pts_s: float) -> float:
        if self._last_pts_s is not None and pts_s > self._last_pts_s:
            self._intervals.append(pts_s - self._last_pts_s)
        self._last_pts_s = pts_s
        return min(quantile(self._intervals, 0.5), self._max_hold_s)
