"""container → **passthrough** → mux: every stream that is not stylized, copied or converted.

What the target can hold is tried beforehand, with a packet of each stream.
"""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
import errno
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.files.clock import Clock
from streamer.files.container import VideoInfo, is_cover, open_video, readable
from streamer.files.convert import Converter, converter
from streamer.files.tracks import Track, codec_name, copy_stream, format_of, is_bluray
from streamer.files.trim import TimeRange

AUDIO_INTO: Final = {"webm": "libopus"}  # others: aac
TEXT_INTO: Final = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
TEXTS: Final = frozenset({"ass", "ssa", "subrip", "srt", "mov_text", "webvtt", "text", "mpl2"})
NO_TEXT: Final = b"\0\0"  # MP4 fills the time between subtitles with these; its muxer adds them
FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# What MPEG-TS has a number for; its muxer writes all else as private data, which nobody reads.
IN_MPEG_TS: Final = frozenset({
    "h264", "hevc", "vvc", "mpeg1video", "mpeg2video", "mpeg4", "cavs", "dirac", "vc1",
    "mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m",
    "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "klv", "timed_id3", "scte_35",
})  # fmt: skip
SAMPLED: Final = 400  # packets that are looked at to find one of each stream
EQUAL_TIMES: Final = 0x20000  # AVFMT_TS_NONSTRICT, of formats whose packets may share a time


def plan(video: VideoInfo, target: Path) -> tuple[Track, ...]:
    """Every stream but the stylized one, with what becomes of it. Raises MediaError, UsageError."""
    with open_video(video.path) as container:
        streams = [
            s for s in container.streams if s.index != video.index and not _is_chapter_track(s)
        ]
        samples = _samples(container, streams)
        return tuple(_plan_one(s, samples.get(s.index, []), target) for s in streams)


def _is_chapter_track(stream: Stream) -> bool:
    """QuickTime stores chapter titles in a track; they are copied as chapters instead."""
    return stream.type == "data" and stream.discard == Discard.all


def _samples(
    container: InputContainer, streams: Sequence[Stream]
) -> dict[int, list[Packet[Stream]]]:
    """The first packets of each stream, as far as they are near the beginning."""
    found: dict[int, list[Packet[Stream]]] = {}
    if streams:
        for count, packet in enumerate(readable(container, streams)):
            if packet is not None:
                found.setdefault(packet.stream_index, []).append(packet)
            if len(found) == len(streams) or count > SAMPLED:
                break
    return found


def _plan_one(stream: Stream, sample: Sequence[Packet[Stream]], target: Path) -> Track:
    target_format = format_of(target)
    kind = "cover" if isinstance(stream, VideoStream) and is_cover(stream) else str(stream.type)
    codec = codec_name(stream)
    into = _into(stream, codec, target_format)
    actions = ["copy"] if _may_copy(kind, codec, target) else []
    for action in actions + ["convert"] * bool(into):
        track = Track(stream.index, kind, codec, "copy" if action == "copy" else "convert", into)
        if _can_hold(target_format, stream, track, sample):
            return track
    # A timecode track travels as metadata, from which the muxer makes a new one.
    silent = target_format in ("mp4", "mov") and "timecode" in stream.metadata
    context = stream.codec_context  # None of a codec that FFmpeg does not know
    is_late = isinstance(context, VideoCodecContext) and not context.width
    return Track(stream.index, "timecode" if silent else kind, codec, "drop", is_late=is_late)


def _may_copy(kind: str, codec: str, target: Path) -> bool:
    """Muxers write some things that players do not read."""
    target_format = format_of(target)
    if target_format == "mpegts":
        return codec in IN_MPEG_TS or (codec == "pcm_bluray" and is_bluray(target))
    if target_format in ("mp4", "mov") and not codec:
        return False  # MOV and MP4 can copy, but not describe, data of unknown kinds
    return not (target_format == "mp4" and codec.startswith("pcm_"))


def _into(stream: Stream, codec: str, target_format: str) -> str:
    if stream.codec_context is None:
        return ""
    if stream.type == "audio":
        return AUDIO_INTO.get(target_format, "aac")
    if stream.type == "subtitle" and codec in TEXTS:
        return TEXT_INTO.get(target_format, "")
    return ""


def _can_hold(
    target_format: str, stream: Stream, track: Track, sample: Sequence[Packet[Stream]]
) -> bool:
    """Whether a file of that format takes a stream: its header, packets and trailer are tried."""
    try:
        with av.open(io.BytesIO(), "w", format=target_format) as trial:
            conversion = None
            if track.action == "copy":
                copy = copy_stream(trial, stream)
            else:
                conversion = converter(trial, stream, track.into)
            trial.start_encoding()
            for packet in map(_copy_of, sample):
                if conversion is None:
                    packet.stream = copy
                    trial.mux(packet)
                else:
                    trial.mux(list(conversion.convert(packet)))
            if conversion is not None:
                trial.mux(list(conversion.flush()))
    except (av.FFmpegError, ValueError):
        return False
    return True


def _copy_of(packet: Packet[Stream]) -> Packet[Stream]:
    copy: Packet[Stream] = Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
    return copy


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
        self._last: dict[int, tuple[int, int, int]] = {}  # dts said and written, duration
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
        clock = Clock(self._source)
        if self._trim.start_s is not None and not clock.jumps:
            with contextlib.suppress(av.FFmpegError):  # no index: read from the beginning
                self._source.seek(int((self._trim.start_s + clock.start_s) * av.time_base))
        for packet in clock.packets(wanted):
            if packet is not None and self._is_wanted(packet):
                yield from self._remap(packet)
        for conversion in self._converters.values():
            yield from conversion.flush()

    def write(self, out: OutputContainer, packet: Packet[Stream]) -> None:
        """Write a packet; one that the muxer refuses is counted as damaged."""
        index = packet.stream_index
        _refine(packet)
        said, dts = packet.dts, packet.dts
        if said is not None and index in self._last:
            said_before, last, duration = self._last[index]
            if said <= last:  # a time that is repeated says nothing; what overlaps is not lost
                least = 0 if out.format.flags & EQUAL_TIMES else _tick(packet)
                dts = last + max(least, duration if said == said_before else 0)
                packet.pts = dts + max(0, (packet.pts or said) - said)
                packet.dts = dts
        duration = packet.duration or 0
        try:
            out.mux(packet)
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) in FULL_DISK:
                raise
            self.damaged += 1
            return
        if said is not None and dts is not None:
            self._last[index] = said, dts, duration

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
            try:
                yield from self._converters[index].convert(packet)
            except (av.FFmpegError, ValueError):
                self.damaged += 1
        elif not (index in self._texts and bytes(packet) == NO_TEXT):
            packet.stream = self._copies[index]
            yield packet


def _tick(packet: Packet[Stream]) -> int:
    """The least difference of times that the new stream can tell, in the packet's ticks."""
    return max(1, math.ceil((packet.stream.time_base or 0) / packet.time_base))


def _refine(packet: Packet[Stream]) -> None:
    """Give a packet the ticks of its new stream where they are shorter."""
    base = packet.stream.time_base
    if base is None or base >= packet.time_base:
        return
    scale = packet.time_base / base
    packet.pts = None if packet.pts is None else round(packet.pts * scale)
    packet.dts = None if packet.dts is None else round(packet.dts * scale)
    packet.duration = round((packet.duration or 0) * scale)
    packet.time_base = base
