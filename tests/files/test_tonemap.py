"""HDR to SDR, against the values the standards print."""

import numpy as np
import pytest

from streamer.files import tonemap as tone

ONES = np.ones(3)


@pytest.mark.parametrize(("nits", "code"), [(0, 0.0), (100, 0.5081), (1000, 0.7518), (10000, 1.0)])
def test_pq_has_the_values_of_bt_2100(nits: float, code: float) -> None:
    assert float(tone.nits_to_pq(np.array(nits))) == pytest.approx(code, abs=1e-4)
    assert float(tone.pq_to_nits(np.array(code))) == pytest.approx(nits, rel=2e-3)


@pytest.mark.parametrize(("code", "nits"), [(0.0, 0), (0.75, 203), (1.0, 1000)])
def test_hlg_has_the_values_of_bt_2100(code: float, nits: float) -> None:
    """75 % HLG is reference white: 203 nits (BT.2408)."""
    assert tone.hlg_to_nits(code * ONES)[0] == pytest.approx(nits, rel=5e-3, abs=0.01)


def test_dark_light_stays_and_bright_light_fits() -> None:
    nits = np.array([0.1, 1.0, 10.0, 50.0])
    assert tone.roll_off(nits, 1000) == pytest.approx(nits, rel=1e-6)
    assert tone.roll_off(np.array([1000.0, 4000.0]), 1000) == pytest.approx(203, rel=1e-3)
    steps = tone.roll_off(np.geomspace(0.01, 1000, 200), 1000)
    assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize("hlg", [False, True])
def test_the_cube_keeps_grey_grey_and_never_gets_darker(hlg: bool) -> None:
    table = tone.cube(hlg, None)
    grey = table[range(tone.SIZE), range(tone.SIZE), range(tone.SIZE)]
    assert np.ptp(grey, axis=1).max() < 1e-3
    assert (np.diff(grey[:, 0]) >= 0).all()
    assert grey[0, 0] == 0 and grey[-1, 0] == pytest.approx(1, abs=2e-3)


def test_the_cube_turns_wide_colours_into_narrow_ones() -> None:
    table = tone.cube(False, 1000)
    red = table[20, 0, 0]  # a pure BT.2020 red is outside BT.709: clipped, and still red
    assert red[0] > 0.5 and red[1] == red[2] == 0
