"""ring → **encode** → checkpoint: encoders with their options, and files of encoded frames."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.codec.hwaccel import HWAccel
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.errors import MediaError, UsageError
from streamer.files.color import from_image, output_colors
from streamer.files.container import Colors, VideoInfo, reason
from streamer.frame import Image, i420_size

_AVX512F: Final = 13  # OpenCV's number of it (CV_CPU_AVX_512F), which its Python side lacks
HARDWARE: Final = ("nvenc", "qsv", "amf", "videotoolbox", "vaapi")
VERSION: Final = av.__version__  # brings its own encoders: another one may give other frames
GOP = 250  # most frames between two keyframes

# Of each software encoder: its quality where the user names none, on its own scale, and the rest.
# Presets: the fastest whose files are not much larger; the ring needs the processor more.
SOFTWARE: Final[dict[str, tuple[str, int, dict[str, str]]]] = {
    "h264": ("libx264", 20, {"preset": "veryfast"}),
    "hevc": ("libx265", 23, {"preset": "veryfast", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", 32, {"preset": "8"}),
    "vp9": ("libvpx-vp9", 31, {"deadline": "good", "cpu-used": "5", "row-mt": "1", "b": "0"}),
}
# How far dts lies behind pts, in frames: as deep as encoders reorder (see mux). x264 and x265 use
# a pyramid of two levels, hardware at most one level more; AV1 and VP9 hide what they reorder.
REORDER: Final = {"h264": 2, "hevc": 2, "av1": 0, "vp9": 0}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the frames of one video are encoded."""

    codec: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    colors: Colors
    aspect: Fraction | None

    @property
    def reorder(self) -> int:
        """Frames by which dts lies behind pts."""
        depth = REORDER[self.codec]
        return depth if depth == 0 or self.encoder.startswith("lib") else depth + 1


def choose(
    video: VideoInfo,
    codec: str,
    encoder: str,
    crf: int | None,
    preferred: Iterable[str] = (),
) -> Encoding:
    """The encoding for a video; `encoder` is auto, software or one of HARDWARE.

    auto takes the first hardware encoder that really encodes here, of `preferred` if there are
    any, else software. Raises UsageError for what cannot be, MediaError for an encoder that does
    not work here.
    """
    if encoder == "software":
        return _working(video, codec, "software", crf)
    if encoder != "auto":
        return _working(video, codec, encoder, crf)
    for kind in tuple(preferred) or HARDWARE:
        try:
            return _working(video, codec, kind, crf)
        except (MediaError, UsageError):
            continue
    return _working(video, codec, "software", crf)


def _working(video: VideoInfo, codec: str, kind: str, crf: int | None) -> Encoding:
    name, options = _software(codec, crf) if kind == "software" else _hardware(codec, kind, crf)
    if name == "libx264":
        options |= _repeatable(video.width)
    even = codec in ("h264", "hevc") or kind != "software"  # 4:2:0 there has no half samples
    encoding = Encoding(
        codec,
        name,
        tuple(sorted(options.items())),
        video.width + video.width % 2 if even else video.width,
        video.height + video.height % 2 if even else video.height,
        video.time_base,
        video.rate,
        output_colors(video),
        video.aspect,
    )
    _try(encoding, kind)
    return encoding


def _software(codec: str, crf: int | None) -> tuple[str, dict[str, str]]:
    name, usual, options = SOFTWARE[codec]
    return name, {**options, "crf": str(usual if crf is None else crf)}


def _repeatable(width: int) -> dict[str, str]:
    """What makes x264 encode equal frames equally, which --resume and the tests rely on.

    Its AVX-512 code for macroblock trees reads memory that nobody wrote where a row is no
    multiple of 8 macroblocks (PyAV 18.1; 192x96 came out in 11 forms of 14 tries).
    """
    odd = -(-width // 16) % 8 != 0
    return {"x264-params": "asm=avx2"} if odd and cv2.checkHardwareSupport(_AVX512F) else {}


def _hardware(codec: str, kind: str, crf: int | None) -> tuple[str, dict[str, str]]:
    name = f"{codec}_{kind}"
    if name not in av.codecs_available:
        raise UsageError(f"{kind} has no {codec} encoder on this machine")
    quality = str(SOFTWARE[codec][1] if crf is None else crf)
    return name, {
        "nvenc": {"preset": "p4", "rc": "vbr", "cq": quality, "b": "0"},
        "qsv": {"preset": "medium", "global_quality": quality},
        "amf": {"rc": "cqp", "qp_i": quality, "qp_p": quality},
        "videotoolbox": {"flags": "+qscale", "global_quality": str(118 * (100 - int(quality)))},
        "vaapi": {"rc_mode": "CQP", "qp": quality},
    }[kind]


def _try(encoding: Encoding, kind: str) -> None:
    """Encode one grey frame: drivers, sizes and options are checked by the encoder itself."""
    try:
        grey_frame(encoding)
    except MediaError as error:
        shape = f"{encoding.width}x{encoding.height}"
        raise MediaError(
            f"the {encoding.codec} encoder of {kind} does not work here for {shape}: {error}"
        ) from error


def grey_frame(encoding: Encoding) -> io.BytesIO:
    """A segment of one grey frame. Raises MediaError."""
    size = i420_size(encoding.width, encoding.height)
    file = io.BytesIO()
    with SegmentWriter(file, encoding) as writer:
        writer.write(Image(encoding.width, encoding.height, np.full(size, 128, np.uint8)), 0, 1)
    return io.BytesIO(file.getvalue())


def open_encoder(container: OutputContainer, encoding: Encoding) -> VideoStream:
    """A new stream of `container` with its encoder."""
    os.environ.setdefault("SVT_LOG", "1")  # else SVT-AV1 reports its settings on stderr
    on_device = encoding.encoder.endswith("_vaapi")  # all others take frames in memory
    stream = container.add_stream(
        encoding.encoder,
        encoding.rate,
        dict(encoding.options),
        hwaccel=HWAccel("vaapi") if on_device else None,
    )
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = encoding.width, encoding.height
    stream.pix_fmt = "nv12" if on_device else "yuv420p"
    stream.time_base = stream.codec_context.time_base = encoding.time_base
    stream.codec_context.gop_size = GOP
    # PyAV asks for slices, which x264 takes as a loss of quality for speed nobody needs.
    stream.codec_context.thread_type = "FRAME"
    tag(stream, encoding)
    return stream


def tag(stream: VideoStream, encoding: Encoding) -> None:
    """Write colours and sample aspect ratio to a stream."""
    context, colors = stream.codec_context, encoding.colors
    context.color_range, context.colorspace = colors.range, colors.matrix
    context.color_primaries, context.color_trc = colors.primaries, colors.transfer
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect


class SegmentWriter:
    """A file of encoded frames that starts with a keyframe: `with SegmentWriter(...) as w`.

    NUT keeps any time base exactly. A new encoder for each file makes its frames depend on
    nothing before it, so an interrupted video continues as if it had not been.
    """

    def __init__(self, target: Path | io.BytesIO, encoding: Encoding) -> None:
        self._encoding = encoding
        self._where = str(target.parent.parent) if isinstance(target, Path) else encoding.encoder
        with self._media_errors():
            file = str(target) if isinstance(target, Path) else target
            self._container = av.open(file, "w", format="nut")
            self._stream = open_encoder(self._container, encoding)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                with self._media_errors():
                    self._container.mux(self._stream.encode(None))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without the frames that the encoder still holds."""
        with self._media_errors():
            self._container.close()

    def write(self, image: Image, pts: int, duration: int) -> None:
        """Encode one frame; pts must grow."""
        encoding = self._encoding
        frame = from_image(image, encoding.width, encoding.height, encoding.colors)
        frame.pts, frame.time_base, frame.duration = pts, encoding.time_base, duration
        with self._media_errors():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _media_errors(self) -> Iterator[None]:
        """Raises MediaError for whatever PyAV or the system raises."""
        try:
            yield
        except av.error.ExternalError as error:  # FFmpeg does not know what its library suffered
            of = self._encoding
            raise MediaError(
                f"{of.encoder} failed at {of.width}x{of.height}; it may have run out of memory"
            ) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{self._where}: {reason(error)}") from error


def open_segment(file: Path | io.BytesIO) -> InputContainer:
    """Open the file of a segment for reading."""
    return av.open(str(file) if isinstance(file, Path) else file, "r", format="nut")


def packets(file: Path | io.BytesIO) -> Iterator[Packet[VideoStream]]:
    """The encoded frames of a segment, in coding order."""
    with open_segment(file) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)
