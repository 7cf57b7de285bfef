"""receiver → **bandwidth**: the bitrate at which the sender may send to us (REMB).

aiortc reports nothing for the first three seconds and then starts from whatever arrives; a
browser adopts every report of its first two seconds and later climbs by 8 % per second. So the
first report is generous and early, and congestion takes it down from there. A sender that numbers
its packets across streams decides itself, by our transport-wide feedback. aiortc detects
congestion (draft-ietf-rmcat-gcc-02, arrival-time filter and over-use detector); how far to back
off is decided here.
"""

from dataclasses import dataclass

from aiortc.rate import BandwidthUsage, RemoteBitrateEstimator

REPORT_MS = 500  # between two reports, as aiortc does
EARLY_MS = 2000  # while the sender adopts every report at once
EARLY_REPORT_MS = 100
LOSS_BAD = 0.10  # of packets; below, retransmission copes (as in Google's congestion control)
MEASURE_MS = 1000
BACKOFF_MS = 300  # between two steps down: the first must take effect before the next
BACKOFF_MAX = 0.5  # a camera that sends less than it may must not look like a slow path
DRAIN = 0.85  # of the throughput, so that the queue empties
CLIMB = 1.08  # per second
HEADROOM = 1.5  # times the throughput: more is unproven


@dataclass(frozen=True, slots=True)
class Uplink:
    """Bounds for what the other side may send, in bits per second."""

    start: int = 2_500_000
    min: int = 150_000
    max: int = 5_000_000


class RateControl:
    """Up slowly, down fast; aiortc's estimator calls it for every packet."""

    def __init__(self, uplink: Uplink) -> None:
        self.bps = min(uplink.start, uplink.max)
        self._uplink = uplink
        self._down_ms = self._up_ms = 0

    def feedback_interval(self) -> int:
        """Milliseconds between two updates when nothing happens."""
        return REPORT_MS

    def update(self, usage: BandwidthUsage, throughput: int | None, now_ms: int) -> int:
        """The new estimate; `throughput` in bits per second, None while unknown."""
        if usage == BandwidthUsage.OVERUSING:
            if now_ms - self._down_ms >= BACKOFF_MS:
                self.lower(max(int(DRAIN * (throughput or 0)), int(BACKOFF_MAX * self.bps)))
                self._down_ms = now_ms
        elif usage == BandwidthUsage.NORMAL and self._up_ms:
            most = max(self.bps, int(HEADROOM * (throughput or 0)))
            factor = CLIMB ** (min(now_ms - self._up_ms, 1000) / 1000)
            self.bps = min(int(self.bps * factor) + 1000, most, self._uplink.max)
        self._up_ms = now_ms
        return self.bps

    def lower(self, bps: int) -> None:
        """Go down to `bps`, but never below the minimum."""
        self.bps = max(self._uplink.min, min(self.bps, bps))


class UplinkEstimator:
    """The estimate, and when to report it. Time in milliseconds of one clock.

    `by_delay` False: only loss counts, for paths where delay says that a CPU is busy.
    """

    def __init__(self, uplink: Uplink, by_delay: bool = True) -> None:
        self._by_delay = by_delay
        self._control = RateControl(uplink)
        self._estimator = RemoteBitrateEstimator()
        self._estimator.rate_control = self._control  # type: ignore[assignment]
        self._first_ms: int | None = None
        self._reported_ms = 0
        self._reported_bps = 0
        self._arriving_bps: int | None = None
        self._arrived = self._since_ms = 0

    @property
    def bps(self) -> int:
        """What the sender may send; what it does send, when it decides itself (`measure`)."""
        return self._control.bps if self._arriving_bps is None else self._arriving_bps

    def measure(self, now_ms: int, size: int) -> None:
        """Account for a packet of a sender that controls its rate itself."""
        if now_ms - self._since_ms >= MEASURE_MS:
            passed_ms = now_ms - self._since_ms if self._since_ms else MEASURE_MS
            self._arriving_bps = self._arrived * 8000 // passed_ms
            self._since_ms, self._arrived = now_ms, 0
        self._arrived += size

    def add(self, now_ms: int, send_time: int, size: int, ssrc: int) -> bool:
        """Account for a packet (`send_time`: its abs-send-time extension); True: report now."""
        if self._first_ms is None:
            self._first_ms = now_ms
        if self._by_delay:
            self._estimator.add(now_ms, send_time, size, ssrc)
        else:
            self._control.update(BandwidthUsage.NORMAL, self.bps, now_ms)
        every = EARLY_REPORT_MS if now_ms - self._first_ms < EARLY_MS else REPORT_MS
        if now_ms - self._reported_ms < every and self.bps >= self._reported_bps:
            return False
        self._reported(now_ms)
        return True

    def loss(self, fraction: float, now_ms: int) -> bool:
        """Account for the share of packets lost since the last call; True: report now."""
        if fraction <= LOSS_BAD:
            return False
        self._control.lower(int(self.bps * (1 - fraction / 2)))
        self._reported(now_ms)
        return True

    def _reported(self, now_ms: int) -> None:
        self._reported_ms, self._reported_bps = now_ms, self.bps
