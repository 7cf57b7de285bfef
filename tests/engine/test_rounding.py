import cv2
import numpy as np
import pytest

from streamer.engine.pictures import pictures
from streamer.engine.rounding import of_columns, of_image, rounded

MOST = 63


def seen(kernel: int) -> np.ndarray:
    """(places, 3 * kernel²): what a kernel sees of a picture's Y, U and V, 0..1."""
    y, u, v = pictures(192, 128)[0]
    planes = [y, *(cv2.resize(plane, y.shape[::-1]) for plane in (u, v))]
    windows = np.lib.stride_tricks.sliding_window_view(np.stack(planes), (kernel, kernel), (1, 2))
    return windows.transpose(1, 2, 0, 3, 4).reshape(-1, 3 * kernel**2)[::7] / 255


@pytest.mark.parametrize("kernel", [1, 3, 9])
def test_errors_cancel_in_what_pictures_show(kernel: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(-MOST, MOST, (8, 3 * kernel**2))
    ours, plain = rounded(weights, of_image(kernel, kernel), MOST), np.rint(weights)
    assert np.array_equal(ours, np.rint(ours)) and np.abs(ours).max() <= MOST
    off, plainly = (np.abs(seen(kernel) @ (w - weights).T).mean() for w in (ours, plain))
    assert off < plainly / (1.2 if kernel == 1 else 3)


def test_whole_numbers_stay_and_large_ones_are_cut() -> None:
    whole = np.array([[3.0, -63, 0, 12], [1, 2, 3, 4]])
    assert np.array_equal(rounded(whole, of_columns(2, 2), MOST), whole)
    assert np.abs(rounded(100 * whole, of_columns(2, 2), MOST)).max() == MOST
