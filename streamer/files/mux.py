"""checkpoint, passthrough → **mux** → file: encoded frames and all other streams, in one file."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import heapq
import io
import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from streamer.errors import MediaError, UsageError
from streamer.files.checkpoint import Segment
from streamer.files.clock import Clock
from streamer.files.container import VideoInfo, open_video, reason
from streamer.files.encode import Encoding, grey_frame, open_segment, packets, tag
from streamer.files.passthrough import SAMPLED, Copier
from streamer.files.tracks import Track, carried_metadata, format_of, is_bluray
from streamer.files.trim import TimeRange

if TYPE_CHECKING:
    from av.container.core import Chapter  # in the stub only

# Metadata that MP4 has a place for; any other needs a table that fewer players read.
MP4_KEYS: Final = frozenset(
    {"title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "track"}
    | {"copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "disc"}
    | {"network", "keywords", "compilation", "creation_time", "timecode"}
)


@dataclass(frozen=True, slots=True)
class MuxPlan:
    """How to write one video file from its encoded frames."""

    video: VideoInfo
    trim: TimeRange
    encoding: Encoding
    tracks: tuple[Track, ...]

    def write(self, segments: list[Segment], target: Path, stop: threading.Event) -> int:
        """Write `target`; returns how many damaged packets of other streams were left out.

        Ends early, with half a file, when `stop` is set. Raises MediaError.
        """
        try:
            with open_video(self.video.path) as source, _output(target, source) as out:
                return self._write(segments, source, out, stop)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"cannot write the result: {reason(error)}") from error

    def rehearse(self, target_format: str) -> None:
        """Try header, first packets and trailer of the whole file in memory. Raises UsageError."""
        try:
            with (
                open_video(self.video.path) as source,
                av.open(io.BytesIO(), "w", format=target_format) as out,
            ):
                video, copier = self._begin(out, source, grey_frame(self.encoding))
                frames = packets(grey_frame(self.encoding))
                for packet in (*_of(video, frames), *itertools.islice(copier.packets(), SAMPLED)):
                    copier.write(out, packet)
        except (av.FFmpegError, ValueError) as error:
            raise UsageError(
                f"{self.video.path}: {target_format} cannot hold these streams together "
                f"({reason(error)}); write .mkv instead"
            ) from error

    def _write(
        self,
        segments: list[Segment],
        source: InputContainer,
        out: OutputContainer,
        stop: threading.Event,
    ) -> int:
        video, copier = self._begin(out, source, segments[0].path)
        frames = with_dts(_timed(segments, self.encoding), self.encoding)
        both = heapq.merge(_of(video, frames), copier.packets(), key=_seconds)
        for packet in both:
            if stop.is_set():
                break
            copier.write(out, packet)
        return copier.damaged

    def _begin(
        self, out: OutputContainer, source: InputContainer, segment: Path | io.BytesIO
    ) -> tuple[VideoStream, Copier]:
        """All that comes before the packets."""
        video = self._add_video(out, segment, source)
        copier = Copier(source, out, self.tracks, self.trim)
        out.set_chapters(self._chapters(source))
        out.metadata.update(carried_metadata(source.metadata))
        out.start_encoding()  # from here on, streams have the ticks that their format gives them
        return video, copier

    def _add_video(
        self, out: OutputContainer, file: Path | io.BytesIO, source: InputContainer
    ) -> VideoStream:
        old = source.streams[self.video.index]
        with open_segment(file) as segment:
            stream = out.add_stream_from_template(segment.streams.video[0], opaque=True)
        stream.time_base = self.encoding.time_base
        stream.codec_context.framerate = self.encoding.rate
        if self.encoding.codec == "hevc" and out.format.name in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # Apple's players know no other
        tag(stream, self.encoding)
        stream.metadata.update(carried_metadata(old.metadata))
        stream.disposition = old.disposition
        stream.set_display_matrix(self.video.display_matrix)
        return stream

    def _chapters(self, source: InputContainer) -> list[Chapter]:
        kept = []
        start_s = Clock(source).start_s
        for chapter in source.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            shift = round((start_s + (self.trim.start_s or 0)) / base)
            start, end = max(0, chapter["start"] - shift), chapter["end"] - shift
            if self.trim.end_s is not None:
                end = min(end, round((start_s + self.trim.end_s) / base) - shift)
            if start < end:
                kept.append({**chapter, "start": start, "end": end})
        return kept  # type: ignore[return-value]  # a Chapter with other times is a Chapter


def _output(target: Path, source: InputContainer) -> OutputContainer:
    kind = format_of(target)
    options = {}
    if kind in ("mp4", "mov"):
        rare = {key for key in carried_metadata(source.metadata) if key not in MP4_KEYS}
        options["movflags"] = "+faststart" + ("+use_metadata_tags" if rare else "")
        options["movie_timescale"] = "90000"  # usual: 1000, which would round a late start
    if is_bluray(target):
        options["mpegts_m2ts_mode"] = "1"
    return av.open(
        str(target.resolve()),
        "w",
        format=kind,
        container_options=options,
        metadata_errors="replace",
    )


def _timed(segments: list[Segment], encoding: Encoding) -> Iterator[Packet[VideoStream]]:
    """Packets in coding order, each as long as its frame is shown."""
    starts = [segment.pts[0] for segment in segments[1:]]
    for segment, start in itertools.zip_longest(segments, starts):
        end = (
            segment.pts[-1] + (segment.last_duration or usual_duration(encoding))
            if start is None
            else start
        )
        shown = zip(segment.pts, (*segment.pts[1:], end), strict=True)
        durations = {pts: after - pts for pts, after in shown}
        for packet, pts in _with_pts(segment):
            packet.pts, packet.duration = pts, durations[pts]
            packet.time_base = encoding.time_base
            yield packet


def _with_pts(segment: Segment) -> Iterator[tuple[Packet[VideoStream], int]]:
    """Packets with their own pts; in the segment, they may all have been moved past 0."""
    found = list(packets(segment.path))
    moved = sorted(packet.pts or 0 for packet in found)
    if len(moved) != len(segment.pts):
        raise MediaError(f"{segment.path}: damaged; --overwrite starts again")
    own = dict(zip(moved, segment.pts, strict=True))
    return ((packet, own[packet.pts or 0]) for packet in found)


def with_dts(
    video: Iterable[Packet[VideoStream]], encoding: Encoding
) -> Iterator[Packet[VideoStream]]:
    """Give packets in coding order a dts: the pts of the frame shown `reorder` frames earlier.

    The encoders' own dts are right within a segment but need not grow from one to the next.
    """
    waiting: list[int] = []
    first = step = 0
    for count, packet in enumerate(video):
        assert packet.pts is not None
        if count == 0:
            first, step = packet.pts, min(packet.duration or 1, usual_duration(encoding))
        heapq.heappush(waiting, packet.pts)
        late = count >= encoding.reorder
        packet.dts = heapq.heappop(waiting) if late else first - (encoding.reorder - count) * step
        yield packet


def usual_duration(encoding: Encoding) -> int:
    """How long a frame is shown, in ticks, when frames come at the video's average rate."""
    return max(1, round(1 / (encoding.rate * encoding.time_base)))


def _of(stream: Stream, video: Iterable[Packet[VideoStream]]) -> Iterator[Packet[Stream]]:
    for packet in video:
        packet.stream = stream  # type: ignore[assignment]
        yield packet  # type: ignore[misc]


def _seconds(packet: Packet[Stream]) -> float:
    return float((packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base)
