"""The uplink estimate: generous at first, honest afterwards. Paths are simulated, no clock."""

from dataclasses import dataclass, field

from streamer.webrtc.bandwidth import EARLY_MS, Uplink, UplinkEstimator

SIZE = 1200
UPLINK = Uplink(start=2_500_000, min=150_000, max=5_000_000)


@dataclass
class Path:
    """A bottleneck with a queue, and a camera that sends exactly what it was last told to."""

    capacity_bps: float
    estimator: UplinkEstimator
    reports: list[tuple[int, int]] = field(default_factory=list)  # (ms, bps)
    now_ms: float = 0.0
    free_at_ms: float = 0.0
    told_bps: int = 300_000  # where a browser begins

    def run(self, seconds: float) -> None:
        """Frames at 30 fps, each a burst of packets through the bottleneck."""
        end_ms = self.now_ms + seconds * 1000
        while self.now_ms < end_ms:
            for _ in range(max(1, round(self.told_bps / 30 / 8 / SIZE))):
                self.free_at_ms = max(self.free_at_ms, self.now_ms)
                self.free_at_ms += SIZE * 8000 / self.capacity_bps
                send_time = int(self.now_ms * 2**18 / 1000) % 2**24
                arrival_ms = int(self.free_at_ms) + 10_000_000
                if self.estimator.add(arrival_ms, send_time, SIZE, 1):
                    self.report(arrival_ms - 10_000_000)
            self.now_ms += 1000 / 30

    def report(self, at_ms: int) -> None:
        self.reports.append((at_ms, self.estimator.bps))
        self.told_bps = self.estimator.bps

    @property
    def queue_ms(self) -> float:
        return max(0.0, self.free_at_ms - self.now_ms)


def test_a_good_path_is_used_at_once() -> None:
    path = Path(50_000_000, UplinkEstimator(UPLINK))
    path.run(0.2)
    assert path.reports[0][0] < 50
    assert path.told_bps >= 2_000_000


def test_the_report_is_repeated_while_browsers_believe_it() -> None:
    path = Path(50_000_000, UplinkEstimator(UPLINK))
    path.run(EARLY_MS / 1000)
    assert len(path.reports) >= 10
    path.run(10)
    assert len(path.reports) < 50  # and then about twice a second


def test_a_good_path_is_used_up_to_the_maximum() -> None:
    path = Path(50_000_000, UplinkEstimator(UPLINK))
    path.run(30)
    assert max(bps for _, bps in path.reports) == UPLINK.max


def test_a_thin_path_is_noticed_and_its_queue_drains() -> None:
    path = Path(1_000_000, UplinkEstimator(UPLINK))
    path.run(4)
    assert path.told_bps < 1_000_000
    path.run(12)
    assert 300_000 < path.told_bps < 1_300_000
    assert path.queue_ms < 300


def test_a_path_that_becomes_thin_is_noticed() -> None:
    path = Path(50_000_000, UplinkEstimator(UPLINK))
    path.run(10)
    assert path.told_bps > 2_500_000
    path.capacity_bps = 1_000_000
    path.run(8)
    assert path.told_bps < 1_300_000


def test_loss_lowers_the_estimate_at_once_and_little_loss_does_not() -> None:
    estimator = UplinkEstimator(UPLINK)
    path = Path(50_000_000, estimator)
    path.run(1)
    before = estimator.bps
    assert not estimator.loss(0.05, 10_001_000) and estimator.bps == before
    assert estimator.loss(0.5, 10_001_000) and estimator.bps <= 0.76 * before
    for _ in range(50):
        estimator.loss(0.9, 10_001_000)
    assert estimator.bps == UPLINK.min


def test_after_a_loss_it_climbs_again() -> None:
    path = Path(50_000_000, UplinkEstimator(UPLINK))
    path.run(3)
    path.estimator.loss(0.6, 10_000_000 + int(path.now_ms))
    path.report(int(path.now_ms))
    low = path.told_bps
    path.run(10)
    assert path.told_bps > 1.3 * low


def test_the_start_is_never_above_the_maximum() -> None:
    assert UplinkEstimator(Uplink(start=2_000_000, max=500_000)).bps == 500_000
