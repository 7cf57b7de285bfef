"""sender → **congestion** → encoder, pacing: the bitrate that the path to the other side takes.

From transport-wide feedback (delay and loss, twenty times a second) where the other side sends it,
else from receiver reports (loss) with its REMB as a ceiling: a queue that is full has constant
delay, so Chromium's REMB is blind to it for the first five seconds. Loss that comes without delay
is taken for a bad radio link, as long as it is little. Pure: `now` is monotonic seconds.

As in Google's congestion control (draft-ietf-rmcat-gcc-02), but for the climb: it gets faster the
longer nothing happens, so that a path that is free again is used again within ten seconds.
"""

from collections import deque
from dataclasses import dataclass
from math import sqrt

from streamer.webrtc.transport_feedback import Feedback

SENT_MAX = 4096  # packets whose feedback may still come
WINDOW_S = 0.5  # of sent packets that are judged together
WINDOW_PACKETS = 8  # fewer say nothing
LATE_S = 0.1  # packets that were sent so long before others that arrived are lost, not late
BASE_S = 10.0  # the least delay of so long is the path without a queue
QUEUE_OF_S = 0.25  # of sent packets
QUEUE_BAD_S = 0.10
QUEUE_LASTS_S = 0.1  # two reports: a shorter one is a busy CPU or radio
QUEUE_SOME_S = 0.04
LOSS_BAD = 0.25  # of packets: congestion, whatever the delay
LOSS_SOME = 0.10  # with a queue, or when delays are not known: congestion too
LOSS_LITTLE = 0.04
BACKOFF = 0.85  # of what arrives, so that the queue empties
BACKOFF_S = 0.4  # and a round trip, between two steps down
CLIMB, CLIMB_MAX = 0.1, 0.8  # per second, right after a step down and later
CLIMB_DOUBLES_S = 1.5
KNOWN = 1.3  # times what arrived at the last step down: up to there the climb is slow
CONGESTED_S = 1.0
START_CLIMB = 1.0  # per second, until the first step down
HEADROOM = 1.5  # times what arrives: more is unproven ...
HEADROOM_BPS = 50_000  # ... but for a little
REPORT_S = 0.25  # receiver reports are summed up over at least so long ...
REPORT_PACKETS = 15  # ... and so many packets: one after each NACK covers a handful
REPORT_MAX_S = 1.0


@dataclass(frozen=True, slots=True)
class Bitrate:
    """Bounds for the stream that we send, in bits per second."""

    start: int = 1_000_000
    min: int = 100_000
    max: int = 16_000_000

    def bound(self, bps: float) -> int:
        return int(max(self.min, min(bps, self.max)))


@dataclass(slots=True)
class _Result:
    sent_at: float
    size: int
    arrived_at: float | None = None
    reported: bool = False


class Congestion:
    """`target_bps` for one connection.

    `by_delay` False: only loss counts, for paths where delay says that a CPU is busy.
    """

    def __init__(self, bounds: Bitrate, *, by_delay: bool = True) -> None:
        self.rtt_s = 0.1
        self._bounds = bounds
        self._target = float(bounds.bound(bounds.start))
        self._by_delay = by_delay
        self._ceiling: float | None = None
        self._sent: dict[int, _Result] = {}  # by number, until they arrive
        self._results: deque[_Result] = deque()
        self._delays: deque[tuple[float, float]] = deque()  # a least one for each second
        self._down_at: float | None = None
        self._queue_s = 0.0  # when last down
        self._capacity = 0.0  # what arrived then, bits per second
        self._congested_at = float("-inf")
        self._bad_since: float | None = None  # the queue
        self._judged_at: float | None = None
        self._report: tuple[float, int, int] | None = None  # time, highest number, lost
        self._by_feedback = False

    @property
    def target_bps(self) -> int:
        ceiling = self._ceiling
        return self._bounds.bound(self._target if ceiling is None else min(self._target, ceiling))

    def is_congested(self, now: float) -> bool:
        """Whether more was sent of late than the path takes."""
        return now - self._congested_at < CONGESTED_S

    def resume(self, bps: float, now: float) -> None:
        """Begin at a rate that this path took before."""
        self._target, self._down_at = float(self._bounds.bound(bps)), now

    def sent(self, number: int, size: int, now: float) -> None:
        """A packet of `size` bytes with this transport-wide number has left."""
        self._sent.pop(number, None)
        self._sent[number] = _Result(now, size)
        if len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]

    def on_feedback(self, feedback: Feedback, now: float) -> None:
        self._by_feedback = True
        for number, arrived_at in feedback.arrivals:
            if (result := self._sent.get(number)) is None:
                continue
            if not result.reported:
                result.reported = True
                self._results.append(result)
            if arrived_at is not None:  # maybe after it was reported as lost
                result.arrived_at = arrived_at
                del self._sent[number]
        while self._results and self._results[0].sent_at < now - WINDOW_S - self.rtt_s:
            self._results.popleft()
        results = self._results
        if len(results) < WINDOW_PACKETS:
            return
        came = [r for r in results if r.arrived_at is not None]
        newest_at = max((r.sent_at for r in came), default=now)
        lost = sum(r.arrived_at is None and r.sent_at <= newest_at - LATE_S for r in results)
        loss = lost / (lost + len(came)) if came else 1.0
        self._judge(loss, len(results), _throughput(came), self._queue(came, now), now)

    def on_report(self, highest: int, lost: int, now: float) -> None:
        """A receiver report: highest sequence number with its cycles, packets lost in all."""
        if self._report is None:
            self._report = now, highest, lost
        since, first, lost_before = self._report
        expected, passed = highest - first, now - since
        if passed < REPORT_S or (expected < REPORT_PACKETS and passed < REPORT_MAX_S):
            return
        self._report = now, highest, lost
        if expected > 0 and not self._by_feedback:
            missing = max(0, min(lost - lost_before, expected))
            sizes = [sent.size for sent in self._sent.values()]
            size = sum(sizes) / len(sizes) if sizes else 1000
            bps = (expected - missing) * size * 8 / passed
            self._judge(missing / expected, expected, bps, None, now)

    def on_remb(self, bps: int) -> None:
        """The other side's own estimate, of delay mostly."""
        if self._by_delay and not self._by_feedback:
            self._ceiling = bps

    def _judge(
        self, loss: float, packets: int, arriving_bps: float, queue_s: float | None, now: float
    ) -> None:
        passed = min(1.0, now - (self._judged_at or now))
        self._judged_at = now
        error = sqrt(loss * (1 - loss) / packets)  # one standard deviation: few packets mislead
        waiting_s = queue_s or 0.0
        # Without delays, loss alone must do.
        is_queued = queue_s is None or waiting_s > QUEUE_SOME_S
        if waiting_s <= QUEUE_BAD_S:
            self._bad_since = None
        elif self._bad_since is None:
            self._bad_since = now
        is_full = self._bad_since is not None and now - self._bad_since >= QUEUE_LASTS_S
        if loss - error > LOSS_BAD or is_full:
            self._congested_at = now
            self._capacity = arriving_bps
            self._lower(BACKOFF * min(self._target, arriving_bps), waiting_s, now)
        elif loss - error > LOSS_SOME and is_queued:
            self._lower(self._target * (1 - loss / 2), waiting_s, now)
        elif waiting_s < QUEUE_SOME_S and (loss < LOSS_LITTLE or not is_queued):
            most = max(self._target, HEADROOM * arriving_bps + HEADROOM_BPS)
            factor = (1 + self._climb(now)) ** passed
            self._target = min(self._target * factor, most, float(self._bounds.max))

    def _lower(self, bps: float, queue_s: float, now: float) -> None:
        """One step down, unless the last one has not taken effect or the queue is sinking."""
        if self._down_at is not None and (
            now - self._down_at < BACKOFF_S + self.rtt_s
            or (queue_s < self._queue_s and now - self._down_at < 2 * (BACKOFF_S + self.rtt_s))
        ):
            self._queue_s = min(queue_s, self._queue_s)
            return
        self._down_at, self._queue_s = now, queue_s
        self._target = float(self._bounds.bound(bps))
        self._results.clear()

    def _climb(self, now: float) -> float:
        if self._down_at is None:
            return START_CLIMB
        if self._target < KNOWN * self._capacity:
            return CLIMB
        quiet_s = now - self._down_at
        return min(CLIMB_MAX, CLIMB * float(2 ** min(9.0, quiet_s / CLIMB_DOUBLES_S)))

    def _queue(self, came: list[_Result], now: float) -> float | None:
        """How long packets wait on their way, beyond the least delay of late.

        All of them wait in a queue; jitter and a busy CPU hold up some.
        """
        if not self._by_delay or not came:
            return None
        recent = [r for r in came if r.sent_at > came[-1].sent_at - QUEUE_OF_S]
        newest = recent if len(recent) > WINDOW_PACKETS else came[-WINDOW_PACKETS:]
        delays = sorted(r.arrived_at - r.sent_at for r in newest if r.arrived_at is not None)
        if not self._delays or now - self._delays[-1][0] > 1.0:
            self._delays.append((now, delays[0]))
        elif delays[0] < self._delays[-1][1]:
            self._delays[-1] = self._delays[-1][0], delays[0]
        while self._delays[0][0] < now - BASE_S:
            self._delays.popleft()
        return delays[len(delays) // 5] - min(delay for _, delay in self._delays)


def _throughput(came: list[_Result]) -> float:
    """Bits per second that arrive."""
    if len(came) < 2:
        return 0.0
    times = [r.arrived_at for r in came if r.arrived_at is not None]
    span_s = max(0.1, max(times) - min(times))
    return sum(r.size for r in came) * 8 / span_s


class Rates:
    """The last rate to each address, for the connection that follows one that broke."""

    FOR_S = 60.0
    MAX = 256

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}

    def remember(self, host: str, bps: int, now: float) -> None:
        self._known.pop(host, None)
        self._known[host] = now, bps
        if len(self._known) > self.MAX:
            del self._known[next(iter(self._known))]

    def recall(self, host: str, now: float) -> int | None:
        at, bps = self._known.get(host, (float("-inf"), 0))
        return bps if now - at < self.FOR_S else None
