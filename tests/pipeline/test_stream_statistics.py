import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.engine import steady
from streamer.pipeline.stream_statistics import (
    FOLLOW_S,
    MEASURE_S,
    Following,
    StreamStatistics,
    Thumbnail,
)
from streamer.statistics import Measurement, Statistics, average


def statistics(mean: float, variance: float) -> Statistics:
    one = np.ones(4, np.float32)
    return Statistics.of(mean * one, variance * one)


def found(mean: float, variance: float, lines: int = 180) -> Measurement:
    """Of a picture that needs no small copy."""
    one = statistics(mean, variance)
    return Measurement(one, one, lines)


def same(a: Statistics, b: Statistics, within: float = 1e-4) -> bool:
    return np.allclose(a.mean, b.mean, atol=within) and np.allclose(
        a.log_variance, b.log_variance, atol=within
    )


def test_between_two_are_means_and_logarithms_of_variances() -> None:
    a, b = statistics(0, 1), statistics(2, 16)
    assert a.toward(b, 0) is a and a.toward(b, 1) is b
    half = a.toward(b, 0.5)
    assert np.allclose(half.mean, 1) and np.allclose(half.variance, 4, rtol=1e-3)
    assert same(average([a, b]), half)
    assert same(average([a, b], [0.25, 0.75]), a.toward(b, 0.75))


def test_no_variance_is_no_variance() -> None:
    assert np.allclose(statistics(1, 0).variance, 0, atol=1e-7)
    assert (statistics(1, 0).variance >= 0).all()


def test_a_scene_starts_with_what_was_measured() -> None:
    first = found(3, 2)
    following = Following.start(first, now=10)
    assert following.current is first.whole
    assert following.move(11).current.mean[0] == pytest.approx(3)


def test_it_follows_smoothly_and_at_the_same_speed_at_any_frame_rate() -> None:
    a, b = found(0, 1), found(1, 1)
    ends = []
    for fps in (5, 30):
        following = Following.start(a, now=0).measured(b, now=0)
        steps = []
        for frame in range(1, int(FOLLOW_S * fps) + 1):
            before = following.current.mean[0]
            following = following.move(frame / fps)
            steps.append(following.current.mean[0] - before)
        assert max(steps) <= 1.001 * (1 - math.exp(-1 / fps / FOLLOW_S))  # no jump
        assert min(steps) > 0
        ends.append(following.current.mean[0])
    assert ends == pytest.approx([1 - math.exp(-1)] * 2, abs=1e-3)


def test_a_measurement_does_not_move_what_is_shown() -> None:
    a, b = found(0, 1), found(1, 4)
    following = Following.start(a, now=0)
    told = following.measured(b, now=5)
    assert same(told.current, a.small) and same(told.target, b.small)


def test_time_that_goes_back_moves_nothing() -> None:
    following = Following.start(found(0, 1), 5).measured(found(1, 1), 5)
    assert same(following.move(4).current, statistics(0, 1))


def scene(seed: int, gain: float = 1, lift: float = 0, shift: int = 0) -> Thumbnail:
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 200, (9, 16)).repeat(40, 0).repeat(40, 1)
    noisy = np.roll(coarse, shift, 1) * gain + lift + rng.normal(0, 4, coarse.shape)
    return Thumbnail.of(noisy.clip(0, 255).astype(np.uint8))


def test_another_scene_is_a_cut() -> None:
    assert scene(1).cut_from(scene(2))


def test_a_light_switched_off_is_a_cut() -> None:
    assert scene(1, gain=0.25).cut_from(scene(1))


@pytest.mark.parametrize("change", [{}, {"shift": 12}, {"gain": 0.9}, {"lift": 15}])
def test_what_a_camera_does_from_frame_to_frame_is_not(change: dict[str, float]) -> None:
    assert not scene(1, **change).cut_from(scene(1))  # type: ignore[arg-type]


def test_a_wall_with_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    walls = [rng.normal(120, 4, (360, 640)).clip(0, 255).astype(np.uint8) for _ in range(2)]
    a, b = map(Thumbnail.of, walls)
    assert not a.cut_from(b)


def test_steady_statistics_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    written = [statistics(0.25, 1), statistics(-3, 0.5)]
    steady.write(path, written)
    read = steady.read(path)
    assert len(read) == 2 and all(same(a, b, 2e-3) for a, b in zip(read, written, strict=True))
    assert steady.read_steps(path) == ()
    steady.write(path, written, [[0.5, 0.25], [2, 4]])
    assert steady.read_steps(path) == ((0.5, 0.25), (2, 4))


def luma(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(20, 200, (9, 16), np.uint8).repeat(20, 0).repeat(20, 1)


def test_until_statistics_come_back_every_frame_uses_and_sends_its_own() -> None:
    stream = StreamStatistics()
    for now in (0.0, 0.03):
        orders = stream.orders(luma(1), ["mosaic"], now)
        assert orders.known == {} and orders.measure == {"mosaic"}
    stream.take(orders.scene, {"mosaic": found(1, 1)}, 0.05)
    orders = stream.orders(luma(1), ["mosaic"], 0.07)
    assert same(orders.known["mosaic"], statistics(1, 1)) and not orders.measure


def started(*styles: str) -> StreamStatistics:
    stream = StreamStatistics()
    orders = stream.orders(luma(1), styles, 0)
    stream.take(orders.scene, {style: found(0, 1) for style in styles}, 0)
    return stream


def test_it_is_measured_again_now_and_then_by_one_frame() -> None:
    stream, asked = started("mosaic"), []
    for frame in range(1, round(135 * MEASURE_S)):
        if stream.orders(luma(1), ["mosaic"], frame / 30).measure:
            asked.append(frame / 30)
    assert asked == pytest.approx([MEASURE_S * i for i in (1, 2, 3, 4)], abs=0.05)


def test_a_measurement_is_followed_slowly() -> None:
    stream = started("mosaic")
    stream.take(0, {"mosaic": found(1, 1)}, 0)
    ways = [
        stream.orders(luma(1), ["mosaic"], now).known["mosaic"].mean[0]
        for now in (0.01, FOLLOW_S, 20 * FOLLOW_S)
    ]
    assert ways == pytest.approx([0, 1 - math.exp(-1), 1], abs=0.01)


def test_a_cut_starts_anew_and_forgets_what_is_under_way() -> None:
    stream = started("mosaic")
    before = stream.orders(luma(1), ["mosaic"], 0.1)
    after = stream.orders(luma(2), ["mosaic"], 0.2)
    assert after.scene != before.scene and after.known == {} and after.measure == {"mosaic"}
    stream.take(before.scene, {"mosaic": found(9, 9)}, 0.25)
    assert stream.orders(luma(2), ["mosaic"], 0.3).known == {}
    stream.take(after.scene, {"mosaic": found(2, 2)}, 0.35)
    assert same(stream.orders(luma(2), ["mosaic"], 0.35).known["mosaic"], statistics(2, 2))


@pytest.mark.parametrize("live", [True, False])
def test_live_frames_that_come_late_are_no_new_scene_each(live: bool) -> None:
    stream = StreamStatistics(7 if live else None)
    scenes = [stream.orders(luma(n), ["mosaic"], 0.25 * n).scene for n in range(24)]
    assert len(set(scenes)) == (4 if live else 24)  # at 0, 0.25, 2.25 and 4.25 s
    near = [stream.orders(luma(n), ["mosaic"], 6 + 0.05 * n).scene for n in range(20)]
    assert len(set(near)) == 20


def test_a_new_scene_is_measured_by_a_frame_for_each_worker_and_others_wait() -> None:
    stream = StreamStatistics(7)
    assert not stream.waits(0, 1)
    for seed, start in ((1, 0.0), (2, 5.0)):  # a stream's start, and a cut
        orders = stream.orders(luma(seed), ["mosaic"], start)
        assert stream.waits(start, 1) and not stream.waits(start, 2)
        stream.orders(luma(seed), ["mosaic"], start + 0.1)
        assert stream.waits(start + 0.5, 2)
        assert not stream.waits(start + 1.5, 1)  # they may be lost
        stream.returned(orders, {"mosaic": found(1, 1)}, start + 0.5)
        assert not stream.waits(start + 0.5, 1)
        assert stream.orders(luma(seed), ["mosaic"], start + 0.6).known
        due = stream.orders(luma(seed), ["mosaic"], start + 2)
        assert due.measure and not stream.waits(start + 2, 1)  # its statistics are known


def test_nobody_waits_for_a_style_of_which_nothing_is_measured() -> None:
    stream = StreamStatistics(7)
    stream.returned(stream.orders(luma(1), ["mosaic"], 0), {}, 0.1)
    stream.orders(luma(1), ["mosaic"], 0.1)
    assert not stream.waits(0.1, 1)
    cut = stream.orders(luma(2), ["mosaic"], 5)
    assert cut.measure and not stream.waits(5, 1)
    stream.returned(cut, {"mosaic": found(1, 1)}, 5.1)  # its tone was changed
    stream.orders(luma(3), ["mosaic"], 9)
    assert stream.waits(9, 1)


def test_a_style_that_fades_in_is_measured_while_the_other_goes_on() -> None:
    stream = started("mosaic")
    orders = stream.orders(luma(1), ["mosaic", "starry"], 0.1)
    assert set(orders.known) == {"mosaic"} and orders.measure == {"starry"}
    stream.take(orders.scene, {"starry": found(5, 1)}, 0.2)
    assert set(stream.orders(luma(1), ["mosaic", "starry"], 0.3).known) == {"mosaic", "starry"}
    assert set(stream.orders(luma(1), ["starry"], 0.4).known) == {"starry"}
    back = stream.orders(luma(1), ["mosaic"], 0.5)
    assert back.known == {} and back.measure == {"mosaic"}


def test_a_small_copy_is_moved_by_what_the_first_frame_differed_by() -> None:
    small, whole = statistics(1, 1), statistics(3, 4)
    stream = StreamStatistics(7)
    orders = stream.orders(luma(1), ["mosaic"], 0, 720)
    assert orders.exact == {"mosaic"} and orders.stream == 7
    stream.take(0, {"mosaic": Measurement(small, whole, 720)}, 0)
    known = stream.orders(luma(1), ["mosaic"], 0.1, 720).known["mosaic"]
    assert same(known, whole)
    due = stream.orders(luma(1), ["mosaic"], MEASURE_S, 720)
    assert due.measure == {"mosaic"} and not due.exact
    stream.take(0, {"mosaic": Measurement(statistics(2, 1), None, 720)}, MEASURE_S)
    settled = stream.orders(luma(1), ["mosaic"], 100 * FOLLOW_S, 720).known["mosaic"]
    assert same(settled, statistics(4, 4), 1e-3)


def test_another_height_is_measured_exactly_once_and_followed_slowly() -> None:
    stream = StreamStatistics()
    stream.orders(luma(1), ["mosaic"], 0, 720)
    stream.take(0, {"mosaic": Measurement(statistics(0, 1), statistics(1, 1), 720)}, 0)
    first = stream.orders(luma(1), ["mosaic"], 1, 540)
    assert first.exact == {"mosaic"}
    stream.take(0, {"mosaic": Measurement(statistics(0, 1), statistics(2, 1), 540)}, 1)
    soon = stream.orders(luma(1), ["mosaic"], 1.01, 540)
    assert soon.known["mosaic"].mean[0] == pytest.approx(1, abs=0.02)
    later = stream.orders(luma(1), ["mosaic"], 2, 540)
    assert later.measure == {"mosaic"} and not later.exact
    back = stream.orders(luma(1), ["mosaic"], 3, 720)
    assert back.measure == {"mosaic"} and not back.exact


def test_what_is_not_exact_does_not_begin_a_scene() -> None:
    stream = StreamStatistics()
    stream.orders(luma(1), ["mosaic"], 0)
    stream.take(0, {"mosaic": Measurement(statistics(0, 1), None, 180)}, 0)
    assert stream.orders(luma(1), ["mosaic"], 1).exact == {"mosaic"}


def test_a_stream_goes_on_from_its_state() -> None:
    stream = StreamStatistics()
    stream.orders(luma(1), ["mosaic"], 0, 720)
    stream.take(0, {"mosaic": Measurement(statistics(0, 1), statistics(1, 1), 720)}, 0)
    restored = StreamStatistics.restore(stream.state())
    for one in (stream, restored):
        orders = one.orders(luma(1), ["mosaic"], 1, 720)
        assert orders.measure == {"mosaic"} and not orders.exact
        assert same(orders.known["mosaic"], statistics(1, 1))


def test_of_the_frames_that_begin_a_scene_only_the_first_to_come_back_is_shown() -> None:
    stream = StreamStatistics(1)
    first, second = (stream.orders(luma(1), ["mosaic"], now) for now in (0.0, 0.03))
    assert stream.returned(second, {"mosaic": found(1, 1)}, 0.1)
    assert not stream.returned(first, {"mosaic": found(2, 2)}, 0.11)  # it would flash
    known = stream.orders(luma(1), ["mosaic"], 0.12)
    assert stream.returned(known, {}, 0.2)
    cut = stream.orders(luma(2), ["mosaic"], 0.3)
    assert cut.scene != known.scene
    assert stream.returned(known, {}, 0.31)  # of the scene before
    assert stream.returned(cut, {"mosaic": found(3, 3)}, 0.4)


def test_frames_of_which_nothing_is_measured_are_all_shown() -> None:
    stream = StreamStatistics(1)
    for now in (0.0, 0.03):
        assert stream.returned(stream.orders(luma(1), ["published"], now), {}, now + 0.1)
