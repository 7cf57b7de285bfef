"""Matrix and range change as FFmpeg's scaler changes them, and to 1/255."""

import itertools

import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from streamer.avframe import to_frame, to_image
from streamer.colorimetry import IN_RING, WEIGHTS, Colorimetry, recoded
from streamer.engine.pictures import pictures
from streamer.frame import Image, i420_size

SPANS = {False: ColorRange.MPEG, True: ColorRange.JPEG}
EVERY = [Colorimetry(matrix, is_full) for matrix in WEIGHTS for is_full in (False, True)]


def flat(values: NDArray[np.float64]) -> Image:
    luma, *chroma = values.round().clip(0, 255).astype(np.uint8)
    return Image(8, 8, np.repeat([luma, *chroma], [64, 16, 16]))


@pytest.mark.parametrize("source", EVERY, ids=str)
@pytest.mark.parametrize("target", EVERY, ids=str)
def test_every_colour_comes_out_to_one_level(source: Colorimetry, target: Colorimetry) -> None:
    for rgb in itertools.product((0.0, 0.4, 1.0), repeat=3):
        values = np.array([*rgb, 1.0])
        image = recoded(flat(source.to_yuv() @ values), source, target)
        expected = (target.to_yuv() @ values).clip(0, 255)
        found = np.array([plane[3, 3] for plane in image.planes])
        assert np.abs(found - expected).max() <= 1.5


def test_nothing_is_done_to_what_is_right_already() -> None:
    image = flat(np.array([90.0, 100, 200]))
    assert recoded(image, IN_RING, IN_RING) is image


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (2, 2), (1, 1)])
def test_sizes_are_kept(size: tuple[int, int]) -> None:
    image = Image(*size, np.full(i420_size(*size), 128, np.uint8))
    assert recoded(image, Colorimetry("bt709"), IN_RING).size == size


@pytest.mark.parametrize("is_full", [False, True])
def test_a_picture_becomes_what_ffmpeg_makes_of_it(is_full: bool) -> None:
    planes = pictures(320, 192)[0]
    image = Image(320, 192, np.concatenate([plane.ravel() for plane in planes]))
    frame = to_frame(image)
    scaled = frame.reformat(
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=SPANS[is_full],
        dst_color_range=ColorRange.MPEG,
        interpolation=4 | 0x2000 | 0x4000 | 0x40000,
    )
    ours = recoded(image, Colorimetry("bt709", is_full), IN_RING)
    off = np.abs(ours.data.astype(int) - to_image(scaled).data)
    # FFmpeg has chroma half a pixel further left: edges of colour differ.
    assert off.mean() < 0.6 and np.quantile(off, 0.99) <= 3
