"""reorder → **pacer** → sink.

When to show a frame so that it plays at its own pts: workers finish in bunches, motion
must not show it.
"""

import math
from collections import deque


class Pacer:
    """Maps media time to playing time: `pts + offset`, with the smallest offset that fits.

    The offset follows the larger part of the recent delays (`ready_at - pts`), so one slow frame is
    shown late instead of delaying all that follow; no frame is ever held longer than
    `max_hold_s`, and a jump of media time starts afresh. (The dead-band and re-anchoring are
    the usual ones of media-clock pacing, e.g. RFC 3550 appendix A.)
    """

    def __init__(
        self,
        max_hold_s: float = 0.1,
        *,
        memory: int = 30,
        quantile: float = 0.75,
        dead_band_s: float = 0.010,
        jump_s: float = 0.5,
    ) -> None:
        self.reanchored = 0
        self._max_hold_s = max_hold_s
        self._quantile = quantile
        self._dead_band_s = dead_band_s
        self._jump_s = jump_s
        self._delays: deque[float] = deque(maxlen=memory)
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
        wanted = self._usual_delay()
        if abs(wanted - self._offset) > self._dead_band_s:
            self._offset = wanted
        return ready_at + min(max(self._offset - delay, 0.0), self._max_hold_s)

    def _usual_delay(self) -> float:
        ordered = sorted(self._delays)
        return ordered[math.ceil(self._quantile * len(ordered)) - 1]
