"""browser → **receiver** → jitter buffer, codecs, playout → intake: RTP in, frames out."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import av
from aiortc import RTCDtlsTransport
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
)

from streamer.frame import AudioPacket, Frame
from streamer.pipeline.denoiser import Denoiser
from streamer.webrtc.bandwidth import Uplink, UplinkEstimator
from streamer.webrtc.capture_time import captured_ms
from streamer.webrtc.codecs import Decoder
from streamer.webrtc.depayload import FORMATS, VideoCodec
from streamer.webrtc.jitter_buffer import EncodedFrame, JitterBuffer, MediaClock, Packet
from streamer.webrtc.playout import Playout
from streamer.webrtc.red import Unseen, is_red, split
from streamer.webrtc.rtp_receiver import RtpReceiver
from streamer.webrtc.threads import BrokenError, Threads
from streamer.webrtc.transport_feedback import Arrivals

log = logging.getLogger(__name__)

BACKLOG_MAX = 90  # encoded frames waiting for the decoder: what one lost packet held up
PLI_EVERY_S = 0.3
FEEDBACK_EVERY_S = 0.05
DUE_MAX = 40  # decoded frames that wait until they are due
UNREADABLE = 5  # frames at the beginning, keyframes mostly, that say something is wrong


class AudioReceiver(RtpReceiver):
    """Passes encoded audio on as it comes, what was lost and came again 20 ms later included."""

    kind = "audio"

    def __init__(self, transport: RTCDtlsTransport, take: Callable[[AudioPacket], None]) -> None:
        super().__init__(transport)
        self._take = take
        self._unseen = Unseen()

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now = time.monotonic()
        if (media := self._media(packet)) is None:
            return
        codec, packet = media
        agreed = next(one for one in self._codecs.values() if not is_red(one))
        parts = [(packet.timestamp, packet.payload)]
        if is_red(codec):
            try:
                parts = split(packet.payload, packet.timestamp)
            except ValueError:
                return
        elif codec is not agreed:  # what we send is declared to be of that codec
            return
        for clock, data in parts:
            if data and self._unseen.is_new(clock):
                self._take(AudioPacket(data, clock, now))


class VideoReceiver(RtpReceiver):
    """Assembles frames, decodes them in a thread, and gives each to `take` as soon as it is whole.

    Never waits for `take`. A decoder error costs frames until the next keyframe, which is
    requested.
    """

    kind = "video"

    def __init__(
        self,
        transport: RTCDtlsTransport,
        take: Callable[[Frame], None],
        threads: Executor,
        *,
        max_pixels: int,
        uplink: Uplink,
        calm: bool = True,
        by_delay: bool = True,
    ) -> None:
        super().__init__(transport)
        self.codec: VideoCodec | None = None
        self.alias: VideoCodec | None = None  # what aiortc takes for VP8
        self.errors = 0
        self._decoded = 0
        self._dropped = 0
        self._take = take
        self._threads = Threads(threads, "decoder")
        self._max_pixels = max_pixels
        self._denoise = Denoiser() if calm else None
        self._uplink = UplinkEstimator(uplink, by_delay)
        self._arrivals = Arrivals()
        self._is_by_feedback = False  # the sender controls its rate itself
        self._clock = MediaClock()  # shared by all streams of this receiver: pts only grows
        self._buffer = JitterBuffer(FORMATS["VP8"].is_keyframe, self._clock)
        self._source: int | None = None
        self._backlog: deque[EncodedFrame] = deque()
        self._playout = Playout() if by_delay else None
        self._due: deque[Frame] = deque()  # `captured_at` is when each is to be shown
        self._is_due = asyncio.Event()
        self._arrived = asyncio.Event()
        self._pli_at = 0.0
        self._sender_report: RtcpSenderInfo | None = None

    @property
    def lost(self) -> int:
        """Frames that never reached the decoder."""
        return self._dropped + self._buffer.lost

    @property
    def uplink_bps(self) -> int:
        """What the sender was told it may send."""
        return self._uplink.bps

    def captured_ms(self, pts: int) -> float | None:
        """When the sender captured the frame of this pts: Unix milliseconds of its own clock.

        None until its first sender report (RFC 3550, 6.4.1).
        """
        rtp, report = self._clock.rtp(pts), self._sender_report
        if rtp is None or report is None:
            return None
        return captured_ms(rtp, report.ntp_timestamp, report.rtp_timestamp)

    def _start(self) -> None:
        super()._start()
        self._own(self._decode_loop())
        self._own(self._feedback_loop())
        self._own(self._show_loop())

    @property
    def late_s(self) -> float:
        """How long frames were held up on their way here, the median."""
        return self._playout.late_s if self._playout else 0.0

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and packet.ssrc == self._source:
            self._sender_report = packet.sender_info

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now = time.monotonic()
        await self._account(packet, now)
        if (media := self._media(packet)) is None:
            return
        is_rtx = packet.payload_type != media[1].payload_type
        codec, packet = media
        name: VideoCodec = "H264" if codec.name == "H264" else self.alias or "VP8"
        if name != self.codec or packet.ssrc != self._source:
            self._begin(name, packet.ssrc, now)
        try:
            data = FORMATS[name].depayload(packet.payload) if packet.payload else b""
        except ValueError:
            self.errors += 1
            return
        part = Packet(
            packet.sequence_number, packet.timestamp, bool(packet.marker), data, now, is_rtx
        )
        for frame in self._buffer.add(part):
            self._push(replace(frame, arrived_at=now))  # it may have waited for another one
        await self._repair(now)

    async def _account(self, packet: RtpPacket, now: float) -> None:
        """Note the arrival, for the rate at which the other side may send."""
        extensions, size = packet.extensions, len(packet.payload) + packet.padding_size
        sent, now_ms = extensions.abs_send_time, int(now * 1000)
        if extensions.transport_sequence_number is not None:
            self._is_by_feedback = True
            self._arrivals.add(extensions.transport_sequence_number, now)
            self._uplink.measure(now_ms, size)
        elif sent is not None and self._uplink.add(now_ms, sent, size, packet.ssrc):
            await self._send_remb()

    def _begin(self, codec: VideoCodec, source: int, now: float) -> None:
        """Switch to another stream than the one so far, if any."""
        self.codec, self._source = codec, source
        self._sender_report = None
        self._dropped = self.lost + len(self._backlog)
        self._buffer = JitterBuffer(
            FORMATS[codec].is_keyframe,
            self._clock,
            join=FORMATS[codec].join,
            reorders=codec in ("H264", "H265"),
        )
        self._backlog.clear()
        self._pli_at = now  # a stream begins with a keyframe: let it arrive

    def _push(self, frame: EncodedFrame) -> None:
        if len(self._backlog) >= BACKLOG_MAX:
            self._dropped += len(self._backlog)
            self._backlog.clear()
            self._buffer.broke(frame.arrived_at)
        self._backlog.append(frame)
        self._arrived.set()

    async def _repair(self, now: float) -> None:
        """Request lost packets again, and a keyframe when that did not help."""
        media_ssrc = self._source or 0
        for run in split_at_wrap(self._buffer.missing(now)):
            nack = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=media_ssrc)
            nack.lost = run
            await self._send_rtcp(nack)
        if self._buffer.wants_keyframe and now - self._pli_at > PLI_EVERY_S:
            self._pli_at = now
            await self._send_rtcp(
                RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=media_ssrc)
            )

    async def _feedback_loop(self) -> None:
        """Tell the sender which packets came, and when."""
        while True:
            await asyncio.sleep(FEEDBACK_EVERY_S)
            if report := self._arrivals.report(self._ssrc, self._source or 0):
                with contextlib.suppress(ConnectionError):
                    await self.transport._send_rtp(report)

    async def _on_loss(self, fraction: float) -> None:
        if not self._is_by_feedback and self._uplink.loss(fraction, int(time.monotonic() * 1000)):
            await self._send_remb()

    async def _send_remb(self) -> None:
        fci = pack_remb_fci(self._uplink.bps, list(self._streams))
        await self._send_rtcp(
            RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=self._ssrc, media_ssrc=0, fci=fci)
        )

    async def _decode_loop(self) -> None:
        decoder: Decoder | None = None
        while True:
            await self._arrived.wait()
            while self._backlog and self.codec is not None:
                encoded = self._backlog.popleft()
                if decoder is None or decoder.codec != self.codec:
                    decoder = Decoder(self.codec, self._max_pixels)
                try:
                    frames = await self._threads.run(self._decode, decoder, encoded)
                except BrokenError:
                    raise
                except Exception as error:
                    self.errors += 1
                    self._buffer.broke(time.monotonic())
                    if not isinstance(error, av.FFmpegError | ValueError):  # not a damaged frame
                        self._threads.failed(error)
                        decoder = None
                    elif self.errors == UNREADABLE and not self._decoded:
                        log.warning(
                            "x no frame of a %s stream could be decoded: they are damaged, "
                            "or larger than %d pixels", self.codec, self._max_pixels,
                        )  # fmt: skip
                    continue
                self._decoded += len(frames)
                for frame in frames:
                    self._show(frame)
            self._arrived.clear()

    def _show(self, frame: Frame) -> None:
        """Hand a frame over, now or when it is due."""
        due = frame.captured_at
        if self._playout:
            due = self._playout.due(frame.pts_s, frame.captured_at)
        if not self._due and due <= time.monotonic():
            self._take(frame)
        else:
            if len(self._due) >= DUE_MAX:
                self._take(self._due.popleft())
            self._due.append(replace(frame, captured_at=max(due, frame.captured_at)))
            self._is_due.set()

    async def _show_loop(self) -> None:
        while True:
            await self._is_due.wait()
            while self._due:
                await asyncio.sleep(max(0.0, self._due[0].captured_at - time.monotonic()))
                if self._due:
                    self._take(self._due.popleft())
            self._is_due.clear()

    def _decode(self, decoder: Decoder, encoded: EncodedFrame) -> list[Frame]:
        frames = decoder.decode(encoded)
        if self._denoise is None:
            return frames
        return [replace(frame, image=self._denoise(frame.image)) for frame in frames]


def split_at_wrap(seqs: list[int]) -> list[list[int]]:
    """Sequence numbers in order as runs that only grow: aiortc cannot pack a NACK that wraps."""
    wrap = next((i for i in range(1, len(seqs)) if seqs[i] < seqs[i - 1]), len(seqs))
    return [run for run in (seqs[:wrap], seqs[wrap:]) if run]
