"""Simulated rings, whose costs need not grow with the number of pixels."""

import itertools
from collections.abc import Callable

import pytest

from streamer.pipeline.governor import HEIGHTS_PX, PATIENCE_S, Costs, Governor, Observation, Speed

STYLES = frozenset({"mosaic"})
Cost = Callable[[int, float], float]  # seconds a frame, at a height and a time


def by_pixels(cost_360_s: float) -> Cost:
    return lambda height_px, now: cost_360_s * (height_px / 360) ** 2


class Stream:
    """A stream of 30 fps through a ring of its own, looked at once a second."""

    def __init__(
        self, cost: Cost, *, top_px: int = 720, workers: int = 2, costs: Costs | None = None
    ) -> None:
        self.governor = Governor(30.0, costs)
        self.cost, self.top_px, self.workers = cost, top_px, workers
        self.now = 100.0
        self.others = 0.0  # share of the ring that other streams take
        self.rates: list[float] = []

    def observed(self, in_fps: float = 30.0) -> int:
        """One second; the height after it."""
        self.now += 1
        height = self.governor.height_px(self.top_px)
        cost_s = self.cost(height, self.now)
        fps = min(in_fps, self.workers * (1 - self.others) / cost_s)
        self.rates.append(fps)
        if fps:
            self.governor.costs.see(STYLES, height, cost_s, self.now)
        busy = min(1.0, self.others + fps * cost_s / self.workers)
        observed = Observation(STYLES, in_fps, fps, busy, self.workers, self.top_px)
        self.governor.update(observed, self.now)
        return self.governor.height_px(self.top_px)

    def looks(self, count: int) -> list[int]:
        return [self.observed() for _ in range(count)]


def test_it_begins_with_the_best_look() -> None:
    assert Governor(30.0).height_px(540) == 540


@pytest.mark.parametrize(
    ("frame_s", "workers", "top_px", "first_px"),
    [
        (0.012, 2, 540, 540),
        (0.012, 2, 720, 540),
        (0.012, 1, 720, 360),
        (0.026, 2, 540, 360),
        (0.026, 2, 450, 360),
        (0.026, 8, 720, 720),
        (0.500, 1, 720, 360),  # below that only what is seen leads
        (0.500, 1, 270, 270),
        (0.000, 1, 720, 720),  # no network
    ],
)
def test_a_ring_that_is_known_begins_with_what_leaves_room(
    frame_s: float, workers: int, top_px: int, first_px: int
) -> None:
    governor = Governor(30.0, speed=Speed(frame_s, workers))
    assert governor.height_px(top_px) == first_px


def test_a_careful_start_climbs_within_seconds() -> None:
    stream = Stream(by_pixels(0.013), top_px=540)
    stream.governor = Governor(30.0, speed=Speed(0.026, 2))
    assert stream.looks(4) == [360, 360, 540, 540]


def test_a_slow_ring_settles_at_the_greatest_height_that_holds_the_rate() -> None:
    stream = Stream(by_pixels(0.025))  # 540 lines: 35 fps, 720: 20 fps
    heights = stream.looks(200)
    assert heights[3:20] == [540] * 17
    assert heights.count(540) > 180


def test_it_goes_straight_to_a_height_that_is_known_to_hold_the_rate() -> None:
    costs = Costs()
    for height in (360, 540, 720):
        costs.see(STYLES, height, by_pixels(0.05)(height, 0), 95.0)
    stream = Stream(by_pixels(0.05), costs=costs)
    assert stream.observed() == 360  # at the first observed: 20 and 18 fps are known not to do


def test_no_height_below_360_before_the_rate_has_gone_to_15() -> None:
    assert set(Stream(by_pixels(0.12)).looks(100)[8:]) == {360}  # 16.7 fps
    slower = Stream(by_pixels(0.2))  # 10 fps
    assert set(slower.looks(30)[8:]) == {270}  # 17.8 fps
    assert slower.rates[-1] > 15


def test_a_ring_too_slow_for_anything_stays_at_the_lowest() -> None:
    assert set(Stream(by_pixels(2.0)).looks(60)[12:]) == {HEIGHTS_PX[0]}


def test_it_climbs_within_seconds_when_there_is_room() -> None:
    stream = Stream(lambda height, now: 0.2 * (height / 360) ** 2 if now < 130 else 0.005)
    assert stream.looks(29)[-1] == 270
    assert stream.looks(15)[-1] == 720


def test_it_never_stays_with_what_costs_more_than_a_better_look() -> None:
    """540 lines cost 1.56 times what 720 do, as once was seen."""

    def cost(height_px: int, now: float) -> float:
        return {720: 0.070, 540: 0.110, 360: 0.030}.get(height_px, 0.02)

    stream = Stream(cost)
    heights = stream.looks(100)
    assert heights[6] == 360
    assert heights.count(540) <= 2 * 5  # tried, and left within two looks
    costs = Costs()
    for height in (360, 540, 720):
        costs.see(STYLES, height, cost(height, 0), 95.0)
    assert 540 not in Stream(cost, costs=costs).looks(25)


def test_a_better_look_for_less_is_taken_at_once() -> None:
    costs = Costs()
    stream = Stream(lambda height, now: 0.01 if height == 720 else 0.02, costs=costs)
    stream.governor.height_px(720)
    stream.top_px = 540
    assert stream.observed() == 540
    costs.see(STYLES, 720, 0.01, stream.now)
    stream.top_px = 720
    assert stream.observed() == 720


def test_it_does_not_swing() -> None:
    heights = Stream(by_pixels(0.020), workers=1).looks(600)
    assert sum(a != b for a, b in itertools.pairwise(heights)) <= 2


def test_a_climb_that_fails_is_tried_ever_more_rarely() -> None:
    """The workers have room, but what they send is not delivered."""
    stream = Stream(by_pixels(0.001))
    climbs = []
    for _ in range(1200):
        stream.workers = 1
        before = stream.governor.height_px(720)
        stream.now += 1
        cost_s = stream.cost(before, stream.now)
        stream.governor.costs.see(STYLES, before, cost_s, stream.now)
        fps = 30.0 if before <= 360 else 20.0
        stream.governor.update(Observation(STYLES, 30.0, fps, 0.1, 1, 720), stream.now)
        if stream.governor.height_px(720) > before:
            climbs.append(stream.now)
    waits = [b - a for a, b in itertools.pairwise(climbs)]
    assert waits == sorted(waits)
    assert waits[0] >= PATIENCE_S and waits[-1] > 4 * waits[0]


def test_a_climb_that_holds_makes_it_patient_no_longer() -> None:
    stream = Stream(lambda height, now: 0.09 if height == 720 and now < 140 else 0.01)
    assert 720 not in stream.looks(38)[4:8]
    assert stream.looks(40)[-1] == 720
    stream.cost = lambda height, now: 0.09 if height == 720 else 0.01
    fell_at = next(i for i in range(10) if stream.observed() == 540)
    assert fell_at < 4
    assert 720 in stream.looks(2 * int(PATIENCE_S) + 25)


def test_other_streams_keep_their_share() -> None:
    alone, beside = Stream(by_pixels(0.015)), Stream(by_pixels(0.015))
    beside.others = 0.6
    assert alone.looks(30)[-1] == 720
    assert beside.looks(30)[-1] == 360


@pytest.mark.parametrize("camera_px", [144, 480, 540])
def test_the_camera_is_not_exceeded(camera_px: int) -> None:
    assert set(Stream(by_pixels(0.004), top_px=camera_px).looks(20)) == {camera_px}


def test_another_brush_starts_from_the_top() -> None:
    stream = Stream(by_pixels(0.025))
    assert stream.looks(10)[-1] == 540
    stream.governor.restart()
    assert stream.governor.height_px(720) == 720


def test_without_frames_nothing_is_decided() -> None:
    stream = Stream(by_pixels(2.0))
    for _ in range(20):
        stream.governor.update(Observation(STYLES, 0.0, 0.0, 0.0, 2, 720), 1.0)
    assert stream.governor.height_px(720) == 720


def test_while_a_height_is_being_compiled_slow_frames_do_not_count_against_it() -> None:
    stream = Stream(by_pixels(0.013), top_px=540)
    stream.governor = Governor(30.0, speed=Speed(0.026, 2))
    assert stream.looks(3)[-1] == 540
    slow = Observation(STYLES, 30.0, 20.0, 0.9, 2, 540)
    for now in range(6):  # still at 360 lines, beside the compiler
        stream.governor.update(slow, stream.now + now)
        assert stream.governor.height_px(540) == 540
    stream.now += 6
    assert stream.looks(10) == [540] * 10


def test_the_mean_over_a_first_second_without_frames_is_no_reason_to_go_down() -> None:
    governor = Governor(30.0)
    for now, out_fps in enumerate((0.0, 9.0, 14.0, 15.0)):
        if out_fps:
            governor.costs.see(STYLES, 360, 0.03, now)
        governor.update(Observation(STYLES, 15.0, out_fps, 0.3, 2, 360), now)
        assert governor.height_px(360) == 360


def test_without_a_cost_nothing_is_climbed() -> None:
    governor = Governor(30.0)
    for now in range(-60, 20):
        governor.update(Observation(STYLES, 30.0, 10.0, 1.0, 2, 720), float(now))
    low = governor.height_px(720)
    assert low < 360
    for now in range(20, 40):
        governor.update(Observation(STYLES, 30.0, 30.0, 0.0, 2, 720), float(now))
    assert governor.height_px(720) == low


def test_costs_are_means_that_are_forgotten() -> None:
    costs = Costs()
    costs.see(STYLES, 360, 0.01, 0.0)
    costs.see(STYLES, 360, 0.02, 1.0)
    assert costs.of(STYLES, 360, since=0.0) == pytest.approx(0.012)
    assert costs.of(STYLES, 360, since=2.0) is None
    costs.see(STYLES, 360, 0.05, 500.0)
    assert costs.of(STYLES, 360, since=0.0) == 0.05
    for i in range(600):
        costs.see(frozenset({str(i)}), 360, 0.01, 501.0)
    assert costs.of(STYLES, 360, since=0.0) is None
