"""file → **container** → decode: opens video files, hostile ones too, and finds what is in them."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.errors import MediaError
from streamer.files.animation import video_of

# Formats that hold their own media. Playlists (HLS, concat, DASH) are not among them: a file
# from a stranger must not make us open other files or addresses.
DEMUXERS: Final = (
    "aac,ac3,aiff,apng,asf,av1,avi,cavsvideo,dirac,dv,flac,flic,flv,gif,gxf,h261,h263,h264,hevc,"
    "ivf,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,nuv,obu,ogg,pva,rm,smjpeg,swf,"
    "vc1,vvc,w64,wav,webm,wtv,yuv4mpegpipe"
)
MAX_PIXELS: Final = 1 << 27  # 16384x8192; more is a damaged or hostile header
MAX_FAILURES: Final = 100  # in a row: beyond that, nothing more will come
GENPTS: Final = 1  # AVFMT_FLAG_GENPTS
MOST_FPS: Final = 1000  # a higher rate is a time base that was taken for one, as of raw DV
LEAST_BPS: Final = 4000  # a file with fewer bits per second has a clock that jumps
PQ, HLG = 16, 18  # transfer characteristics of HDR video (ITU-T H.273)
UNTAGGED, LIMITED, FULL = 0, 1, 2  # color_range
BT709 = 1  # matrix, primaries and transfer alike
UNKNOWN = 2  # colour tags that say nothing


@dataclass(frozen=True, slots=True)
class Colors:
    """How sample values stand for colours: the code points of ITU-T H.273, range as FFmpeg's."""

    range: int
    matrix: int
    primaries: int
    transfer: int

    @property
    def hdr(self) -> bool:
        """Whether it takes an HDR screen to show these colours (PQ or HLG)."""
        return self.transfer in (PQ, HLG)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video before all of it is decoded."""

    path: Path
    index: int  # of the stream that is stylized
    width: int
    height: int
    pix_fmt: str
    bits: int
    is_rgb: bool
    has_alpha: bool
    time_base: Fraction
    rate: Fraction
    frames: int  # 0: unknown
    duration_s: float  # 0: unknown
    colors: Colors
    peak_nits: float | None  # of an HDR master, where it says so
    aspect: Fraction | None  # of one sample
    stream_aspect: Fraction | None  # the same, as the codec and not the container has it
    rotation: int  # in degrees, anticlockwise
    display_matrix: tuple[int, ...] | None  # nine fixed-point numbers
    ticks: int = 1  # of `time_base` in one of the file; 2: each field becomes a frame

    @property
    def mirrored(self) -> bool:
        return is_mirrored(self.display_matrix)

    def by_fields(self) -> VideoInfo:
        """The video with a frame for each field; its ticks are halved, so that both have a time."""
        return replace(
            self,
            time_base=self.time_base / 2,
            rate=self.rate * 2,
            frames=self.frames * 2,
            ticks=2,
        )


def open_video(path: Path, device: str | None = None, *, fall_back: bool = True) -> InputContainer:
    """Open for reading; a `device` of FFmpeg decodes what it can. Raises MediaError.

    What it cannot is decoded in software, or, without `fall_back`, not at all.
    """
    try:
        if path.stat().st_size == 0:
            raise MediaError(f"{path}: the file is empty")
        container = av.open(
            video_of(path) or str(path.resolve()),  # absolute: "http:x.mp4" stays a file
            mode="r",
            container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
            hwaccel=HWAccel(device, allow_software_fallback=fall_back) if device else None,
        )
        return without_guesses(container)
    except av.ArgumentError as error:  # the whitelist's
        raise MediaError(f"{path}: videos of this format are not read") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        why = "its index (moov) is missing: the recording was cut off, or not copied whole"
        raise MediaError(f"{path}: {why if _is_cut_off(path) else reason(error)}") from error


def without_guesses(container: InputContainer) -> InputContainer:
    """Without FFmpeg's invented pts, which PyAV asks for: H.264 in AVI is a frame late by them."""
    container.flags &= ~GENPTS
    return container


def _is_cut_off(path: Path) -> bool:
    """Whether this is an MP4 or MOV without the box that is written when a recording ends."""
    kinds: list[bytes] = []
    with contextlib.suppress(OSError, OverflowError), path.open("rb") as file:
        while len(kinds) < 1000 and len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4]), head[4:]
            if size == 1:
                size = int.from_bytes(file.read(8)) - 8
            kinds.append(kind)
            if size < 8:
                break
            file.seek(size - 8, os.SEEK_CUR)
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


def reason(error: BaseException) -> str:
    """The text of an error of FFmpeg or the system, without numbers and file names."""
    if isinstance(error, av.InvalidDataError):
        return "not a video file, or too badly damaged"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)


def is_cover(stream: VideoStream) -> bool:
    """Whether it is cover art or a thumbnail."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The stream to stylize: the default one, else the largest. Raises MediaError."""
    videos = [s for s in container.streams.video if not is_cover(s)]
    streams = [s for s in videos if s.codec_context]
    if videos and not streams:
        raise MediaError(f"{path}: FFmpeg has no decoder for its video")
    if not streams:
        only = ", only sound" if container.streams.audio else ""
        raise MediaError(f"{path}: there is no video stream{only}")
    marked = [s for s in streams if s.disposition & Disposition.default]
    stream = max(marked or streams, key=lambda s: s.width * s.height)
    if stream.width * stream.height > MAX_PIXELS:
        raise MediaError(f"{path}: {stream.width}x{stream.height} is larger than any real video")
    return stream


def readable(
    container: InputContainer, streams: Sequence[Stream]
) -> Iterator[Packet[Stream] | None]:
    """Every packet; None for each place that cannot be read."""
    failures = 0
    packets = container.demux(streams)
    while failures < MAX_FAILURES:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except IndexError:  # a stream that appears in mid-video ends PyAV's generator
            packets = container.demux(streams)
        except (av.FFmpegError, ValueError):
            failures += 1
            packets = container.demux(streams)  # an error ends the generator, not the file
            yield None
        else:
            failures = 0
            if packet.size:
                yield packet


def decoded_frames(
    packets: Iterable[Packet[Any] | None], stream: VideoStream
) -> Iterator[VideoFrame | None]:
    """Every decoded frame; None for each part that cannot be read or decoded."""
    for packet in packets:
        if packet is None:
            yield None
        else:
            yield from _decoded(stream, packet)
    yield from _decoded(stream, None)


def _decoded(stream: VideoStream, packet: Packet[Stream] | None) -> Iterator[VideoFrame | None]:
    try:
        frames = stream.codec_context.decode(packet)
    except (av.FFmpegError, ValueError):
        yield None
        return
    for frame in frames:
        yield None if frame.is_corrupt else frame


def probe(path: Path) -> VideoInfo:
    """Read a video up to its first frame. Raises MediaError."""
    with open_video(path) as container:
        stream = main_video(container, path)
        frames = decoded_frames(readable(container, [stream]), stream)
        first = next((frame for frame in frames if frame is not None), None)
        if first is None:
            raise MediaError(f"{path}: no frame of its video stream can be decoded")
        return _video(path, container, stream, first)


def _video(
    path: Path, container: InputContainer, stream: VideoStream, first: VideoFrame
) -> VideoInfo:
    rates = (stream.average_rate, stream.guessed_rate)
    rate = next((rate for rate in rates if rate and rate <= MOST_FPS), Fraction(25))
    duration_s = _duration_s(container, stream)
    return VideoInfo(
        path=path,
        index=stream.index,
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        bits=max(component.bits for component in first.format.components),
        is_rgb=first.format.is_rgb or first.format.has_palette,
        has_alpha=any(component.is_alpha for component in first.format.components),
        time_base=stream.time_base or Fraction(1, 90000),
        rate=rate,
        frames=stream.frames or round(duration_s * rate),
        duration_s=duration_s,
        colors=colors_of(first),
        peak_nits=_peak_nits(first),
        aspect=stream.sample_aspect_ratio or None,
        stream_aspect=stream.codec_context.sample_aspect_ratio,
        rotation=first.rotation,
        display_matrix=display_matrix(first),
    )


def _duration_s(container: InputContainer, stream: VideoStream) -> float:
    duration_s = (container.duration or 0) / av.time_base
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.format.name.startswith("matroska"):  # says when it ends
        duration_s = max(0.0, duration_s - max(0, container.start_time or 0) / av.time_base)
    return duration_s if container.size * 8 >= LEAST_BPS * duration_s else 0.0


def colors_of(frame: VideoFrame) -> Colors:
    """The tags of a decoded frame."""
    # FFmpeg keeps the format when a video goes from full range to video range.
    by_format = FULL if frame.format.name.startswith("yuvj") else UNTAGGED
    color_range = frame.color_range or by_format
    return Colors(color_range, frame.colorspace, frame.color_primaries, frame.color_trc)


def _side_data(frame: VideoFrame, kind: SideData) -> bytes | None:
    found = frame.side_data.get(kind)  # type: ignore[call-overload]  # the stub knows one kind
    return bytes(found) if found is not None else None


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Nine fixed-point numbers, where a container gives a frame some."""
    matrix = _side_data(frame, SideData.DISPLAYMATRIX)
    return struct.unpack("=9i", matrix) if matrix else None


def is_mirrored(matrix: tuple[int, ...] | None) -> bool:
    """Whether a display matrix turns a picture over: upside down, and then by the rotation."""
    return matrix is not None and matrix[0] * matrix[4] < matrix[1] * matrix[3]


def _peak_nits(frame: VideoFrame) -> float | None:
    """max_luminance of an AVMasteringDisplayMetadata: its tenth rational, when it has one."""
    data = _side_data(frame, SideData.MASTERING_DISPLAY_METADATA)
    if data is None or len(data) < 88:
        return None
    numerator, denominator, _, has_luminance = struct.unpack_from("=4i", data, 72)
    return numerator / denominator if has_luminance and denominator else None
