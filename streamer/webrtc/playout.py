"""receiver → **playout** → intake: frames that come in bunches, let go at the times they belong to.

Frames behind a lost packet all come at once when it is sent again; whoever takes the newest one
would show one of them. So each waits until the time that most frames keep. On a path without loss
and jitter none waits. Pure: `now` is monotonic seconds.
"""

from collections import deque

SOME_S = 0.06  # frames so little late are shown as they come
RECENT_S = 4.0  # the delay follows the frames of so long
MOST = 0.92  # of them come in time
MAX_S = 1.2  # frames later than that come from a sender that began anew
SINK = 0.1  # seconds per second: a film a tenth faster looks as before
BASE_S = 20.0  # the frame that came soonest in so long had no delay


class Playout:
    """When each frame is due."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque()  # when it came, and how late
        self._soonest: deque[tuple[float, float]] = deque()  # one for each second
        self._delay_s = 0.0
        self._moved_at: float | None = None

    @property
    def late_s(self) -> float:
        """How much later than the soonest ones frames are shown, the median."""
        late = sorted(late_s for _, late_s in self._late)
        return max(late[len(late) // 2], self._delay_s) if late else 0.0

    def due(self, pts_s: float, now: float) -> float:
        """When to show a frame that has come `now`; not later than that: at once."""
        late_s = self._lateness(now - pts_s, now)
        self._late.append((now, late_s))
        while self._late[0][0] < now - RECENT_S:
            self._late.popleft()
        late = sorted(late_s for _, late_s in self._late)
        needed_s = late[int(MOST * (len(late) - 1))]
        self._move(needed_s if needed_s > SOME_S else 0.0, now)
        return now + self._delay_s - late_s

    def _lateness(self, offset_s: float, now: float) -> float:
        soonest = self._soonest
        while soonest and soonest[0][0] < now - BASE_S:
            soonest.popleft()
        if soonest and offset_s - min(least for _, least in soonest) > MAX_S:
            soonest.clear()
            self._late.clear()
        if not soonest or now - soonest[-1][0] > 1.0:
            soonest.append((now, offset_s))
        elif offset_s < soonest[-1][1]:
            soonest[-1] = soonest[-1][0], offset_s
        return offset_s - min(least for _, least in soonest)

    def _move(self, delay_s: float, now: float) -> None:
        """Up at once, down slowly."""
        passed = now - self._moved_at if self._moved_at is not None else 0.0
        self._moved_at = now
        self._delay_s = max(delay_s, self._delay_s - SINK * passed)
