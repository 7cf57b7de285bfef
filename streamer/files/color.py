"""decode → **color** → ring → **color** → encode: pixel formats, ranges and matrices.

What FFmpeg decodes becomes 8-bit I420 in video range, and goes back as its video had it.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from streamer.avframe import to_frame, to_image
from streamer.files.container import BT709, FULL, HLG, LIMITED, UNKNOWN, Colors, VideoInfo
from streamer.files.tonemap import cube
from streamer.frame import Image

SDR = Colors(LIMITED, BT709, BT709, BT709)
HDR_MATRIX = {9: "bt2020nc", 10: "bt2020c", 1: "bt709", 5: "smpte170m", 6: "smpte170m"}


def output_colors(video: VideoInfo) -> Colors:
    """The tags of the stylized video: its own, unless its colours had to be made anew."""
    if video.colors.hdr or video.is_rgb:
        return SDR
    if video.pix_fmt.startswith("gray") and video.colors.matrix == 0:
        return replace(video.colors, matrix=UNKNOWN)
    return video.colors


class ToImage:
    """Turns decoded frames of one video into images, all of one size."""

    def __init__(self, video: VideoInfo) -> None:
        self._size = video.width, video.height
        self._full = video.colors.range == FULL
        self._rgb = video.is_rgb
        self._to_sdr = ToneMap(video) if video.colors.hdr else None

    def __call__(self, frame: VideoFrame) -> Image:
        """The image of one frame, in video range (16-235)."""
        if self._to_sdr is not None:
            frame = self._to_sdr(frame)
        return to_image(
            frame.reformat(
                *self._size,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709 if self._rgb else None,
                src_color_range=ColorRange.JPEG if self._full else None,
                dst_color_range=ColorRange.MPEG if self._full else None,
                threads=1,
            )
        )


def from_image(image: Image, width: int, height: int, colors: Colors) -> VideoFrame:
    """A frame for the encoder, tagged with `colors` and in their range."""
    frame = to_frame(image, width, height)
    if colors.range == FULL:
        frame = frame.reformat(
            format="yuvj420p",
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
    frame.color_range = colors.range
    frame.colorspace = colors.matrix
    frame.color_primaries = colors.primaries
    frame.color_trc = colors.transfer
    return frame


class ToneMap:
    """HDR frames (PQ or HLG, BT.2020) to SDR BT.709, by a colour cube that FFmpeg applies."""

    def __init__(self, video: VideoInfo) -> None:
        self._colors = video.colors
        self._cube = _cube_text(cube(video.colors.transfer == HLG, video.peak_nits))
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        key = (frame.width, frame.height, frame.format.name)
        if self._graph is None or key != self._key:
            self._graph, self._key = self._build(frame), key
        frame.pts = 0  # the graph takes any order of time; the decoder keeps the real one
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build(self, frame: VideoFrame) -> Graph:
        with TemporaryDirectory(prefix="streamer-tone-") as home:
            path = Path(home) / "sdr.cube"
            path.write_text(self._cube)
            return _graph(frame, self._colors, path)


def _graph(frame: VideoFrame, colors: Colors, table: Path) -> Graph:
    matrix = HDR_MATRIX.get(colors.matrix, "bt2020nc")
    span = "pc" if colors.range == FULL else "tv"
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
    chain = (
        ("buffer", f"{size}:time_base=1/1000:colorspace={matrix}:range={span}"),
        ("scale", f"in_color_matrix={matrix}"),
        ("format", "gbrp16le"),
        ("lut3d", f"file={table}:interp=tetrahedral"),
        ("scale", "out_color_matrix=bt709:out_range=tv"),
        ("format", "yuv420p"),
        ("buffersink", None),
    )
    graph = Graph()
    graph.link_nodes(*(graph.add(name, args) for name, args in chain)).configure()
    return graph


def _cube_text(table: NDArray[np.float64]) -> str:
    """The .cube format: size, then RGB lines, red running fastest."""
    size = table.shape[0]
    rows = table.transpose(2, 1, 0, 3).reshape(-1, 3)
    lines = (f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in rows)
    return f"LUT_3D_SIZE {size}\n" + "\n".join(lines) + "\n"
