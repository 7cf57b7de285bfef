import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.pipeline.pacer import Pacer

INTERVAL_S = 1 / 30


def play(pacer: Pacer, delays: list[float]) -> list[float]:
    """When frames of a 30 fps stream are shown that are ready `delays` after their pts."""
    shown = []
    ready_at = 0.0
    for number, delay in enumerate(delays):
        pts_s = number * INTERVAL_S
        ready_at = max(100.0 + pts_s + delay, ready_at)  # in order; 100: clocks differ
        shown.append(pacer.due_at(pts_s, ready_at))
    return shown


def test_a_steady_stream_is_not_held() -> None:
    pacer = Pacer()
    for number in range(100):
        ready_at = 7 + number * INTERVAL_S
        assert pacer.due_at(number * INTERVAL_S, ready_at) == pytest.approx(ready_at, abs=1e-9)


def test_frames_that_come_in_pairs_are_shown_evenly() -> None:
    delays = [0.060 if number % 2 == 0 else 0.060 - INTERVAL_S for number in range(90)]
    shown = play(Pacer(), delays)[30:]
    gaps = [b - a for a, b in itertools.pairwise(shown)]
    assert max(gaps) - min(gaps) < 0.005
    assert statistics.fmean(gaps) == pytest.approx(INTERVAL_S, rel=0.02)


def test_one_slow_frame_does_not_delay_the_others() -> None:
    """A frame 100 ms late holds up the three behind it, and that is all."""
    delays = [0.05] * 50 + [0.15] + [0.05] * 50
    latencies = [at - 100 - n * INTERVAL_S for n, at in enumerate(play(Pacer(), delays))]
    assert max(latencies[55:]) == pytest.approx(0.05, abs=0.011)


def test_after_a_stall_the_old_latency_is_back_within_a_second() -> None:
    delays = [0.05] * 50 + [0.4] + [0.05] * 60
    latencies = [at - 100 - n * INTERVAL_S for n, at in enumerate(play(Pacer(), delays))]
    assert max(latencies[51 + 12 + 30 :]) == pytest.approx(0.05, abs=0.011)


def test_a_slow_start_does_not_delay_what_follows() -> None:
    """8 ms are not worth a jump, yet they are gone soon, too slowly to be seen."""
    delays = [0.058] * 30 + [0.05] * 90
    shown = play(Pacer(), delays)
    latencies = [at - 100 - n * INTERVAL_S for n, at in enumerate(shown)]
    assert latencies[-1] == pytest.approx(0.05, abs=0.001)
    assert all(abs(b - a - INTERVAL_S) < 0.001 for a, b in itertools.pairwise(shown[30:]))


def test_a_jump_of_media_time_starts_afresh() -> None:
    pacer = Pacer()
    for number in range(30):
        pacer.due_at(number * INTERVAL_S, 7 + number * INTERVAL_S)
    assert pacer.due_at(1000.0, 8.0) == 8.0
    assert pacer.reanchored == 1


@given(st.lists(st.floats(0, 2), min_size=1, max_size=80), st.floats(0.01, 0.2))
def test_hold_is_never_negative_nor_longer_than_allowed(
    delays: list[float], max_hold_s: float
) -> None:
    pacer = Pacer(max_hold_s)
    for number, delay in enumerate(delays):
        pts_s = number * INTERVAL_S
        ready_at = pts_s + delay
        assert ready_at <= pacer.due_at(pts_s, ready_at) <= ready_at + max_hold_s + 1e-9
