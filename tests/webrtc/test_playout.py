"""Frames that came in bunches are shown evenly; those that came evenly are not held up."""

from itertools import pairwise

from streamer.webrtc.playout import Playout

EVERY_S = 1 / 30


def play(late_s: dict[int, float], count: int = 300, playout: Playout | None = None) -> list[float]:
    """When each of `count` frames is shown, of which some come so late."""
    playout = playout or Playout()
    shown: list[float] = []
    for n in range(count):
        pts_s = n * EVERY_S
        now = 100 + pts_s + late_s.get(n, 0.0)
        shown.append(max(now, playout.due(pts_s, now)))
    return shown


def test_nothing_waits_on_a_clean_path() -> None:
    shown = play({n: 0.002 * (n % 5) for n in range(300)})
    assert all(at - 100 - n * EVERY_S <= 0.0081 for n, at in enumerate(shown))


def bunches() -> dict[int, float]:
    """Every tenth frame waits 0.3 s for a retransmission, and all behind it wait for it."""
    return {n: max(0.0, 0.3 - (n % 10) * EVERY_S) for n in range(300)}


def test_bunches_are_spread_evenly() -> None:
    steps = [b - a for a, b in pairwise(play(bunches())[30:])]
    assert max(steps) < 2.1 * EVERY_S
    assert sum(abs(step - EVERY_S) < 0.005 for step in steps) > 0.7 * len(steps)


def test_the_delay_sinks_within_seconds() -> None:
    late = {n: late_s for n, late_s in bunches().items() if n < 100}
    shown = play(late)
    assert shown[90] - 100 - 90 * EVERY_S > 0.2
    assert shown[299] - 100 - 299 * EVERY_S < 0.01


def test_a_sender_that_begins_anew_is_not_late() -> None:
    playout = Playout()
    play({}, 100, playout)
    now = 110.0  # seven seconds of nothing that its clock does not count
    for n in range(100, 130):
        due = playout.due(n * EVERY_S, now)
        assert due <= now
        now += EVERY_S


def test_sound_is_told_how_late_frames_are_shown() -> None:
    playout = Playout()
    play(bunches(), playout=playout)
    assert 0.2 < playout.late_s < 0.35
    clean = Playout()
    play({}, playout=clean)
    assert clean.late_s == 0
