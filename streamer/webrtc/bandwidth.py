"""peer: how much video the browser may send us (REMB), from what arrives and when.

aiortc says nothing for the first three seconds and then starts from what happens to arrive; a
browser believes every report of the first two seconds and from then on climbs by 8 % a second.
So the first answer is generous and early, and congestion takes it down from there. The detector
of congestion is aiortc's; how far to give way is decided here.
"""

from dataclasses import dataclass

from aiortc.rate import BandwidthUsage, RemoteBitrateEstimator

REPORT_MS = 500  # between two reports, as aiortc does
EARLY_MS = 2000  # while the sender believes every report at once
EARLY_REPORT_MS = 100
LOSS_BAD = 0.10  # of packets; below, retransmission copes (as in Google's congestion control)
GIVE_WAY_MS = 300  # between two steps down: one must have shown its effect before the next
GIVE_WAY_MOST = 0.5  # a camera that sends less than it may must not look like a thin path
DRAIN = 0.85  # of what gets through, so that the queue empties
CLIMB = 1.08  # a second
HEADROOM = 1.5  # times what arrives: nobody knows about more


@dataclass(frozen=True, slots=True)
class Uplink:
    """What to ask of the other side's camera, in bits per second."""

    start: int = 2_500_000
    min: int = 150_000
    max: int = 5_000_000


class RateControl:
    """Up slowly, down fast; what aiortc's estimator asks on every packet."""

    def __init__(self, uplink: Uplink) -> None:
        self.bps = min(uplink.start, uplink.max)
        self._uplink = uplink
        self._down_ms = self._up_ms = 0

    def feedback_interval(self) -> int:
        """Milliseconds between two updates when nothing happens."""
        return REPORT_MS

    def update(self, usage: BandwidthUsage, throughput: int | None, now_ms: int) -> int:
        """The estimate after another look at the path; `throughput` is what got through."""
        if usage == BandwidthUsage.OVERUSING:
            if now_ms - self._down_ms >= GIVE_WAY_MS:
                self.lower(max(int(DRAIN * (throughput or 0)), int(GIVE_WAY_MOST * self.bps)))
                self._down_ms = now_ms
        elif usage == BandwidthUsage.NORMAL and self._up_ms:
            most = max(self.bps, int(HEADROOM * (throughput or 0)))
            factor = CLIMB ** (min(now_ms - self._up_ms, 1000) / 1000)
            self.bps = min(int(self.bps * factor) + 1000, most, self._uplink.max)
        self._up_ms = now_ms
        return self.bps

    def lower(self, bps: int) -> None:
        """Go down to this much, but never below the minimum."""
        self.bps = max(self._uplink.min, min(self.bps, bps))


class UplinkEstimator:
    """The newest estimate, and when to tell. Time in milliseconds of one clock."""

    def __init__(self, uplink: Uplink) -> None:
        self._control = RateControl(uplink)
        self._estimator = RemoteBitrateEstimator()
        self._estimator.rate_control = self._control  # type: ignore[assignment]
        self._first_ms: int | None = None
        self._told_ms = 0
        self._told_bps = 0

    @property
    def bps(self) -> int:
        """What the sender may send."""
        return self._control.bps

    def add(self, now_ms: int, send_time: int, size: int, ssrc: int) -> bool:
        """Take a packet in (`send_time` as in its abs-send-time extension); True: report now."""
        if self._first_ms is None:
            self._first_ms = now_ms
        self._estimator.add(now_ms, send_time, size, ssrc)
        every = EARLY_REPORT_MS if now_ms - self._first_ms < EARLY_MS else REPORT_MS
        if now_ms - self._told_ms < every and self.bps >= self._told_bps:
            return False
        self._told(now_ms)
        return True

    def loss(self, fraction: float, now_ms: int) -> bool:
        """Take in the share of packets lost since the last call; True: report now."""
        if fraction <= LOSS_BAD:
            return False
        self._control.lower(int(self.bps * (1 - fraction / 2)))
        self._told(now_ms)
        return True

    def _told(self, now_ms: int) -> None:
        self._told_ms, self._told_bps = now_ms, self.bps
