import math
from pathlib import Path

import numpy as np
import pytest

from streamer.engine import steady
from streamer.engine.statistics import (
    FOLLOW_S,
    MEASURE_S,
    Following,
    Statistics,
    Thumbnail,
    average,
)


def statistics(mean: float, variance: float) -> Statistics:
    one = np.ones(4, np.float32)
    return Statistics.of(mean * one, variance * one)


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


def test_no_variance_is_no_variance() -> None:
    assert np.allclose(statistics(1, 0).variance, 0, atol=1e-7)
    assert (statistics(1, 0).variance >= 0).all()


def test_a_stream_starts_with_what_was_measured() -> None:
    first = statistics(3, 2)
    following = Following.start("mosaic", first, now=10)
    assert following.current is first
    assert following.move(11).current.mean[0] == pytest.approx(3)
    assert not following.due(10 + MEASURE_S - 0.01) and following.due(10 + MEASURE_S)


def test_it_follows_smoothly_and_at_the_same_speed_at_any_frame_rate() -> None:
    a, b = statistics(0, 1), statistics(1, 1)
    ends = []
    for fps in (5, 30):
        following = Following.start("mosaic", a, now=0).measured(b, now=0)
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
    a, b = statistics(0, 1), statistics(1, 4)
    following = Following.start("mosaic", a, now=0)
    told = following.measured(b, now=5)
    assert same(told.current, a) and told.target is b and not told.due(5)


def test_time_that_goes_back_moves_nothing() -> None:
    following = Following.start("mosaic", statistics(0, 1), 5).measured(statistics(1, 1), 5)
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
