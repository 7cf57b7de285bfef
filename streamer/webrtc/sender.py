"""pacer → **sender** → browser: stylized frames as a track of encoded packets.

aiortc sends packets that a track has encoded itself, so bitrate and keyframes are ours to choose.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import Executor
from typing import Any

import av
from aiortc import RTCDtlsTransport, RTCRtpSender
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from streamer.frame import Frame
from streamer.pipeline.intake import Intake
from streamer.webrtc.codecs import Bitrate, Codec, Encoder

log = logging.getLogger(__name__)

KEYFRAME_EVERY_S = 0.3  # at most, however often the other side asks
SAMPLES = 256  # encode times kept for the statistics


class FeedbackTrack(MediaStreamTrack):
    """A track of packets that takes feedback: PLI and REMB."""

    def want_keyframe(self) -> None:
        raise NotImplementedError

    def on_remb(self, bps: int) -> None:
        """The bitrate that the path can take, says the other side."""
        raise NotImplementedError

    def report(self, rtp: int) -> None:
        """The RTP time of a sender report; for tracks that need it."""


class VideoTrack(FeedbackTrack):
    """The newest stylized frame, encoded in a thread when the connection can send it."""

    kind = "video"

    def __init__(self, bitrate: Bitrate, threads: Executor) -> None:
        super().__init__()
        self.frames: Intake[Frame] = Intake()
        self.wanted = True  # the other side receives video
        self.target_bps = bitrate.start
        self.sent = 0
        self.sent_bytes = 0
        self.errors = 0
        self.encode_s: deque[float] = deque(maxlen=SAMPLES)
        self._bitrate = bitrate
        self._threads = threads
        self._encoder: Encoder | None = None
        self._keyframe_at = float("-inf")
        self._keyframe_wanted = False
        self.reported: tuple[int, int] | None = None  # RTP time and pts of one sent frame
        self._sending: int | None = None  # pts of the frame whose packets go out now
        self._last_pts: int | None = None  # of the last one that is out

    def negotiated(self, codec: Codec) -> None:
        self._encoder = Encoder(codec, self._bitrate)

    @property
    def keyframes(self) -> int:
        return self._encoder.keyframes if self._encoder else 0

    async def send(self, frame: Frame) -> None:
        """The sink: never waits; a newer frame replaces one that is not being encoded yet."""
        if self.wanted:
            self.frames.put(frame)

    def want_keyframe(self) -> None:
        self._keyframe_wanted = True

    def on_remb(self, bps: int) -> None:
        self.target_bps = self._bitrate.bound(bps)

    async def recv(self) -> "av.Packet[Any]":
        """The next packet, for aiortc."""
        loop = asyncio.get_running_loop()
        self._last_pts, self._sending = self._sending, None
        while self._encoder is not None and await self.frames.ready():
            frame = self.frames.take()
            keyframe, began = self._keyframe_due(), time.monotonic()
            try:
                packets = await loop.run_in_executor(
                    self._threads, self._encoder.encode, frame, self.target_bps, keyframe
                )
            except Exception as error:  # would end the sender for good
                self.errors += 1
                self._encoder.reset()  # begins with a keyframe
                if not isinstance(error, av.FFmpegError | ValueError):
                    log.exception("x the encoder failed; it starts again")
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


class VideoSender(RTCRtpSender):
    """Passes feedback and the RTP times of sender reports to its track."""

    def __init__(self, track: FeedbackTrack, transport: RTCDtlsTransport) -> None:
        super().__init__(track, transport)
        self._video = track

    def _send_keyframe(self) -> None:
        self._video.want_keyframe()

    async def _next_encoded_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        """None for a frame that cannot be packetized; an error would end the sender for good."""
        try:
            return await super()._next_encoded_frame(codec)
        except (ConnectionError, MediaStreamError):
            raise
        except Exception:
            self._video.want_keyframe()
            log.exception("x a frame could not be packetized")
            return None

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                self._video.report(packet.sender_info.rtp_timestamp)
        await super()._send_rtcp(packets)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            try:
                bps, ssrcs = unpack_remb_fci(packet.fci)
            except ValueError:
                return
            if self._ssrc in ssrcs:
                self._video.on_remb(bps)
        else:
            await super()._handle_rtcp_packet(packet)
