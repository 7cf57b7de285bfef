"""A simulated ring whose cost grows with the number of pixels."""

import itertools

from streamer.pipeline.governor import HEIGHTS_PX, Governor


def simulate(cost_360_s: float, looks: int, camera_px: int = 720, fps: float = 30.0) -> list[int]:
    governor = Governor(fps)
    heights = []
    for _ in range(looks):
        cost_s = cost_360_s * (governor.height_px / 360) ** 2
        out_fps = min(fps, 1 / cost_s)
        heights.append(governor.update(fps, out_fps, out_fps * cost_s, camera_px))
    return heights


def test_a_slow_ring_settles_at_the_height_it_can_hold() -> None:
    heights = simulate(cost_360_s=0.06, looks=200)
    assert heights[-1] in (180, 270)
    assert set(heights[10:]) <= {180, 270}


def test_a_ring_too_slow_for_anything_stays_at_the_lowest() -> None:
    assert set(simulate(cost_360_s=1.0, looks=60)[10:]) == {HEIGHTS_PX[0]}


def test_a_quick_ring_climbs_to_the_camera() -> None:
    assert simulate(cost_360_s=0.004, looks=60)[-1] == 720
    assert simulate(cost_360_s=0.004, looks=60, camera_px=540)[-1] == 540


def test_it_does_not_swing() -> None:
    """Half load at 360 leaves no room for 540; nothing moves in ten minutes."""
    heights = simulate(cost_360_s=0.020, looks=600)
    assert sum(a != b for a, b in itertools.pairwise(heights)) <= 1


def test_a_climb_that_fails_is_tried_ever_more_rarely() -> None:
    """The ring claims to have room but has not: after each failure the wait doubles."""
    governor = Governor(30.0)
    climbs = []
    for look in range(400):
        before = governor.height_px
        slow = before > 360
        after = governor.update(30.0, 15.0 if slow else 30.0, 0.1, 720)
        if after > before:
            climbs.append(look)
    waits = [b - a for a, b in itertools.pairwise(climbs)]
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]


def test_without_frames_nothing_is_decided() -> None:
    governor = Governor(30.0)
    assert {governor.update(0.0, 0.0, 0.0, 720) for _ in range(20)} == {360}


def test_a_camera_below_every_step_is_not_exceeded_but_by_the_lowest() -> None:
    assert Governor(30.0).update(30.0, 30.0, 0.1, 144) == HEIGHTS_PX[0]
