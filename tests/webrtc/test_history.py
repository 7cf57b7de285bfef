"""Packets sent again: once per round trip, within the budget, and never those that are too old."""

from aiortc.rtp import RtpPacket

from streamer.webrtc.history import BUDGET_BYTES_MIN, KEEP_S, PACKETS_MAX, WORTH_S, History


def packet(number: int, size: int = 1000) -> RtpPacket:
    return RtpPacket(sequence_number=number % 65536, payload=bytes(size))


def asked(history: History, numbers: list[int], now: float, bps: float = 1e6) -> list[int]:
    again = history.again(numbers, now, rtt_s=0.2, target_bps=bps)
    return [one.sequence_number for one in again]


def test_a_packet_is_sent_again_once_per_round_trip() -> None:
    history = History()
    history.add(packet(1), 10.0)
    assert asked(history, [1], 10.1) == [1]
    assert asked(history, [1], 10.2) == [], "the answer is still on its way"
    assert asked(history, [1], 10.3) == [1]
    assert history.repeated == 2


def test_what_is_gone_or_too_old_is_counted() -> None:
    history = History()
    history.add(packet(1), 10.0)
    assert asked(history, [1, 2], 10.0 + WORTH_S + 0.1) == []
    assert history.gone == 2


def test_retransmissions_have_a_budget() -> None:
    history = History()
    for number in range(100):
        history.add(packet(number), 10.0)
    first = asked(history, list(range(100)), 10.5, bps=80_000)
    assert len(first) == BUDGET_BYTES_MIN // 1000
    assert len(asked(history, list(range(20, 100)), 11.2, bps=80_000)) == 3, "half of the target"


def test_the_history_is_bounded_in_time_and_number() -> None:
    history = History()
    for number in range(PACKETS_MAX + 10):
        history.add(packet(number), 10.0)
    assert asked(history, [9], 10.5) == [] and history.gone == 1
    history.add(packet(5000), 10.0 + KEEP_S + 0.1)
    assert asked(history, [4000], 10.6) == []


def test_numbers_that_come_round_again_mean_the_newer_packet() -> None:
    history = History()
    history.add(packet(7, size=1), 10.0)
    history.add(packet(7, size=2), 11.0)
    [again] = history.again([7], 11.5, rtt_s=0.1, target_bps=1e6)
    assert len(again.payload) == 2
