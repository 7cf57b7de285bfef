"""Which process takes a stream, and when there is no room for one more."""

from streamer.live.placing import LEAST_FPS, SETTLED_S, Load, Rate, choose, cost_of, full


def test_the_emptiest_process_that_is_up_takes_the_next_stream() -> None:
    assert choose([]) is None
    assert choose([Load(False), Load(False)]) is None
    assert choose([Load(True, 0.5, 3), Load(True, 0.2, 1), Load(False)]) == 1


def test_what_was_placed_since_the_last_look_counts() -> None:
    assert choose([Load(True, 0.0, 0, since=3), Load(True, 0.3, 2)]) == 1
    assert choose([Load(True, 0.0, 0, since=1), Load(True, 0.3, 2)]) == 0


def test_a_process_that_begins_or_tidies_up_is_empty() -> None:
    assert choose([Load(True, 0.7, 0), Load(True, 0.0, 0, since=1)]) == 0


def test_a_machine_with_more_cores_takes_more() -> None:
    assert choose([Load(True, 1.0, 8, room=16), Load(True, 0.3, 2, room=2)]) == 0


def test_equally_full_ones_take_turns() -> None:
    assert choose([Load(True, since=1), Load(True)]) == 1


def test_a_stream_costs_what_streams_cost_here() -> None:
    assert cost_of([Load(True, 0.9, 3), Load(True, 0.3, 1)]) == 0.3
    assert 0 < cost_of([Load(True, 0.9, 0)]) < 1  # of what it does without streams nothing is known


def test_full_when_settled_streams_starve() -> None:
    fine, starved = Rate(30, 29, SETTLED_S + 1), Rate(30, LEAST_FPS - 4, SETTLED_S + 1)
    assert full([]) is None
    assert full([fine, fine]) is None
    assert full([Rate(30, 1, 1)]) is None  # it has only begun
    assert full([Rate(5, 5, 60)]) is None  # its camera is as slow
    reason = full([starved, starved])
    assert reason == "the workers are full: 2 streams get 8 frames a second each; try again later"
