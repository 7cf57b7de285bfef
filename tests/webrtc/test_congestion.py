"""The bitrate that a path takes: found, kept, given up in time and found again."""

import random
from dataclasses import dataclass, field

from streamer.webrtc.congestion import Bitrate, Congestion, Rates
from streamer.webrtc.transport_feedback import Feedback

SIZE = 1200  # bytes of a packet
STEP_S = 0.005
FEEDBACK_S = 0.05


@dataclass
class Path:
    """A sender that sends what it may over a link with a queue; virtual time."""

    congestion: Congestion
    rate_bps: float
    queue_s: float = 0.2
    delay_s: float = 0.02
    loss: float = 0.0
    jitter_s: float = 0.0
    by_feedback: bool = True
    now: float = 1000.0
    sent_bytes: int = 0
    sent: int = 0
    lost: int = 0
    stall_every_s: float = 0.0  # the receiver does nothing for 0.25 s
    _busy_until: float = 0.0
    _owed: float = 0.0
    _told_at: float = 0.0
    _told_to: int = 0
    _arrivals: dict[int, float | None] = field(default_factory=dict)
    _dice: random.Random = field(default_factory=lambda: random.Random(7))

    def run(self, seconds: float) -> float:
        """Go on for so long; the share of packets lost meanwhile."""
        sent, lost, end = self.sent, self.lost, self.now + seconds
        while self.now < end:
            self.now += STEP_S
            self._owed += self.congestion.target_bps * STEP_S / 8
            while self._owed >= SIZE:
                self._owed -= SIZE
                self._send()
            if self.now - self._told_at >= (FEEDBACK_S if self.by_feedback else 0.3):
                self._told_at = self.now
                self._tell()
        return (self.lost - lost) / max(1, self.sent - sent)

    def _send(self) -> None:
        number = self.sent & 0xFFFF
        self.congestion.sent(number, SIZE, self.now)
        self.sent += 1
        waiting = max(0.0, self._busy_until - self.now)
        if waiting > self.queue_s or self._dice.random() < self.loss:
            self.lost += 1
            self._arrivals[number] = None
            return
        self._busy_until = max(self._busy_until, self.now) + SIZE * 8 / self.rate_bps
        late = self._dice.uniform(0, self.jitter_s)
        at = self._busy_until + self.delay_s + late
        if self.stall_every_s and at % self.stall_every_s < 0.25:
            at += 0.25 - at % self.stall_every_s
        self._arrivals[number] = at

    def _tell(self) -> None:
        if not self.by_feedback:
            self.congestion.on_report(self.sent, self.lost, self.now)
            return
        # As libwebrtc: up to the newest that came, others are missing, and told again if they come.
        came = [n for n, at in self._arrivals.items() if at is not None and at <= self.now]
        told: dict[int, float | None] = {}
        for number, at in list(self._arrivals.items()) if came else ():
            told[number] = at if at is not None and at <= self.now else None
            if at is None or at <= self.now:
                del self._arrivals[number]
            if number == came[-1]:
                break
        self.congestion.on_feedback(Feedback(tuple(told.items())), self.now)


def path(rate_bps: float, **more: float | bool) -> Path:
    return Path(Congestion(Bitrate()), rate_bps, **more)  # type: ignore[arg-type]


def test_a_free_path_is_used_within_seconds() -> None:
    free = path(100e6)
    free.run(5)
    assert free.congestion.target_bps == Bitrate().max


def test_a_thin_path_is_found_at_once_and_kept_nearly_without_loss() -> None:
    for rate_bps in (300_000, 500_000, 1_000_000):
        thin = path(rate_bps)
        thin.run(3)
        before, since = thin.sent, thin.now
        assert thin.run(20) < 0.02
        used = (thin.sent - before) * SIZE * 8 / (thin.now - since)
        assert 0.7 * rate_bps < used <= rate_bps * 1.02


def test_without_feedback_loss_alone_must_do() -> None:
    thin = path(500_000, by_feedback=False)
    thin.run(5)
    assert thin.run(20) < 0.15
    assert 250_000 < thin.congestion.target_bps < 900_000


def test_after_a_step_down_the_rate_comes_back_within_ten_seconds() -> None:
    step = path(3_000_000)
    step.run(6)
    before = step.congestion.target_bps
    step.rate_bps = 500_000
    step.run(12)
    assert step.congestion.target_bps < 700_000
    step.rate_bps = 3_000_000
    step.run(10)
    assert step.congestion.target_bps > 0.8 * before


def test_a_bad_radio_link_is_not_a_full_one() -> None:
    lossy = path(20e6, loss=0.08)
    lossy.run(15)
    assert lossy.congestion.target_bps > 2_000_000


def test_jitter_is_not_a_queue() -> None:
    shaky = path(20e6, jitter_s=0.06)
    shaky.run(15)
    assert shaky.congestion.target_bps > 2_000_000


def test_a_receiver_that_stalls_is_not_a_full_path() -> None:
    stalling = path(20e6, stall_every_s=2.0)
    stalling.run(20)
    assert stalling.congestion.target_bps > 2_000_000


def test_where_delay_says_nothing_only_loss_counts() -> None:
    congestion = Congestion(Bitrate(), by_delay=False)
    congestion.on_remb(100_000)
    assert congestion.target_bps == Bitrate().start
    busy = Path(congestion, 20e6, jitter_s=0.5, by_feedback=False)
    busy.run(5)
    assert congestion.target_bps >= Bitrate().start


def test_the_other_sides_estimate_is_a_ceiling_without_feedback() -> None:
    congestion = Congestion(Bitrate())
    congestion.on_remb(400_000)
    assert congestion.target_bps == 400_000
    congestion.on_remb(1)
    assert congestion.target_bps == Bitrate().min


def test_a_rate_is_remembered_for_a_while() -> None:
    rates = Rates()
    rates.remember("192.0.2.7", 400_000, 10.0)
    assert rates.recall("192.0.2.7", 10.0 + Rates.FOR_S / 2) == 400_000
    assert rates.recall("192.0.2.7", 10.0 + Rates.FOR_S) is None
    assert rates.recall("192.0.2.8", 10.0) is None
    for n in range(Rates.MAX):
        rates.remember(f"host {n}", 1, 20.0)
    assert rates.recall("192.0.2.7", 20.0) is None, "only so many are kept"
