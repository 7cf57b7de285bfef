"""decode, camera → **color** → ring → **color** → encode: any video frame ↔ images of one kind.

Whatever FFmpeg decodes becomes 8-bit I420 in video range, with one size, shape of samples,
rotation and matrix, as a player shows a video whose frames change: fitted with bars, never
stretched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamer import temporary
from streamer.avframe import I420, to_frame, to_image
from streamer.colorimetry import MATRICES, Colorimetry, Matrix, recoded
from streamer.files.container import (
    BT709,
    FULL,
    HLG,
    LIMITED,
    UNKNOWN,
    Colors,
    VideoInfo,
    colors_of,
    display_matrix,
    is_mirrored,
)
from streamer.files.tonemap import cube
from streamer.frame import Image

SDR: Final = Colors(LIMITED, BT709, BT709, BT709)
BT601: Final = Colors(LIMITED, 6, 6, 6)
MATRICES_HDR: Final = {1: "bt709", 5: "smpte170m", 6: "smpte170m", 10: "bt2020c"}
EXACT: Final = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# After vflip, rows lie in memory from the last to the first, until a filter copies them.
TURNS: Final[tuple[list[tuple[str, str | None]], ...]] = (
    [], [("transpose", "cclock")], [("vflip", None), ("hflip", None)], [("transpose", "clock")]
)  # fmt: skip
# The same after a frame was turned upside down.
MIRRORED: Final[tuple[list[tuple[str, str | None]], ...]] = (
    [("vflip", None), ("copy", None)], [("transpose", "clock_flip")], [("hflip", None)],
    [("transpose", "cclock_flip")],
)  # fmt: skip
HD_PX: Final = 720  # height from which untagged video is taken for BT.709, as players do


@dataclass(frozen=True, slots=True)
class Shape:
    """How the samples of a frame lie and what they mean; `rotation` in degrees, anticlockwise."""

    width: int
    height: int
    aspect: Fraction = Fraction(1)  # of one sample
    rotation: int = 0
    mirrored: bool = False  # before it is turned, upside down
    colors: Colors = SDR

    @property
    def colorimetry(self) -> Colorimetry:
        """Matrix and range, guessed for untagged video."""
        guess: Matrix = "bt709" if min(self.width, self.height) >= HD_PX else "bt601"
        return Colorimetry(MATRICES.get(self.colors.matrix, guess), self.colors.range == FULL)

    @property
    def as_image(self) -> Colorimetry:
        """Of images of this shape, which are in video range."""
        return replace(self.colorimetry, is_full=False)


def shape_of(frame: VideoFrame, aspect: Fraction | None) -> Shape:
    """The shape of a decoded frame; PyAV's frames lack the `aspect` of their samples."""
    mirrored = is_mirrored(display_matrix(frame))
    return Shape(
        frame.width,
        frame.height,
        aspect or Fraction(1),
        frame.rotation,
        mirrored,
        colors_of(frame),
    )


def output_colors(video: VideoInfo) -> Colors:
    """The tags of the stylized video: its own, unless its colours had to be made anew."""
    if video.colors.hdr or video.is_rgb:
        return SDR
    if video.colors.matrix == 0:  # RGB, of grey or of black and white
        return replace(video.colors, matrix=UNKNOWN)
    return video.colors


def shape_of_result(video: VideoInfo) -> Shape:
    """How the frames of the stylized video lie, and what their samples mean."""
    aspect = video.aspect or Fraction(1)
    return Shape(
        video.width, video.height, aspect, video.rotation, video.mirrored, output_colors(video)
    )


class ToImage:
    """Turns decoded frames into images of one shape; `peak_nits` of HDR, where it is known."""

    def __init__(self, canvas: Shape, peak_nits: float | None = None) -> None:
        self.fits = False  # a frame of another shape was fitted
        self._canvas = canvas
        self._peak_nits = peak_nits
        self._graph: Graph | None = None
        self._key: tuple[Shape, str] | None = None

    def __call__(self, frame: VideoFrame, shape: Shape) -> Image:
        """The image of one frame, in video range (16-235)."""
        if frame.format.name in I420 and _lies_alike(shape, self._canvas):
            return recoded(to_image(frame), shape.colorimetry, self._canvas.as_image)
        key = (shape, frame.format.name)
        if self._graph is None or key != self._key:
            self._graph, self._key = self._build(frame, shape), key
            self.fits |= replace(shape, colors=SDR) != replace(self._canvas, colors=SDR)
        pts, frame.pts = frame.pts, 0  # the graph takes any order of time
        self._graph.vpush(frame)
        frame.pts = pts
        return to_image(self._graph.vpull())

    def _build(self, frame: VideoFrame, shape: Shape) -> Graph:
        with temporary.folder("tone") as home:
            table = home / "sdr.cube"
            if shape.colors.hdr:
                hlg = shape.colors.transfer == HLG
                table.write_text(_cube_text(cube(hlg, self._peak_nits)))
            return graph_of(frame, *_steps(frame, shape, self._canvas, table))


def _lies_alike(shape: Shape, canvas: Shape) -> bool:
    """Whether the samples of an I420 frame stay where they are."""
    return replace(shape, colors=canvas.colors) == canvas and not shape.colors.hdr


def _steps(
    frame: VideoFrame, shape: Shape, canvas: Shape, table: Path
) -> list[tuple[str, str | None]]:
    steps: list[tuple[str, str | None]] = []
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    matrix = shape.colorimetry.matrix
    span = "full" if shape.colors.range == FULL or is_rgb else "limited"
    source = f"in_range={span}" if is_rgb else f"in_color_matrix={matrix}:in_range={span}"
    if shape.colors.hdr:
        wide = MATRICES_HDR.get(shape.colors.matrix, "bt2020nc")
        steps.append(("scale", f"in_color_matrix={wide}:in_range={span}"))
        file = re.sub(r"([\\':])", r"\\\1", str(table))
        steps += [("format", "gbrp16le"), ("lut3d", f"file={file}:interp=tetrahedral")]
        source = "in_range=full"
    steps += _turned(shape, canvas)
    width, height = fitted(shape, canvas)
    target = f"out_color_matrix={canvas.as_image.matrix}:out_range=limited"
    steps.append(("scale", f"{width}:{height}:{source}:{target}:{EXACT}"))
    steps.append(("format", "yuv420p"))
    if (width, height) != (canvas.width, canvas.height):
        left, top = (canvas.width - width) // 4 * 2, (canvas.height - height) // 4 * 2
        steps.append(("pad", f"{canvas.width}:{canvas.height}:{left}:{top}:black"))
    return steps


def _turned(shape: Shape, canvas: Shape) -> list[tuple[str, str | None]]:
    """From the way a frame lies to that of the canvas; a mirror turns the other way."""
    turn = shape.rotation - canvas.rotation
    turn = (-turn if canvas.mirrored else turn) % 360 // 90
    return (MIRRORED if shape.mirrored != canvas.mirrored else TURNS)[turn]


def fitted(shape: Shape, canvas: Shape) -> tuple[int, int]:
    """Size in samples of the canvas at which a frame fills it as far as its shape lets it."""
    wide = shape.width * shape.aspect / shape.height
    if (shape.rotation - canvas.rotation) % 180 == 90:
        wide = 1 / wide
    room = canvas.width * canvas.aspect / canvas.height
    width = canvas.width if wide >= room else _even(canvas.width * wide / room)
    height = canvas.height if wide <= room else _even(canvas.height * room / wide)
    near = 2  # a bar thinner than a chroma sample is a rounding
    return (
        canvas.width if canvas.width - width < near else width,
        canvas.height if canvas.height - height < near else height,
    )


def _even(side: Fraction) -> int:
    return max(2, round(side / 2) * 2)


def graph_of(frame: VideoFrame, *steps: tuple[str, str | None]) -> Graph:
    """FFmpeg's filters one after the other, for frames like this one; push and pull."""
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
    tags = f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
    source = f"{size}:time_base=1/90000:{tags}"
    graph = Graph()
    chain = (("buffer", source), *steps, ("buffersink", None))
    graph.link_nodes(*(graph.add(name, args) for name, args in chain)).configure()
    return graph


def from_image(image: Image, width: int, height: int, colors: Colors) -> VideoFrame:
    """A frame for the encoder, tagged with `colors` and in their range."""
    shape = Shape(image.width, image.height, colors=colors)
    frame = to_frame(recoded(image, shape.as_image, shape.colorimetry), width, height)
    frame.color_range = colors.range
    frame.colorspace = colors.matrix
    frame.color_primaries = colors.primaries
    frame.color_trc = colors.transfer
    return frame


def _cube_text(table: NDArray[np.float64]) -> str:
    """The .cube format: size, then RGB lines, red running fastest."""
    size = table.shape[0]
    rows = table.transpose(2, 1, 0, 3).reshape(-1, 3)
    lines = (f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows)
    return f"LUT_3D_SIZE {size}\n" + "\n".join(lines) + "\n"
