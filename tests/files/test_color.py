"""Pixels on their way in and out: range and matrix to one step of 255, any shape fitted."""

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamer.camera.source import upright
from streamer.files.color import (
    BT601,
    SDR,
    Shape,
    ToImage,
    fitted,
    from_image,
    output_colors,
    shape_of,
)
from streamer.files.container import FULL, LIMITED, Colors, probe
from streamer.frame import Image

BARS = np.array(
    [
        [255, 255, 255], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0],
        [0, 0, 191], [0, 0, 0], [16, 16, 16], [128, 128, 128], [255, 0, 0], [0, 0, 255],
    ]
)  # fmt: skip
SIDE = 16
KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}  # BT.709, BT.601


def codes(rgb: NDArray[np.int64], matrix: int, span: int, bits: int = 8) -> NDArray[np.float64]:
    """Y'CbCr of ITU-R BT.601 and BT.709, section 3; JFIF's for full range."""
    kr, kb = KR_KB[matrix]
    red, green, blue = rgb.T / 255
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    differences = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    one = 1 << (bits - 8)
    if span == FULL:
        top = (1 << bits) - 1
        return np.stack([luma * top, *(d * top + 128 * one for d in differences)], 1)
    return np.stack(
        [luma * 219 * one + 16 * one, *(d * 224 * one + 128 * one for d in differences)], 1
    )


def bars(matrix: int, span: int, kind: str) -> av.VideoFrame:
    """A frame of upright bars, each SIDE wide."""
    if kind == "rgb24":
        row = np.repeat(BARS, SIDE, axis=0).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.repeat(row[None], SIDE, axis=0), "rgb24")
        return frame
    bits = 10 if kind.endswith("10le") else 8
    values = np.rint(codes(BARS, matrix, span, bits)).clip(0, (1 << bits) - 1)
    values = values.astype(np.uint16 if bits > 8 else np.uint8)
    frame = av.VideoFrame(len(BARS) * SIDE, SIDE, kind)
    for plane, channel in zip(frame.planes, values.T, strict=False):
        width = plane.width
        row = np.repeat(channel, width // len(BARS))
        rows = np.zeros((plane.height, plane.line_size // row.itemsize), row.dtype)
        rows[:, :width] = row
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = matrix, span
    return frame


def shown(image: Image) -> NDArray[np.int64]:
    """The codes in the middle of each bar."""
    luma, *chroma = image.planes
    middle = SIDE // 2
    found = [luma[middle, middle::SIDE]]
    found += [plane[middle // 2, middle // 2 :: SIDE // 2] for plane in chroma]
    return np.stack(found, 1).astype(np.int64)


KINDS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "rgb24"]
CASES = [(span, kind) for span in (LIMITED, FULL) for kind in KINDS]
CASES += [(FULL, "yuvj420p"), (FULL, "yuvj422p")]


@pytest.mark.parametrize("canvas", [BT601, SDR], ids=["to601", "to709"])
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize(("span", "kind"), CASES)
def test_colour_bars_come_out_right(span: int, matrix: int, kind: str, canvas: Colors) -> None:
    frame = bars(matrix, span, kind)
    shape = shape_of(frame, None)
    image = ToImage(Shape(frame.width, frame.height, colors=canvas))(frame, shape)
    expected = codes(BARS, canvas.matrix, LIMITED)
    assert np.abs(shown(image) - expected).max() <= 1.5, shown(image) - expected


@pytest.mark.parametrize("matrix", [1, 6])
def test_full_range_survives_there_and_back(matrix: int) -> None:
    colors = Colors(FULL, matrix, matrix, matrix)
    frame = bars(matrix, FULL, "yuv420p")
    image = ToImage(Shape(frame.width, frame.height, colors=colors))(frame, shape_of(frame, None))
    back = from_image(image, frame.width, frame.height, colors)
    assert (back.color_range, back.colorspace) == (FULL, matrix)
    again = ToImage(Shape(frame.width, frame.height, colors=colors))(back, shape_of(back, None))
    assert np.abs(shown(again) - shown(image)).max() <= 1


WIDE = Shape(320, 180)


@pytest.mark.parametrize(
    ("shape", "canvas", "inner"),
    [
        (WIDE, WIDE, (320, 180)),
        (Shape(640, 360), WIDE, (320, 180)),
        (Shape(180, 320), WIDE, (102, 180)),
        (Shape(240, 180), WIDE, (240, 180)),
        (Shape(640, 180), WIDE, (320, 90)),
        (Shape(720, 576, Fraction(64, 45)), Shape(720, 576, Fraction(16, 15)), (720, 432)),
        (Shape(180, 320, rotation=90), WIDE, (320, 180)),
        (Shape(320, 180), replace(WIDE, width=180, height=320, rotation=90), (180, 320)),
        (Shape(1920, 1088), Shape(1920, 1080), (1906, 1080)),
        (Shape(321, 181), WIDE, (320, 180)),
    ],
)
def test_a_frame_of_another_shape_is_fitted(
    shape: Shape, canvas: Shape, inner: tuple[int, int]
) -> None:
    assert fitted(shape, canvas) == inner


def square(width: int, height: int, aspect: Fraction = Fraction(1)) -> av.VideoFrame:
    """White on grey: as high as a third of the frame, and shown as a square."""
    luma = np.full((height, width), 90, np.uint8)
    high = height // 3
    wide = round(high / aspect)
    top, left = (height - high) // 2, (width - wide) // 2
    luma[top : top + high, left : left + wide] = 235
    frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format="yuv420p")
    frame.colorspace, frame.color_range = 6, LIMITED
    return frame


def box(image: Image, least: int) -> tuple[int, int]:
    """Width and height of what is brighter."""
    bright = image.planes[0] > least
    return int(bright.any(axis=0).sum()), int(bright.any(axis=1).sum())


@pytest.mark.parametrize(
    ("size", "aspect"),
    [((180, 320), Fraction(1)), ((720, 576), Fraction(64, 45)), ((160, 90), Fraction(1))],
)
def test_squares_stay_squares_between_bars(size: tuple[int, int], aspect: Fraction) -> None:
    frame = square(*size, aspect)
    canvas = Shape(320, 180, colors=BT601)
    image = ToImage(canvas)(frame, shape_of(frame, aspect))
    wide, high = box(image, 160)
    assert abs(wide - high) <= 2
    inner = fitted(shape_of(frame, aspect), canvas)
    found = box(image, 50)
    assert abs(found[0] - inner[0]) <= 2 and abs(found[1] - inner[1]) <= 2
    if inner[0] < 320:
        assert (image.planes[0][:, :4] == 16).all() and (image.planes[1][:, :4] == 128).all()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_frame_stands_upright(turn: int) -> None:
    """The bright edge is at the top once the frame is turned anticlockwise by `turn`."""
    luma = np.full((64, 64), 60, np.uint8)
    luma[:16] = 220
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(luma, -turn // 90)), "gray")
    frame = frame.reformat(format="yuv420p")
    shape = replace(shape_of(frame, None), rotation=turn)
    upright = ToImage(Shape(64, 64, colors=BT601))(frame, shape).planes[0]
    assert upright[:12].min() > 180 and upright[20:].max() < 100


@pytest.mark.parametrize("canvas", [FULL, LIMITED])
def test_video_range_stays_what_it_is_in_a_format_that_says_full(canvas: int) -> None:
    """FFmpeg keeps yuvj420p when only the range of a video changes."""
    frame = bars(1, LIMITED, "yuvj420p")
    shape = shape_of(frame, None)
    colors = Colors(canvas, 1, 1, 1)
    image = ToImage(Shape(frame.width, frame.height, colors=colors))(frame, shape)
    assert np.abs(shown(image) - codes(BARS, 1, LIMITED)).max() <= 1.5


def test_full_range_is_known_by_the_format_where_nothing_is_tagged() -> None:
    frame = bars(1, FULL, "yuvj420p")
    frame.color_range = 0
    assert shape_of(frame, None).colors.range == FULL


@pytest.mark.parametrize("pix_fmt", ["monow", "monob", "ya8", "gray"])
def test_grey_and_black_and_white_are_not_tagged_as_rgb(pix_fmt: str, tmp_path: Path) -> None:
    path = tmp_path / "in.nut"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", 25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        frame = av.VideoFrame.from_ndarray(np.full((48, 64), 90, np.uint8), "gray")
        out.mux(stream.encode(frame.reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    assert output_colors(probe(path)).matrix != 0


SIGNS = list(itertools.product((-1, 1), repeat=2))
UPRIGHT, LYING = [(a, 0, 0, d) for a, d in SIGNS], [(0, b, c, 0) for b, c in SIGNS]


@pytest.mark.parametrize("matrix", UPRIGHT + LYING)
def test_any_display_matrix_is_shown_as_a_player_shows_it(
    matrix: tuple[int, int, int, int], tmp_path: Path
) -> None:
    """All eight: turned and mirrored. Where a pixel goes is what ITU-T and ISO say of tkhd."""
    a, b, c, d = matrix
    picture = np.zeros((48, 64), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32] = 220, 150, 80
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", 25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        one = 1 << 16
        stream.set_display_matrix((a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30))
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "gray")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    shape = shape_of(frame, None)
    image = ToImage(upright(shape))(frame, shape)
    # Of the centre of each quarter, x' = a x + c y and y' = b x + d y (ISO/IEC 14496-12, 6.2.2).
    for x, y, light in ((-1, -1, 220), (1, -1, 150), (-1, 1, 80), (1, 1, 16)):
        right, down = a * x + c * y, b * x + d * y
        row, column = (image.height * (2 + down)) // 4, (image.width * (2 + right)) // 4
        assert abs(int(image.planes[0][row, column]) - light) < 25, (x, y)
