"""broadcast → **fan_out** → viewer: one stream, encoded once for all viewers of a codec."""

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
from streamer.webrtc.codecs import Codec
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.sender import FeedbackTrack, VideoTrack

WAITING_MAX = 30  # packets; a viewer that falls farther behind skips to the next keyframe


class FanOut:
    """One encoder and the tracks of all its viewers."""

    def __init__(self, codec: Codec, bitrate: Bitrate, threads: Executor) -> None:
        self.codec = codec
        self._encoding = VideoTrack(bitrate, threads)
        self._encoding.negotiated(codec)
        self._tracks: set[ViewerTrack] = set()

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def frames(self) -> Intake[Frame]:
        return self._encoding.frames

    async def run(self) -> None:
        """Encode until cancelled."""
        with contextlib.suppress(MediaStreamError):
            while True:
                packet = await self._encoding.recv()
                for track in self._tracks:
                    track.put(packet)

    def join(self, track: "ViewerTrack") -> None:
        """Add a viewer, who starts with a keyframe."""
        if track not in self._tracks:
            self._tracks.add(track)
            self._encoding.want_keyframe()

    def leave(self, track: "ViewerTrack") -> None:
        self._tracks.discard(track)

    def want_keyframe(self) -> None:
        """Make a keyframe for all viewers; rate-limited."""
        self._encoding.want_keyframe()

    def follow_best_path(self) -> None:
        """Encode for the viewer with the best path; those with a worse one skip frames."""
        reported = [track.path_bps for track in self._tracks if track.path_bps]
        if reported:
            self._encoding.on_target(max(reported))

    def as_dict(self) -> dict[str, object]:
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
    """Packets for one viewer, from a keyframe on; a connection too slow skips frames."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0
        self.path_bps = 0  # 0: not known yet
        self._fan_out: FanOut | None = None
        self._synced = False  # whether the viewer has every frame since a keyframe
        self._packets: deque[av.Packet[Any]] = deque()
        self._arrived = asyncio.Event()

    def watch(self, fan_out: FanOut) -> None:
        """Take packets from `fan_out` once the connection asks for them."""
        self._fan_out = fan_out

    def put(self, packet: "av.Packet[Any]") -> None:
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

    def on_target(self, bps: int) -> None:
        self.path_bps = bps
        if self._fan_out is not None:
            self._fan_out.follow_best_path()

    async def recv(self) -> "av.Packet[Any]":
        """The next packet, for aiortc; first called when the viewer is connected."""
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
