"""jitter_buffer → **repair** → receiver: which lost packets to ask for, when, and for how long.

A retransmission takes a round trip and what the network adds: one that is asked for again sooner
is wasted, one that is given up sooner is a freeze for nothing. A packet that is only late is not
lost: how late they come by themselves is learnt, and a gap is left alone for so long. Pure: `now`
is monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

ROUND_TRIP_S = 0.05  # until the first retransmission says how long it takes
SMOOTHING = 0.25
RETRY = 1.15  # round trips until a packet is asked for again ...
RETRY_S = 0.01  # ... and a little
PATIENCE_MAX = 4.0
FAR_S = 0.1  # with a longer round trip, a lost request costs much: each is sent twice ...
TWICE_S = 0.02  # ... soon after; the other side answers once in a round trip
HOLD = 5.0  # round trips until a packet is given up: time for four requests ...
HOLD_S = 0.1  # ... and a little, within
HOLD_MIN_S, HOLD_MAX_S = 0.2, 1.5
HOLD_UNKNOWN_S = 0.6  # while no retransmission has come ...
UNANSWERED_MAX = 30  # ... but none will, when so many requests had no answer
REORDER = 1.1  # times the latest that came by itself
REORDER_MAX_S = 0.08
REORDER_HALF_S = 5.0  # such lateness is half forgotten after that long
REMEMBER_S = 2.0  # packets given up: their retransmission still says how long it took
ASKED_MAX = 128  # packets asked for at a time
MISSING_MAX = 4096


@dataclass(slots=True)
class _Missing:
    seen_at: float
    asked_at: float | None = None  # the last time
    first_asked_at: float = 0.0
    tries: int = 0
    is_said_twice: bool = False


class Repair:
    """What is missing of one stream, by index: sequence numbers without their wraps."""

    def __init__(self) -> None:
        self.rtt_s = ROUND_TRIP_S
        self._measured = False
        self._unanswered = 0  # requests
        self._patience = 1.0
        self._by_rtx = False  # retransmissions are told apart from the packets they repeat
        self._missing: dict[int, _Missing] = {}  # oldest first
        self._late_s = 0.0
        self._late_at = 0.0

    @property
    def hold_s(self) -> float:
        """How long a gap may keep the packets behind it waiting."""
        if not self._measured:
            return HOLD_UNKNOWN_S if self._unanswered < UNANSWERED_MAX else HOLD_MIN_S
        return max(HOLD_MIN_S, min(HOLD * self.rtt_s + HOLD_S, HOLD_MAX_S))

    def gap(self, indexes: Iterable[int], now: float) -> None:
        """These were skipped by a packet that has come."""
        for index in indexes:
            self._missing.setdefault(index, _Missing(now))
        while self._missing and (
            len(self._missing) > MISSING_MAX
            or next(iter(self._missing.values())).seen_at < now - REMEMBER_S
        ):
            del self._missing[next(iter(self._missing))]

    def came(self, index: int, is_rtx: bool, now: float) -> None:
        """A packet has come, maybe one that was missing."""
        self._by_rtx |= is_rtx
        missing = self._missing.pop(index, None)
        if missing is None:
            return
        if missing.asked_at is None or (self._by_rtx and not is_rtx):
            late_s = now - missing.seen_at
            if late_s >= self._window(now):
                self._late_s, self._late_at = min(REORDER * late_s, REORDER_MAX_S), now
        elif not self._measured:
            self.rtt_s, self._measured = now - missing.first_asked_at, True
        else:
            # Of several requests, none knows which one was answered (Karn): wait longer for the
            # next packet's answer instead, and learn from that.
            self._patience = 1.0 if missing.tries == 1 else min(2 * self._patience, PATIENCE_MAX)
            if missing.tries == 1:
                self.rtt_s += SMOOTHING * (now - missing.asked_at - self.rtt_s)

    def due(self, now: float, first: int) -> list[int]:
        """Those from `first` on that are to be asked for now."""
        due: list[int] = []
        window_s = self._window(now)
        retry_s = self._patience * RETRY * self.rtt_s + RETRY_S
        for index, missing in self._missing.items():
            if index < first or len(due) >= ASKED_MAX:
                continue
            if missing.asked_at is None:
                is_due = now - missing.seen_at >= window_s
                missing.first_asked_at = now
            elif not missing.is_said_twice and self.rtt_s > FAR_S:
                is_due = missing.is_said_twice = now - missing.asked_at >= TWICE_S
                if is_due:
                    due.append(index)
                continue
            else:
                is_due = now - missing.asked_at >= retry_s
            if is_due:
                missing.asked_at, missing.is_said_twice = now, False
                missing.tries += 1
                self._unanswered += 1
                due.append(index)
        return due

    def clear(self) -> None:
        self._missing.clear()

    def _window(self, now: float) -> float:
        """How late packets come by themselves, of late."""
        return self._late_s * float(0.5 ** ((now - self._late_at) / REORDER_HALF_S))
