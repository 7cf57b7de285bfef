"""peer → **sender** → browser: stylized frames and delayed sound as tracks of encoded packets.

aiortc lets a track give packets that are encoded already; so encoding, with its bitrate and its
keyframes, is ours, and sound passes through as it came.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from fractions import Fraction
from typing import Any

import av
from aiortc import RTCDtlsTransport, RTCRtpSender
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

from streamer.frame import Frame, AudioPacket
from streamer.pipeline.intake import Intake
from streamer.webrtc.codecs import Bitrate, Codec, Encoder

KEYFRAME_EVERY_S = 0.3  # at most, whatever the other side asks for
SAMPLES = 256  # of encode times, for the statistics
SOUND_MAX = 250  # packets: five seconds
DELAY_MAX_S = 2.0
SLEW = 0.05  # seconds a second: a browser stretches sound that much without a sound


class FeedbackTrack(MediaStreamTrack):
    """A track of packets that can do what the other side asks for."""

    def want_keyframe(self) -> None:
        """The other side cannot go on without one."""
        raise NotImplementedError

    def on_remb(self, bps: int) -> None:
        """What the other side says the path can take."""
        raise NotImplementedError

    def report(self, rtp: int) -> None:
        """The RTP time of the last packet sent, for tracks that want to know."""


class VideoTrack(FeedbackTrack):
    """The newest stylized frame, encoded in a thread when the connection can send it."""

    kind = "video"

    def __init__(self, bitrate: Bitrate, threads: Executor) -> None:
        super().__init__()
        self.frames: Intake[Frame] = Intake()
        self.wanted = True  # by the other side
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
        """Encode with this codec from now on."""
        self._encoder = Encoder(codec, self._bitrate)

    @property
    def keyframes(self) -> int:
        return self._encoder.keyframes if self._encoder else 0

    async def send(self, frame: Frame) -> None:
        """As a sink: never waits; a frame the encoder has not begun with gives way to a newer."""
        if self.wanted:
            self.frames.put(frame)

    def want_keyframe(self) -> None:
        self._keyframe_wanted = True

    def on_remb(self, bps: int) -> None:
        self.target_bps = self._bitrate.bound(bps)

    async def recv(self) -> "av.Packet[Any]":
        """Called by aiortc, one at a time."""
        loop = asyncio.get_running_loop()
        self._last_pts, self._sending = self._sending, None
        while self._encoder is not None and await self.frames.ready():
            frame = self.frames.take()
            keyframe, began = self._keyframe_due(), time.monotonic()
            try:
                packets = await loop.run_in_executor(
                    self._threads, self._encoder.encode, frame, self.target_bps, keyframe
                )
            except (
                av.FFmpegError,
                ValueError,
            ):  # would end the sender for good
                self.errors += 1
                self._encoder.reset()
                continue
            self.encode_s.append(time.monotonic() - began)
            if packets:
                self.sent += 1
                self.sent_bytes += packets[0].size
                self._sending = packets[0].pts
                return packets[0]
        raise MediaStreamError

    def report(self, rtp: int) -> None:
        """No use while a frame is half out."""
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
    """Tells the track what the other side asks for, a keyframe or a bitrate, and its RTP times."""

    def __init__(self, track: FeedbackTrack, transport: RTCDtlsTransport) -> None:
        super().__init__(track, transport)
        self._video = track

    def _send_keyframe(self) -> None:
        self._video.want_keyframe()

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


class DelayLine:
    """AudioPacket that waits until its picture is ready. Pure: `now` is monotonic seconds.

    The delay moves slowly towards its target, so that the receiver can stretch what it plays.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.target_s = 0.0
        self._delay_s: float | None = None
        self._moved_at = 0.0
        self._waiting: deque[AudioPacket] = deque()

    def put(self, sound: AudioPacket) -> None:
        """Take a packet in; the oldest goes when there are too many."""
        if len(self._waiting) >= SOUND_MAX:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(sound)

    def due_in(self, now: float) -> float | None:
        """Seconds until the next packet is to leave, ≤ 0 when it is late; None: there is none."""
        if not self._waiting:
            return None
        return self._waiting[0].arrived_at + self._delay(now) - now

    def pop(self) -> AudioPacket:
        return self._waiting.popleft()

    def _delay(self, now: float) -> float:
        if self._delay_s is None:
            self._delay_s = self.target_s
        step = SLEW * (now - self._moved_at)
        self._delay_s += max(-step, min(self.target_s - self._delay_s, step))
        self._moved_at = now
        return self._delay_s


class AudioTrack(MediaStreamTrack):
    """The sound that came in, as it came, later by `set_delay`."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._line = DelayLine()
        self._changed = asyncio.Event()
        self._origin: int | None = None
        self._time_base = Fraction(1, 48_000)

    def negotiated(self, clock_hz: int) -> None:
        """The RTP clock of the codec."""
        self._time_base = Fraction(1, clock_hz)

    def set_delay(self, delay_s: float) -> None:
        self._line.target_s = max(0.0, min(delay_s, DELAY_MAX_S))

    def put(self, sound: AudioPacket) -> None:
        self._line.put(sound)
        self._changed.set()

    async def recv(self) -> "av.Packet[Any]":
        """Called by aiortc, one at a time."""
        while self.readyState == "live":
            wait_s = self._line.due_in(time.monotonic())
            if wait_s is not None and wait_s <= 0:
                return self._packet(self._line.pop())
            self._changed.clear()
            if wait_s is None:
                await self._changed.wait()
            else:
                await asyncio.sleep(wait_s)
        raise MediaStreamError

    def _packet(self, sound: AudioPacket) -> "av.Packet[Any]":
        if self._origin is None:
            self._origin = sound.clock
        packet = av.Packet(sound.data)
        packet.pts, packet.time_base = (sound.clock - self._origin) % (1 << 32), self._time_base
        return packet

    def stop(self) -> None:
        super().stop()
        self._changed.set()
