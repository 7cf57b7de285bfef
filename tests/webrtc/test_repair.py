"""What is asked for again, when, and for how long it is waited for."""

from streamer.webrtc.repair import HOLD_MAX_S, REORDER_MAX_S, UNANSWERED_MAX, Repair


def test_a_gap_is_asked_for_at_once_and_once_per_round_trip() -> None:
    repair = Repair()
    repair.rtt_s = 0.09
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == [5]
    assert repair.due(10.09, 0) == []
    assert repair.due(10.12, 0) == [5]


def test_over_a_long_way_each_request_is_said_twice() -> None:
    repair = Repair()
    repair.rtt_s = 0.2
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == repair.due(10.03, 0) == [5]
    assert repair.due(10.06, 0) == repair.due(10.2, 0) == []
    assert repair.due(10.25, 0) == repair.due(10.28, 0) == [5]


def test_a_round_trip_that_has_grown_is_noticed() -> None:
    repair = Repair()
    now = 10.0
    for took_s in [0.03] * 20 + [0.09] * 40:
        repair.gap([5], now)
        at = now
        while at < now + took_s:
            repair.due(at, 0)
            at += 0.005
        repair.came(5, True, now + took_s)
        now += 1.0
    assert 0.08 < repair.rtt_s < 0.1


def test_each_packet_has_its_own_time() -> None:
    repair = Repair()
    repair.gap([5], 10.0)
    assert repair.due(10.0, 0) == [5]
    repair.gap([9], 10.01)
    assert repair.due(10.01, 0) == [9], "and not 5 again"


def test_the_first_retransmission_says_how_long_one_takes() -> None:
    repair = Repair()
    repair.gap([5], 10.0)
    repair.due(10.0, 0)
    repair.came(5, True, 10.3)
    assert abs(repair.rtt_s - 0.3) < 1e-9
    assert 3 * 0.3 < repair.hold_s <= HOLD_MAX_S


def test_a_sender_that_never_repeats_is_not_waited_for_long() -> None:
    repair = Repair()
    before = repair.hold_s
    for index in range(UNANSWERED_MAX):
        repair.gap([index], 10.0)
        repair.due(10.0, 0)
    assert repair.hold_s < before / 2


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
