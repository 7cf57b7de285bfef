"""Arrays, Pillow images and files come back as what they came as."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import streamer
from streamer.api.pictures import taken
from streamer.errors import MediaError, UsageError
from tests.support.pictures import smooth_rgb

RGB = smooth_rgb(64, 48, 3)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a.astype(int) - b.astype(int)).mean() < 3)


@pytest.fixture(scope="module")
def unchanged() -> streamer.Stylizer:
    return streamer.Stylizer(backend="none", threads=1)


def test_an_array_comes_back_as_an_array(unchanged: streamer.Stylizer) -> None:
    out = unchanged.stylize(RGB)
    assert out.shape == RGB.shape and out.dtype == np.uint8 and close(out, RGB)
    turned = unchanged.stylize(RGB[::-1, :, ::-1])  # a view with negative strides
    assert close(turned, RGB[::-1, :, ::-1])


def test_odd_sizes_keep_their_size(unchanged: streamer.Stylizer) -> None:
    assert unchanged.stylize(RGB[:47, :33]).shape == (47, 33, 3)


def test_a_brush_does_not_change_the_size(unchanged: streamer.Stylizer) -> None:
    large = smooth_rgb(800, 600, 3)
    assert unchanged.stylize(large, streamer.Look(brush="bold")).shape == (600, 800, 3)


def test_a_pillow_image_keeps_its_transparency(unchanged: streamer.Stylizer) -> None:
    picture = Image.fromarray(RGB).convert("RGBA")
    picture.putalpha(100)
    out = unchanged.stylize(picture)
    assert out.mode == "RGBA" and out.getpixel((5, 5))[3] == 100  # type: ignore[index]
    assert unchanged.stylize(Image.fromarray(RGB)).mode == "RGB"
    assert unchanged.stylize(Image.fromarray(RGB).convert("L")).mode == "RGB"


def test_a_file_comes_back_as_a_pillow_image(unchanged: streamer.Stylizer, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "in.png")
    out = unchanged.stylize(tmp_path / "in.png")
    assert isinstance(out, Image.Image) and close(np.asarray(out), RGB)


@pytest.mark.parametrize(
    "array",
    [RGB.astype(np.float32), RGB[..., 0], np.zeros((4, 4, 4), np.uint8), RGB[:0]],
    ids=["float", "grey", "four channels", "empty"],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"an array is \(height, width, 3\), uint8, RGB, not"):
        taken(array)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is wanted, not bytes"):
        taken(b"picture")  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="No such file"):
        taken(tmp_path / "missing.jpg")
