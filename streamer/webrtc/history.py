"""sender → **history** → sender: packets that may be asked for again, and what is worth it.

aiortc keeps 128 packets, which is a quarter of a second of video, and sends each as often as it is
asked for: on a thin path the repetitions are most of the traffic. Pure: `now` is monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aiortc.rtp import RtpPacket

KEEP_S = 2.0
WORTH_S = 1.5  # after that a picture is too old to be shown
PACKETS_MAX = 4096
BUDGET = 0.5  # of the target bitrate
BUDGET_S = 0.25  # how much of it may be saved up
BUDGET_BYTES_MIN = 10_000
AGAIN = 0.9  # round trips until a packet may be sent once more
AGAIN_S = 0.02  # at least


@dataclass(slots=True)
class _Sent:
    packet: RtpPacket
    first_at: float
    again_at: float | None = None  # the last time


class History:
    """The packets of one stream, by sequence number, for some seconds."""

    def __init__(self) -> None:
        self.gone = 0  # requests for packets that are not kept any more
        self.repeated = 0
        self._sent: dict[int, _Sent] = {}  # oldest first
        self._budget = float(BUDGET_BYTES_MIN)
        self._budget_at = 0.0

    def add(self, packet: RtpPacket, now: float) -> None:
        self._sent.pop(packet.sequence_number, None)
        self._sent[packet.sequence_number] = _Sent(packet, now)
        while len(self._sent) > PACKETS_MAX or self._oldest().first_at < now - KEEP_S:
            del self._sent[next(iter(self._sent))]

    def again(
        self, numbers: Iterable[int], now: float, *, rtt_s: float, target_bps: float
    ) -> list[RtpPacket]:
        """Those packets that are to be sent again: kept, not just repeated, within the budget."""
        allowed = BUDGET * target_bps / 8  # bytes per second
        most = max(BUDGET_BYTES_MIN, BUDGET_S * allowed)
        self._budget = min(most, self._budget + (now - self._budget_at) * allowed)
        self._budget_at = now
        packets: list[RtpPacket] = []
        wait_s = max(AGAIN_S, AGAIN * rtt_s)
        for number in numbers:
            sent = self._sent.get(number)
            if sent is None or now - sent.first_at > WORTH_S:
                self.gone += 1
                continue
            size = len(sent.packet.payload)
            # The first request is always a new one: it took a round trip to come.
            is_soon = sent.again_at is not None and now - sent.again_at < wait_s
            if is_soon or size > self._budget:
                continue
            sent.again_at = now
            self._budget -= size
            packets.append(sent.packet)
        self.repeated += len(packets)
        return packets

    def _oldest(self) -> _Sent:
        return next(iter(self._sent.values()))
