"""tracks → **convert** → mux.

Sound and subtitles for formats that cannot hold them as they are.
"""

from __future__ import annotations  # Packet takes type arguments in its stub only

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from streamer.files.tracks import describe

MS = Fraction(1, 1000)


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
        """See Converter."""
        for frame in self._source.codec_context.decode(packet):
            yield from self._encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        """See Converter."""
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
        """See Converter."""
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
        """See Converter."""
        return iter(())


def _text(lines: list[bytes]) -> list[bytes]:
    """One ASS line with the texts of all."""
    fields = 8  # ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect before the text
    return [lines[0], *(line.split(b",", fields)[-1] for line in lines[1:])]
