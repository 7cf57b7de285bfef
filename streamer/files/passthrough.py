"""container → **passthrough** → mux: every stream that is not stylized, copied or converted."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
import errno
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from streamer.files.container import readable
from streamer.files.tracks import Track, copy_stream, describe
from streamer.files.trim import TimeRange

MS = Fraction(1, 1000)
NO_TEXT: Final = b"\0\0"  # MP4 fills the time between subtitles with these; its muxer adds them
FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Copier:
    """The streams that are not stylized, copied or converted packet by packet."""

    def __init__(
        self,
        source: InputContainer,
        out: OutputContainer,
        tracks: tuple[Track, ...],
        trim: TimeRange,
    ) -> None:
        self.damaged = 0
        self._source = source
        self._trim = trim
        self._copies: dict[int, Stream] = {}
        self._converters: dict[int, Converter] = {}
        self._last: dict[int, int] = {}
        self._covers = {track.index for track in tracks if track.kind == "cover"}
        self._texts = {track.index for track in tracks if track.codec == "mov_text"}
        self._headless = {track.index for track in tracks if track.kind == "video"}
        for track in tracks:
            stream = source.streams[track.index]
            if track.action == "copy":
                self._copies[track.index] = copy_stream(out, stream)
            elif track.action == "convert":
                self._converters[track.index] = converter(out, stream, track.into)

    def packets(self) -> Iterator[Packet[Stream]]:
        """Packets for the new file, with their new times."""
        wanted = [self._source.streams[i] for i in (*self._copies, *self._converters)]
        if not wanted:
            return
        if self._trim.start_s is not None:
            with contextlib.suppress(av.FFmpegError):  # no index: read from the beginning
                self._source.seek(int(self._trim.start_s * av.time_base))
        for packet in readable(self._source, wanted):
            if packet is not None and self._is_wanted(packet):
                yield from self._remap(packet)
        for converting in self._converters.values():
            yield from converting.flush()

    def write(self, out: OutputContainer, packet: Packet[Stream]) -> None:
        """Write a packet; one that the muxer refuses is counted as damaged."""
        index = packet.stream_index
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is not None and dts <= self._last.get(index, dts - 1):
            self.damaged += 1
            return
        try:
            out.mux(packet)
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) in FULL_DISK:
                raise
            self.damaged += 1
            return
        if dts is not None:
            self._last[index] = dts

    def _is_wanted(self, packet: Packet[Stream]) -> bool:
        index = packet.stream_index
        if packet.pts is None or index in self._covers:
            return True
        if self._trim.is_before(packet.pts, packet.time_base):
            return False
        if index in self._headless and not packet.is_keyframe:
            return False  # nothing can be seen of a video before its first keyframe
        self._headless.discard(index)
        return not self._trim.is_after(packet.pts, packet.time_base)

    def _remap(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        index = packet.stream_index
        shift = 0 if index in self._covers else self._trim.shift(packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        if index in self._converters:
            with contextlib.suppress(av.FFmpegError, ValueError):
                yield from self._converters[index].convert(packet)
        elif not (index in self._texts and bytes(packet) == NO_TEXT):
            packet.stream = self._copies[index]
            yield packet


class Converter(Protocol):
    """Turns packets of one stream into packets of another."""

    stream: Stream

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What becomes of a packet. Raises av.FFmpegError."""

    def flush(self) -> Iterator[Packet[Stream]]:
        """What is left when nothing more comes."""


def converter(container: OutputContainer, stream: Stream, encoder: str) -> Converter:
    """A converter from `stream` into a new stream of `container`."""
    if isinstance(stream, AudioStream):
        return AudioConverter(container, stream, encoder)
    assert isinstance(stream, SubtitleStream)
    return TextConverter(container, stream, encoder)


class AudioConverter:
    """Decodes and encodes sound; rate and channels stay where the encoder can do them."""

    def __init__(self, container: OutputContainer, source: AudioStream, encoder: str) -> None:
        rate = 48000 if encoder == "libopus" else source.rate
        stream = container.add_stream(encoder, rate)
        assert isinstance(stream, AudioStream)
        stream.layout = source.layout.name
        stream.bit_rate = 96_000 * max(1, source.channels)
        describe(stream, source)
        self.stream: Stream = stream
        self._source = source
        self._context: AudioCodecContext = stream.codec_context
        self._resampler: AudioResampler | None = None

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        for frame in self._source.codec_context.decode(packet):
            yield from self._encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        for frame in (*self._source.codec_context.decode(None), None):
            yield from self._encode(frame)
        yield from self._of_stream(self._context.encode(None))

    def _encode(self, frame: av.AudioFrame | None) -> Iterator[Packet[Stream]]:
        if self._resampler is None:
            self._context.open(strict=False)
            self._resampler = AudioResampler(
                self._context.format, self._context.layout, self._context.rate,
                self._context.frame_size or None,
            )  # fmt: skip
        for piece in self._resampler.resample(frame):
            yield from self._of_stream(self._context.encode(piece))

    def _of_stream(self, packets: list[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        for packet in packets:
            packet.stream = self.stream
            yield packet


class TextConverter:
    """Text subtitles, by way of the ASS lines FFmpeg decodes all of them to."""

    def __init__(self, container: OutputContainer, source: SubtitleStream, encoder: str) -> None:
        stream = container.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        source.codec_context.open(strict=False)
        stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        stream.codec_context.time_base = stream.time_base = MS
        describe(stream, source)
        self.stream: Stream = stream
        self._source = source.codec_context
        self._encoder = stream.codec_context

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        if packet.pts is None:
            return
        subtitle = self._source.decode2(packet)
        lines = [rect.ass for rect in subtitle.rects if hasattr(rect, "ass")] if subtitle else []
        if not lines:
            return
        shown_ms = round((packet.duration or 0) * packet.time_base / MS)
        line = b"\\N".join(_text(lines))
        text = av.subtitles.subtitle.SubtitleSet.create(line, 0, shown_ms)
        out = self._encoder.encode_subtitle(text)
        out.stream, out.time_base = self.stream, packet.time_base
        out.pts = out.dts = packet.pts
        out.duration = packet.duration
        yield out

    def flush(self) -> Iterator[Packet[Stream]]:
        return iter(())


def _text(lines: list[bytes]) -> list[bytes]:
    """One ASS line with the texts of all."""
    fields = 8  # ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect before the text
    return [lines[0], *(line.split(b",", fields)[-1] for line in lines[1:])]
