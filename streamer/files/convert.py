"""passthrough → **convert** → mux: audio and subtitles that the target cannot hold as they are."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from streamer.files.tracks import describe

MS = Fraction(1, 1000)
LAYOUTS: Final = dict(enumerate(("mono", "stereo", "2.1", "quad", "5.0", "5.1", "6.1", "7.1"), 1))
PLAIN: Final = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "7.1", 8: "7.1"}
AAC_LAYOUTS: Final = frozenset(  # of others, decoders learn the number of channels only
    ["mono", "stereo", "2.1", "3.0", "quad", "4.0", "5.0", "5.1", "7.1"]
)
PLACES: Final = frozenset(["FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"])
SYNC_S: Final = 0.02  # gaps and overlaps of audio that are longer are filled or cut


class Converter(Protocol):
    """Turns packets of one stream into packets of another."""

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What becomes of a packet. Raises av.FFmpegError."""

    def flush(self) -> Iterator[Packet[Stream]]:
        """What is left when nothing more comes."""


def converter(container: OutputContainer, stream: Stream, encoder: str) -> Converter:
    """A converter from `stream` into a new stream of `container`. Raises av.FFmpegError."""
    if isinstance(stream, AudioStream):
        return AudioConverter(container, stream, encoder)
    assert isinstance(stream, SubtitleStream)
    return TextConverter(container, stream, encoder)


class AudioConverter:
    """Decodes and encodes audio, in step: gaps are filled with silence, overlaps cut."""

    def __init__(self, container: OutputContainer, source: AudioStream, encoder: str) -> None:
        self._source = source.codec_context
        self._order = _settle_layout(self._source)
        rate, layout = _encodable(encoder, source.rate, self._source.layout.name)
        stream = container.add_stream(encoder, rate)
        assert isinstance(stream, AudioStream)
        stream.layout = layout
        stream.bit_rate = 96_000 * stream.channels
        describe(stream, source)
        self._stream: Stream = stream
        self._context: AudioCodecContext = stream.codec_context
        self._context.open(strict=False)
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()
        self._due: int | None = None  # where the next decoded frame begins
        self._said: int | None = None  # where the one before began, by its own word

    def convert(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        for frame in self._source.decode(packet):
            yield from self._encode(frame)

    def flush(self) -> Iterator[Packet[Stream]]:
        for frame in self._source.decode(None):
            yield from self._encode(frame)
        yield from self._drain()
        yield from self._of_stream(self._context.encode(None))

    def _encode(self, frame: av.AudioFrame) -> Iterator[Packet[Stream]]:
        key = (frame.format.name, frame.sample_rate, frame.layout.name, frame.time_base)
        if key != self._key:
            yield from self._drain()
            self._graph, self._key = self._build(frame), key
        assert self._graph is not None
        said = frame.pts
        if self._due is not None and (said is None or said == self._said):
            frame.pts = self._due
        self._said = said
        if frame.pts is not None and frame.time_base:
            duration = Fraction(frame.samples, frame.sample_rate) / frame.time_base
            self._due = frame.pts + round(duration)
        self._graph.push(frame)
        yield from self._pull()

    def _drain(self) -> Iterator[Packet[Stream]]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            self._graph = None

    def _pull(self) -> Iterator[Packet[Stream]]:
        assert self._graph is not None
        while True:
            try:
                piece = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(piece, av.AudioFrame)
            yield from self._of_stream(self._context.encode(piece))

    def _build(self, frame: av.AudioFrame) -> Graph:
        context, base = self._context, frame.time_base or Fraction(1, frame.sample_rate)
        source = f"sample_rate={frame.sample_rate}:sample_fmt={frame.format.name}"
        shape = f"sample_fmts={context.format.name}:sample_rates={context.rate}"
        chain = [
            ("abuffer", f"{source}:channel_layout={frame.layout.name}:time_base={base}"),
            *([("channelmap", self._order)] if self._order else []),
            ("aresample", f"{context.rate}:async=1:min_hard_comp={SYNC_S}"),
            ("aformat", f"{shape}:channel_layouts={context.layout.name}"),
        ]
        if context.frame_size:
            chain.append(("asetnsamples", f"n={context.frame_size}:p=0"))
        graph = Graph()
        nodes = [graph.add(name, args) for name, args in chain]
        graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
        return graph

    def _of_stream(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        for packet in packets:
            packet.stream = self._stream
            yield packet


def _settle_layout(source: AudioCodecContext) -> str:
    """Give a decoder a layout of FFmpeg's usual ones; returns how its channels map to their places.

    AVI and ASF name none. Of one in an order of its own (QuickTime), PyAV 18.1 frees the list of
    channels each time the layout is read: it is read once, and replaced before it is used.
    """
    said = source.layout.name
    count, _, named = said.partition(" channels")
    source.layout = LAYOUTS.get(int(count), "stereo") if count.isdecimal() else said
    names = [name for name in named.strip(" ()").split("+") if name]
    if len(names) != source.channels or len({*names} & PLACES) != len(names):
        return ""
    return "map=" + "|".join(f"{number}-{name}" for number, name in enumerate(names))


def _encodable(encoder: str, rate: int, layout: str) -> tuple[int, str]:
    """The sample rate and channel layout an encoder takes, and players know, next to these."""
    rates = sorted(av.Codec(encoder, "w").audio_rates or (rate,))
    near = next((each for each in rates if each >= rate), rates[-1])
    plain = PLAIN.get(av.AudioLayout(layout).nb_channels, "stereo")
    for wanted in (layout, plain):
        if encoder == "aac" and wanted not in AAC_LAYOUTS:
            continue
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, AudioCodecContext)
        with contextlib.suppress(av.FFmpegError, ValueError):
            context.sample_rate, context.layout = near, wanted
            context.format = (av.Codec(encoder, "w").audio_formats or [context.format])[0]
            context.open()
            return near, wanted
    return near, "stereo"


class TextConverter:
    """Text subtitles, by way of the ASS lines FFmpeg decodes all of them to."""

    def __init__(self, container: OutputContainer, source: SubtitleStream, encoder: str) -> None:
        stream = container.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        source.codec_context.open(strict=False)
        stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        stream.codec_context.time_base = stream.time_base = MS
        describe(stream, source)
        self._stream: Stream = stream
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
        out.stream, out.time_base = self._stream, packet.time_base
        out.pts = out.dts = packet.pts
        out.duration = packet.duration
        yield out

    def flush(self) -> Iterator[Packet[Stream]]:
        return iter(())


def _text(lines: list[bytes]) -> list[bytes]:
    """One ASS line with the texts of all."""
    fields = 8  # ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect before the text
    return [lines[0], *(line.split(b",", fields)[-1] for line in lines[1:])]
