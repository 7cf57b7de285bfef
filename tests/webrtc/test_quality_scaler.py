"""Fewer pixels where the bitrate is too low for all: neither late nor to and fro."""

import itertools

import numpy as np

from streamer.frame import Image, i420_size
from streamer.webrtc.quality_scaler import KNOWN_S, LEFT_OUT, STARVED_S, WATCHED, QualityScaler

HD = Image(1280, 720, np.zeros(i420_size(1280, 720), np.uint8))
CLOCK = 90_000


def divisors(
    scaler: QualityScaler, seconds: float, bps: int, least: dict[int, int], since_s: float = 0.0
) -> list[int]:
    """By frame, with an encoder that leaves out every second one of those that do not fit.

    `least` has the bitrate that they need, by divisor.
    """
    found = []
    for number in range(round(30 * seconds)):
        found.append(scaler.update(HD, bps, round((since_s + number / 30) * CLOCK)))
        scaler.coded(bps >= least.get(found[-1], 0) or number % 2 == 0)
    return found


def test_what_fits_keeps_all_its_pixels() -> None:
    assert set(divisors(QualityScaler(), 20, 1_000_000, {})) == {1}


def test_frames_that_are_left_out_become_smaller_soon_and_stay_so() -> None:
    found = divisors(QualityScaler(), 30, 1_000_000, {1: 5_000_000, 2: 900_000})
    assert STARVED_S * 30 <= found.index(2) <= 1.5 * STARVED_S * 30 + WATCHED
    assert set(found[found.index(2) :]) == {2}


def test_a_better_bitrate_brings_them_back_and_one_that_is_not_enough_is_learned() -> None:
    scaler, least = QualityScaler(), {1: 5_000_000}
    divisors(scaler, 10, 1_000_000, least)
    tried = divisors(scaler, 20, 4_000_000, least, since_s=10)
    assert 1 in tried and tried[-1] == 2  # tried once, and known
    assert sum(a != b for a, b in itertools.pairwise(tried)) == 2
    assert divisors(scaler, 20, 7_000_000, least, since_s=30)[-1] == 1


def test_what_was_too_little_is_forgotten() -> None:
    scaler = QualityScaler()
    divisors(scaler, 5, 2_000_000, {1: 5_000_000})
    assert set(divisors(scaler, KNOWN_S - 5, 2_000_000, {}, since_s=5)) == {2}
    assert divisors(scaler, 10, 2_000_000, {}, since_s=KNOWN_S)[-1] == 1


def test_a_few_frames_that_make_room_for_a_keyframe_do_not_count() -> None:
    scaler = QualityScaler()
    for number in range(300):
        assert scaler.update(HD, 2_000_000, number * 3000) == 1
        scaler.coded(number % 90 >= LEFT_OUT - 1)
