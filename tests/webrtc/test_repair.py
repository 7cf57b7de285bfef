"""What is asked for again, when, and for how long it is waited for."""

from streamer.webrtc.repair import HOLD_MAX_S, REORDER_MAX_S, Repair


def test_a_gap_is_asked_for_at_once_and_once_per_round_trip() -> None:
    repair = Repair()
    repair.rtt_s = 0.2
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == [5]
    assert repair.due(10.2, 0) == []
    assert repair.due(10.25, 0) == [5]


def test_each_packet_has_its_own_time() -> None:
    repair = Repair()
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == [5]
    repair.gap([9], 10.01)
    assert repair.due(10.01, 0) == [9], "and not 5 again"


def test_the_first_retransmission_says_how_long_one_takes() -> None:
    repair = Repair()
    before = repair.hold_s
    repair.gap([5], 10.0)
    repair.due(10.0, 0)
    repair.came(5, True, 10.3)
    assert abs(repair.rtt_s - 0.3) < 1e-9
    assert before < repair.hold_s <= HOLD_MAX_S


def test_one_that_was_given_up_still_says_it() -> None:
    repair = Repair()
    repair.gap([5], 10.0)
    repair.due(10.0, 0)
    assert repair.due(11.0, first=6) == [], "given up"
    repair.came(5, True, 11.0)
    assert repair.rtt_s > 0.9


def test_packets_that_come_late_by_themselves_are_waited_for() -> None:
    repair = Repair()
    repair.came(0, True, 9.0)  # retransmissions say that they are
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == [5]
    repair.came(5, False, 10.04)
    repair.gap([7], 10.1)
    assert repair.due(10.1, 0) == repair.due(10.14, 0) == []
    assert repair.due(10.15, 0) == [7], "later than any: lost"


def test_the_wait_is_bounded_and_forgotten() -> None:
    repair = Repair()
    repair.gap([5], 10.0)
    repair.came(5, False, 13.0)
    repair.gap([7], 13.0)
    assert repair.due(13.0 + REORDER_MAX_S, 0) == [7]
    repair.gap([9], 60.0)
    assert repair.due(60.001, 0) == [9]
