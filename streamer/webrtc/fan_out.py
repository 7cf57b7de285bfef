"""broadcast → **fan-out** → viewers: one stream encoded once for everyone who takes its codec."""

import asyncio
import contextlib
from collections import deque
from concurrent.futures import Executor
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError

from streamer.frame import Frame
from streamer.pipeline.intake import Intake
from streamer.pipeline.stats import Recent
from streamer.webrtc.codecs import Bitrate, Codec
from streamer.webrtc.sender import FeedbackTrack, VideoTrack

WAITING_MAX = 30  # pictures; a viewer that is farther behind goes on at the next keyframe


class FanOut:
    """One encoder, and the tracks of all who watch what it makes."""

    def __init__(self, codec: Codec, bitrate: Bitrate, threads: Executor) -> None:
        self.codec = codec
        self._encoding = VideoTrack(bitrate, threads)
        self._encoding.negotiated(codec)
        self._tracks: set[ViewerTrack] = set()

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def frames(self) -> Intake[Frame]:
        """Where the frames to be encoded go."""
        return self._encoding.frames

    async def run(self) -> None:
        """Encode until cancelled."""
        with contextlib.suppress(MediaStreamError):
            while True:
                packet = await self._encoding.recv()
                for track in self._tracks:
                    track.put(packet)

    def join(self, track: "ViewerTrack") -> None:
        """One more viewer, who begins with a keyframe."""
        if track not in self._tracks:
            self._tracks.add(track)
            self._encoding.want_keyframe()

    def leave(self, track: "ViewerTrack") -> None:
        """One viewer less."""
        self._tracks.discard(track)

    def want_keyframe(self) -> None:
        """Somebody cannot go on without one; it is shared, and there are only so many."""
        self._encoding.want_keyframe()

    def follow_best_path(self) -> None:
        """Encode for the viewer with the best path; those with a worse one skip frames."""
        told = [track.path_bps for track in self._tracks if track.path_bps]
        if told:
            self._encoding.on_remb(max(told))

    def as_dict(self) -> dict[str, object]:
        """What `/stats` shows."""
        encode_s = Recent()
        for seconds in self._encoding.encode_s:
            encode_s.add(seconds)
        return {
            "viewers": len(self._tracks),
            "frames": self._encoding.sent,
            "keyframes": self._encoding.keyframes,
            "bytes": self._encoding.sent_bytes,
            "bitrate_bps": self._encoding.target_bps,
            "dropped": self._encoding.frames.dropped,
            "skipped": sum(track.skipped for track in self._tracks),
            "encode_ms": encode_s.as_ms(),
        }


class ViewerTrack(FeedbackTrack):
    """Packets for one viewer, from a keyframe on; too slow a connection costs pictures."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0
        self.path_bps = 0  # what the viewer says its path can take; 0: it has not said
        self._fan_out: FanOut | None = None
        self._synced = False  # whether the viewer has every picture since a keyframe
        self._packets: deque[av.Packet[Any]] = deque()
        self._arrived = asyncio.Event()

    def watch(self, fan_out: FanOut) -> None:
        """Get packets from there, once the connection asks for them."""
        self._fan_out = fan_out

    def put(self, packet: "av.Packet[Any]") -> None:
        """One more packet; never waits."""
        if len(self._packets) >= WAITING_MAX:
            self.skipped += len(self._packets)
            self._packets.clear()
            self._synced = False
        self._synced = self._synced or packet.is_keyframe
        if self._synced:
            self._packets.append(packet)
            self._arrived.set()
        else:
            self.skipped += 1
            self.want_keyframe()

    def want_keyframe(self) -> None:
        if self._fan_out is not None:
            self._fan_out.want_keyframe()

    def on_remb(self, bps: int) -> None:
        self.path_bps = bps
        if self._fan_out is not None:
            self._fan_out.follow_best_path()

    async def recv(self) -> "av.Packet[Any]":
        """Called by aiortc, one at a time, from when the viewer is connected."""
        if self._fan_out is not None and self.readyState == "live":
            self._fan_out.join(self)
        while self.readyState == "live":
            if self._packets:
                return self._packets.popleft()
            self._arrived.clear()
            await self._arrived.wait()
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        if self._fan_out is not None:
            self._fan_out.leave(self)
        self._arrived.set()
