"""container → **copier** → mux.

The streams that are not stylized, packet by packet.
"""

from __future__ import annotations  # Packet takes type arguments in its stub only

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamer.files.container import readable
from streamer.files.passthrough import Converter, converter
from streamer.files.tracks import Track, copy_stream
from streamer.files.trim import Cut

NO_TEXT: Final = b"\0\0"  # MP4 fills the time between subtitles with these; its muxer adds them
FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Copier:
    """The streams that are not stylized, copied or converted packet by packet."""

    def __init__(
        self, source: InputContainer, out: OutputContainer, tracks: tuple[Track, ...], cut: Cut
    ) -> None:
        self.damaged = 0
        self._source = source
        self._cut = cut
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
        """Packets for the new film, moved to their new time."""
        wanted = [self._source.streams[i] for i in (*self._copies, *self._converters)]
        if not wanted:
            return
        if self._cut.start_s is not None:
            with contextlib.suppress(av.FFmpegError):  # no index: read from the beginning
                self._source.seek(int(self._cut.start_s * av.time_base))
        for packet in readable(self._source, wanted):
            if packet is not None and self._is_wanted(packet):
                yield from self._become(packet)
        for converting in self._converters.values():
            yield from converting.flush()

    def keep(self, out: OutputContainer, packet: Packet[Stream]) -> None:
        """Write a packet; one that no file can hold is counted instead."""
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
        if self._cut.is_before(packet.pts, packet.time_base):
            return False
        if index in self._headless and not packet.is_keyframe:
            return False  # nothing can be seen of a video before its first keyframe
        self._headless.discard(index)
        return not self._cut.is_after(packet.pts, packet.time_base)

    def _become(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        index = packet.stream_index
        shift = 0 if index in self._covers else self._cut.shift(packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        if index in self._converters:
            with contextlib.suppress(av.FFmpegError, ValueError):
                yield from self._converters[index].convert(packet)
        elif not (index in self._texts and bytes(packet) == NO_TEXT):
            packet.stream = self._copies[index]
            yield packet
