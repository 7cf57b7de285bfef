"""broadcast → **fan_out** → viewer: one stream, encoded for all viewers of a codec.

There are two rungs: the full picture, at the rate that the best of its viewers can take, and a
small one for those who cannot follow. Each is encoded once, and only while somebody watches it; a
viewer's own path says which one it gets. So one with a bad path costs the others nothing, not even
a keyframe.
"""

import asyncio
import contextlib
import time
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
# Of a rung with several viewers: more for the best path would send more of the others to the small
# rung. And of all of them together, which a third of a core sends; but each gets the last.
SHARED_BPS, TOGETHER_BPS, EACH_BPS = 8_000_000, 64_000_000, 2_500_000
SMALL_PX = 360  # lines of the lower rung
SMALL_START_BPS, SMALL_MAX_BPS = 400_000, 500_000
SHARE_MIN = 0.75  # of the full rung's rate: a path that takes less for `DOWN_S` gets the small one
DOWN_S = 0.4
SHARE_UP = 1.4  # times the small rung's rate: a path that takes more for so long tries the full one
UP_S, UP_MAX_S = 5.0, 80.0  # twice as long each time that it did not last
LASTED_S = 15.0


class Rung:
    """One encoder and the tracks that get its packets."""

    def __init__(
        self, codec: Codec, bitrate: Bitrate, threads: Executor, lines_max: int | None = None
    ) -> None:
        self._bitrate = bitrate
        self._encoding = VideoTrack(bitrate, threads, lines_max)
        self._encoding.negotiated(codec)
        self._tracks: set[ViewerTrack] = set()
        self._joined = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def frames(self) -> Intake[Frame]:
        return self._encoding.frames

    @property
    def target_bps(self) -> int:
        return self._encoding.target_bps

    async def run(self) -> None:
        """Encode until cancelled, while there are viewers."""
        with contextlib.suppress(MediaStreamError):
            while True:
                await self._joined.wait()
                packet = await self._encoding.recv()
                for track in self._tracks:
                    track.put(packet)

    def join(self, track: "ViewerTrack") -> None:
        """Add a viewer, who starts with a keyframe."""
        if track not in self._tracks:
            self._tracks.add(track)
            self._joined.set()
            self._encoding.want_keyframe()
            self.follow_best_path()

    def leave(self, track: "ViewerTrack") -> None:
        self._tracks.discard(track)
        if not self._tracks:
            self._joined.clear()

    def want_keyframe(self) -> None:
        """Make a keyframe for all viewers; rate-limited."""
        self._encoding.want_keyframe()

    def follow_best_path(self) -> None:
        """Encode for the viewer with the best path; those with a worse one skip frames."""
        reported = (track.path_bps for track in self._tracks if track.path_bps)
        best_bps = max(reported, default=self._bitrate.start)
        self._encoding.on_target(min(best_bps, self._most_bps))

    @property
    def _most_bps(self) -> int:
        viewers = len(self._tracks)
        if viewers <= 1:  # none: the last one has just changed to the other rung
            return self._bitrate.max
        return max(min(SHARED_BPS, TOGETHER_BPS // viewers), EACH_BPS)

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


class FanOut:
    """Both rungs of a stream in one codec."""

    def __init__(self, codec: Codec, bitrate: Bitrate, threads: Executor) -> None:
        self.codec = codec
        start = min(SMALL_START_BPS, bitrate.start)
        small = Bitrate(start, min(bitrate.min, start), min(SMALL_MAX_BPS, bitrate.max))
        self.full = Rung(codec, bitrate, threads)
        self.small = Rung(codec, small, threads, SMALL_PX)

    def __len__(self) -> int:
        return len(self.full) + len(self.small)

    @property
    def rungs(self) -> "tuple[Rung, Rung]":
        return self.full, self.small

    async def run(self) -> None:
        """Encode until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for rung in self.rungs:
                tasks.create_task(rung.run())

    def as_dict(self) -> dict[str, object]:
        """The statistics of the full rung, and of the small one under `small`."""
        return {**self.full.as_dict(), "viewers": len(self), "small": self.small.as_dict()}


class RungChoice:
    """Which rung a path can take. Pure: `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.is_small = False
        self._since: float | None = None  # the other one seems right
        self._wait_s = UP_S
        self._up_at = float("-inf")

    def update(self, path_bps: int, full_bps: int, small_bps: int, now: float) -> bool:
        """Whether to change to the other rung, now that the path takes `path_bps`."""
        if self.is_small:
            is_other = path_bps > SHARE_UP * small_bps
        else:
            is_other = path_bps < SHARE_MIN * full_bps and path_bps < full_bps - small_bps / 2
        if not is_other:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < (self._wait_s if self.is_small else DOWN_S):
            return False
        self._since = None
        self.is_small = not self.is_small
        if not self.is_small:
            self._up_at = now
        else:
            failed = now - self._up_at < LASTED_S
            self._wait_s = min(2 * self._wait_s, UP_MAX_S) if failed else UP_S
        return True


class ViewerTrack(FeedbackTrack):
    """Packets for one viewer, from a keyframe on; a connection too slow skips frames."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0
        self.path_bps = 0  # 0: not known yet
        self._fan_out: FanOut | None = None
        self._rung: Rung | None = None
        self._choice = RungChoice()
        self._synced = False  # whether the viewer has every frame since a keyframe
        self._last_pts = -1
        self._packets: deque[av.Packet[Any]] = deque()
        self._arrived = asyncio.Event()

    def watch(self, fan_out: FanOut) -> None:
        """Take packets from `fan_out` once the connection asks for them."""
        self._fan_out = fan_out

    def join(self) -> None:
        """Begin, with the full picture."""
        if self._fan_out is not None and self._rung is None:
            self._rung = self._fan_out.full
            self._rung.join(self)

    def put(self, packet: "av.Packet[Any]") -> None:
        if len(self._packets) >= WAITING_MAX:
            self._skip_all()
        # After a change of rungs, the other encoder may be a frame behind.
        is_new = packet.pts is not None and packet.pts > self._last_pts
        self._synced = self._synced or (packet.is_keyframe and is_new)
        if self._synced:
            self._packets.append(packet)
            self._arrived.set()
        else:
            self.skipped += 1
            self.want_keyframe()

    @property
    def waits(self) -> bool:
        return bool(self._packets)

    def want_keyframe(self) -> None:
        if self._rung is not None:
            self._rung.want_keyframe()

    def on_target(self, bps: int) -> None:
        self.path_bps = bps
        if self._fan_out is None or self._rung is None:
            return
        full, small = self._fan_out.rungs
        if self._choice.update(bps, full.target_bps, small.target_bps, time.monotonic()):
            self._change(small if self._choice.is_small else full)
        self._rung.follow_best_path()

    async def recv(self) -> "av.Packet[Any]":
        """The next packet; first called when the viewer is connected."""
        if self.readyState == "live":
            self.join()
        while self.readyState == "live":
            if self._packets:
                packet = self._packets.popleft()
                self._last_pts = packet.pts or 0
                return packet
            self._arrived.clear()
            await self._arrived.wait()
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        if self._rung is not None:
            self._rung.leave(self)
        self._arrived.set()

    def _change(self, rung: Rung) -> None:
        if self._rung is not None:
            self._rung.leave(self)
            self._rung.follow_best_path()
        self._skip_all()
        self._rung = rung
        rung.join(self)

    def _skip_all(self) -> None:
        self.skipped += len(self._packets)
        self._packets.clear()
        self._synced = False
