"""I420 and RGB, padding, mixing."""

import cv2
import numpy as np
import pytest

from streamer.frame import Image, i420_size
from streamer.i420 import crop, cut, from_rgb, mix, pad, recolor, surround, to_rgb
from tests.support.pictures import picture, smooth_rgb

SIZES = [(16, 16), (640, 360), (641, 361), (18, 33), (35, 18), (4096, 16)]


def plain(width: int, height: int, y: int, u: int, v: int) -> Image:
    image = Image(width, height, np.empty(i420_size(width, height), np.uint8))
    for plane, value in zip(image.planes, (y, u, v), strict=True):
        plane[:] = value
    return image


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [  # ITU-R BT.601, 8 bits, video range
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (81, 90, 240)),
        ((0, 255, 0), (145, 54, 34)),
        ((0, 0, 255), (41, 240, 110)),
    ],
)
def test_colours_are_those_of_bt601(rgb: tuple[int, ...], yuv: tuple[int, ...]) -> None:
    image = from_rgb(np.full((18, 20, 3), rgb, np.uint8))
    assert [np.unique(plane).tolist() for plane in image.planes] == [[value] for value in yuv]
    assert np.abs(to_rgb(image).astype(int) - rgb).max() <= 2


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_rgb_survives_the_way_there_and_back(width: int, height: int) -> None:
    rgb = smooth_rgb(width, height)
    back = to_rgb(from_rgb(rgb))
    assert back.shape == rgb.shape
    luma = [0.299, 0.587, 0.114]
    assert np.abs((back @ luma) - (rgb @ luma)).mean() < 1.5
    blurred = cv2.blur(rgb, (3, 3)).astype(int), cv2.blur(back, (3, 3)).astype(int)
    assert np.abs(blurred[0] - blurred[1]).mean() < 10


def test_chroma_is_averaged_not_picked() -> None:
    columns = np.zeros((16, 16, 3), np.uint8)
    columns[:, ::2] = (255, 0, 0)
    columns[:, 1::2] = (0, 0, 255)
    _, u, v = from_rgb(columns).planes
    assert np.abs(u.astype(int) - (90 + 240) / 2).max() <= 1
    assert np.abs(v.astype(int) - (240 + 110) / 2).max() <= 1


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_padding_repeats_the_edge_and_cropping_undoes_it(width: int, height: int) -> None:
    image = picture(width, height)
    padded = pad(image, 8, 32)
    assert padded.width % 8 == padded.height % 8 == 0
    assert min(padded.width, padded.height) >= 32
    assert (padded.planes[0][:height, -1] == padded.planes[0][:height, width - 1]).all()
    assert (padded.planes[1][-1] == padded.planes[1][(height - 1) // 2]).all()
    cropped = crop(padded, width, height)
    assert (cropped.data == image.data).all()


def test_what_fits_is_not_copied() -> None:
    image = picture(64, 32)
    assert pad(image, 8, 32) is image
    assert crop(image, 64, 32) is image


def test_mix_is_the_weighted_sum() -> None:
    parts = [plain(16, 16, *yuv) for yuv in ((20, 100, 60), (120, 0, 255), (220, 10, 128))]
    mixed = mix(list(zip((0.2, 0.5, 0.3), parts, strict=True)))
    for plane, values in zip(
        mixed.planes, ((20, 120, 220), (100, 0, 10), (60, 255, 128)), strict=True
    ):
        assert np.abs(plane.astype(int) - np.dot((0.2, 0.5, 0.3), values)).max() <= 1


def test_recolor_takes_luma_from_one_and_chroma_from_the_other() -> None:
    mixed = recolor(plain(17, 17, 50, 1, 2), plain(17, 17, 99, 200, 201))
    assert [np.unique(plane).tolist() for plane in mixed.planes] == [[50], [200], [201]]


@pytest.mark.parametrize("size", [(40, 24), (41, 23)])
def test_what_is_put_around_an_image_can_be_cut_off(size: tuple[int, int]) -> None:
    width, height = size
    image = from_rgb(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    wide = surround(image, 8)
    assert (wide.width, wide.height) == (width + 16, height + 16)
    assert np.array_equal(wide.planes[0][:, 7], wide.planes[0][:, 8])
    back = cut(crop(wide, width + 8, height + 8), 8)
    assert np.array_equal(back.data, image.data)
