import itertools

import numpy as np
from numpy.typing import NDArray

from streamer.frame import Image, Plane, i420_size
from streamer.pipeline.denoiser import Denoiser

WIDTH, HEIGHT = 64, 48


def image(data: NDArray[np.float64]) -> Image:
    return Image(WIDTH, HEIGHT, data.round().clip(0, 255).astype(np.uint8))


def still(value: float = 100.0) -> NDArray[np.float64]:
    return np.full(i420_size(WIDTH, HEIGHT), value)


def sway(images: list[Plane]) -> float:
    pairs = itertools.pairwise(images)
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))


def test_noise_stands_stiller_and_nearer_to_the_truth() -> None:
    rng, denoise = np.random.default_rng(0), Denoiser()
    noisy = [image(still() + rng.normal(0, 3, still().shape)) for _ in range(30)]
    calm = [denoise(one).data for one in noisy]
    assert sway(calm[10:]) < 0.55 * sway([one.data for one in noisy[10:]])
    errors = [np.abs(one.astype(int) - 100).mean() for one in (noisy[-1].data, calm[-1])]
    assert errors[1] < 0.8 * errors[0]


def test_motion_leaves_no_ghost() -> None:
    """A bright bar over a dark ground: where it was, the ground is back in the next frame."""
    denoise = Denoiser()
    for x in range(0, 40, 8):
        data = still(60)
        data[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)[:, x : x + 8] = 120
        assert np.abs(denoise(image(data)).data.astype(int) - data).max() <= 1


def test_a_slow_change_arrives_wholly() -> None:
    denoise = Denoiser()
    denoise(image(still(100)))
    for _ in range(12):
        out = denoise(image(still(105))).data
    assert set(out) == {105}


def test_another_size_begins_anew() -> None:
    denoise = Denoiser()
    denoise(image(still()))
    other = Image(32, 32, np.full(i420_size(32, 32), 7, np.uint8))
    assert denoise(other).data is other.data


def test_color_is_held_back_less_than_light() -> None:
    """Behind what moves, a trail of color shows where one of light does not."""
    luma, denoise = WIDTH * HEIGHT, Denoiser()
    denoise(image(still(100)))
    off = 105 - denoise(image(still(105))).data.astype(int)
    assert 0 < off[luma:].max() < off[:luma].min()
