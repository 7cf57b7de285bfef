"""pacer → **sender** → browser: stylized frames as a track of encoded packets.

What it is encoded for is what the connection takes at the moment.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import Executor
from typing import Any

import av
from aiortc import RTCDtlsTransport
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpSrPacket,
    RtpPacket,
    unpack_remb_fci,
)
from aiortc.utils import random16, uint16_add

from streamer.frame import Frame
from streamer.pipeline.intake import Intake
from streamer.webrtc.codecs import Codec, Encoder
from streamer.webrtc.congestion import Bitrate, Congestion, Rates
from streamer.webrtc.pacing import Pacing
from streamer.webrtc.rtp_sender import HEADER, RtpSender
from streamer.webrtc.threads import BrokenError, Threads
from streamer.webrtc.transport_feedback import Feedback

log = logging.getLogger(__name__)

KEYFRAME_EVERY_S = 0.3  # at most, however often the other side asks
SAMPLES = 256  # encode times kept for the statistics
MEDIA_SHARE = 0.94  # of what is sent; the rest is headers
REPEATED_S = 1.0  # retransmissions are averaged over that long
SETTLED_S = 2.0  # until a rate says something about the path


class FeedbackTrack(MediaStreamTrack):
    """A track of packets that takes feedback: for a keyframe, and for a bitrate."""

    @property
    def waits(self) -> bool:
        """Whether it has something that can be sent at once, and nobody takes it."""
        return False

    def want_keyframe(self) -> None:
        raise NotImplementedError

    def on_target(self, bps: int) -> None:
        """The bitrate that the path can take."""
        raise NotImplementedError

    def report(self, rtp: int) -> None:
        """The RTP time of a sender report; for tracks that need it."""


class VideoTrack(FeedbackTrack):
    """The newest stylized frame, encoded in a thread when the connection can send it."""

    kind = "video"

    def __init__(self, bitrate: Bitrate, threads: Executor, lines_max: int | None = None) -> None:
        super().__init__()
        self._lines_max = lines_max
        self.frames: Intake[Frame] = Intake()
        self.wanted = True  # the other side receives video
        self.target_bps = bitrate.start
        self.sent = 0
        self.sent_bytes = 0
        self.errors = 0
        self.encode_s: deque[float] = deque(maxlen=SAMPLES)
        self._bitrate = bitrate
        self._threads = Threads(threads, "encoder")
        self._encoder: Encoder | None = None
        self._keyframe_at = float("-inf")
        self._keyframe_wanted = False
        self.reported: tuple[int, int] | None = None  # RTP time and pts of one sent frame
        self._sending: int | None = None  # pts of the frame whose packets go out now
        self._last_pts: int | None = None  # of the last one that is out

    @property
    def waits(self) -> bool:
        return self.frames.waits and not self._threads.busy

    def negotiated(self, codec: Codec) -> None:
        self._encoder = Encoder(codec, self._bitrate, self._lines_max)

    @property
    def keyframes(self) -> int:
        return self._encoder.keyframes if self._encoder else 0

    async def send(self, frame: Frame) -> None:
        """The sink: never waits; a newer frame replaces one that is not being encoded yet."""
        if self.wanted:
            self.frames.put(frame)

    def want_keyframe(self) -> None:
        self._keyframe_wanted = True

    def on_target(self, bps: int) -> None:
        self.target_bps = self._bitrate.bound(bps)

    async def recv(self) -> "av.Packet[Any]":
        """The next packet, for aiortc."""
        self._last_pts, self._sending = self._sending, None
        while self._encoder is not None and await self.frames.ready():
            frame = self.frames.take()
            keyframe, began = self._keyframe_due(), time.monotonic()
            try:
                packets = await self._threads.run(
                    self._encoder.encode, frame, self.target_bps, keyframe
                )
            except BrokenError:
                raise
            except Exception as error:  # would end the sender for good
                self.errors += 1
                self._encoder.reset()  # begins with a keyframe
                if not isinstance(error, av.FFmpegError | ValueError):
                    self._threads.failed(error)
                continue
            self.encode_s.append(time.monotonic() - began)
            if packets:
                self.sent += 1
                self.sent_bytes += packets[0].size
                self._sending = packets[0].pts
                return packets[0]
            self._keyframe_wanted |= keyframe
        raise MediaStreamError

    def report(self, rtp: int) -> None:
        """Pair it with the last frame; not while one is partly sent."""
        if self._sending is None and self._last_pts is not None:
            self.reported = rtp, self._last_pts

    def _keyframe_due(self) -> bool:
        now = time.monotonic()
        if not self._keyframe_wanted or now - self._keyframe_at < KEYFRAME_EVERY_S:
            return False
        self._keyframe_wanted, self._keyframe_at = False, now
        return True

    def stop(self) -> None:
        super().stop()
        self.frames.close()


class VideoSender(RtpSender):
    """Sends at the rate that the path takes, and tells its track what the other side says."""

    def __init__(
        self,
        track: FeedbackTrack,
        transport: RTCDtlsTransport,
        congestion: Congestion,
        rates: Rates | None = None,
    ) -> None:
        super().__init__(track, transport)
        self._video = track
        self._congestion = congestion
        self._rates = rates
        self._pacing = Pacing()
        self._number = random16()  # transport-wide, of packets
        self._began_at: float | None = None
        self._repeats: deque[tuple[float, int]] = deque()  # when, bytes

    def on_feedback(self, feedback: Feedback, now: float) -> None:
        self._congestion.on_feedback(feedback, now)
        self._follow(now)

    def _target_bps(self) -> float:
        return self._congestion.target_bps

    def _want_keyframe(self) -> None:
        self._video.want_keyframe()

    def _unusable(self) -> None:
        self._video.want_keyframe()

    async def _pace(self, size: int) -> None:
        now = time.monotonic()
        if self._began_at is None:
            self._begin(now)
        congestion = self._congestion
        is_congested = congestion.is_congested(now)
        if wait_s := self._pacing.wait_s(size, congestion.target_bps, is_congested, now):
            await asyncio.sleep(wait_s)

    def _begin(self, now: float) -> None:
        """With what this path took a moment ago, if that is known."""
        self._began_at = now
        known = self._rates.recall(self._host(), now) if self._rates else None
        if known is not None:
            self._congestion.resume(known, now)
            self._video.on_target(self._congestion.target_bps)

    async def _put(self, rtp: RtpPacket) -> None:
        if rtp.ssrc != self._ssrc:
            self._repeats.append((time.monotonic(), len(rtp.payload) + HEADER))
        rtp.extensions.transport_sequence_number = self._number
        self._congestion.sent(self._number, len(rtp.payload) + HEADER, time.monotonic())
        self._number = uint16_add(self._number, 1)
        await super()._put(rtp)

    def _report(self) -> RtcpSrPacket:
        report = super()._report()
        self._video.report(report.sender_info.rtp_timestamp)
        return report

    def _on_report(self, report: RtcpReceiverInfo, now: float) -> None:
        super()._on_report(report, now)
        if self.rtt_s is not None:
            self._congestion.rtt_s = self.rtt_s
        self._congestion.on_report(report.highest_sequence, report.packets_lost, now)
        self._follow(now)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            try:
                bps, ssrcs = unpack_remb_fci(packet.fci)
            except ValueError:
                return
            if self._ssrc in ssrcs:
                self._congestion.on_remb(bps)
                self._follow(time.monotonic())
        else:
            await super()._handle_rtcp_packet(packet)

    def _follow(self, now: float) -> None:
        target_bps = self._congestion.target_bps
        self._video.on_target(int(target_bps * MEDIA_SHARE - self._repeated_bps(now)))
        if self._rates and self._began_at is not None and now - self._began_at > SETTLED_S:
            self._rates.remember(self._host(), target_bps, now)

    def _repeated_bps(self, now: float) -> float:
        """What retransmissions take of late."""
        while self._repeats and self._repeats[0][0] < now - REPEATED_S:
            self._repeats.popleft()
        return sum(size for _, size in self._repeats) * 8 / REPEATED_S

    def _host(self) -> str:
        """The other side's address."""
        connection = self.transport.transport._connection
        return next((str(pair.remote_addr[0]) for pair in connection._nominated.values()), "")
