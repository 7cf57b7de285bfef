"""peer: how much video the browser may send us (REMB), from what arrives and when.

aiortc says nothing for the first three seconds and then starts from what happens to arrive; a
browser believes the first two seconds of reports and from then on climbs by 8 % a second. So
aiortc's estimator is given a generous first answer, from which congestion takes it down.
"""

from dataclasses import dataclass

from aiortc.rate import BandwidthUsage, RemoteBitrateEstimator

REPORT_MS = 500  # between two reports, as aiortc does
EARLY_MS = 2000  # while the sender believes every report at once
EARLY_REPORT_MS = 100
LOSS_BAD = 0.10  # of packets; below, retransmission copes (as in Google's congestion control)


@dataclass(frozen=True, slots=True)
class Uplink:
    """What to ask of the other side's camera, in bits per second."""

    start: int = 2_500_000
    min: int = 150_000
    max: int = 5_000_000


class UplinkEstimator:
    """The newest estimate, and when to tell. Time in milliseconds of one clock."""

    def __init__(self, uplink: Uplink) -> None:
        self.bps = min(uplink.start, uplink.max)
        self._uplink = uplink
        self._estimator = RemoteBitrateEstimator()
        self._first_ms: int | None = None
        self._told_ms = 0

    def add(self, now_ms: int, send_time: int, size: int, ssrc: int) -> bool:
        """Take a packet in (`send_time` as in its abs-send-time extension); True: report now."""
        if self._first_ms is None:
            self._first_ms = now_ms
            self._told_ms = now_ms - REPORT_MS
            self._estimator.rate_control.set_estimate(self.bps, now_ms)
        congested = self._congested()
        estimate = self._estimator.add(now_ms, send_time, size, ssrc)
        if estimate is not None:
            self._set(estimate[0])
        return self._due(now_ms, self._congested() and not congested)

    def loss(self, fraction: float, now_ms: int) -> bool:
        """Take in the share of packets lost since the last call; True: report now."""
        if fraction <= LOSS_BAD:
            return False
        self._set(int(self.bps * (1 - fraction / 2)))
        self._estimator.rate_control.set_estimate(self.bps, now_ms)
        self._told_ms = now_ms
        return True

    def _congested(self) -> bool:
        return self._estimator.detector.state() == BandwidthUsage.OVERUSING

    def _set(self, bps: int) -> None:
        self.bps = max(self._uplink.min, min(bps, self._uplink.max))

    def _due(self, now_ms: int, at_once: bool) -> bool:
        early = self._first_ms is not None and now_ms - self._first_ms < EARLY_MS
        if not at_once and now_ms - self._told_ms < (EARLY_REPORT_MS if early else REPORT_MS):
            return False
        self._told_ms = now_ms
        return True
