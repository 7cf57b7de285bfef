"""browser → **receiver** → jitter buffer → codecs → intake: RTP in, decoded frames out.

These classes take the place of aiortc's RTCRtpReceiver, whose decoder thread reads from a queue
without a bound, feeds another one, and is joined on the event loop.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import av
from aiortc import RTCDtlsTransport
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    unwrap_rtx,
)
from aiortc.stats import RTCStatsReport

from streamer.frame import AudioPacket, Frame
from streamer.pipeline.denoiser import Denoiser
from streamer.webrtc.bandwidth import Uplink, UplinkEstimator
from streamer.webrtc.capture_time import captured_ms
from streamer.webrtc.codecs import Decoder
from streamer.webrtc.depayload import FORMATS, VideoCodec
from streamer.webrtc.jitter_buffer import EncodedFrame, JitterBuffer, MediaClock, Packet
from streamer.webrtc.transport_feedback import Arrivals

log = logging.getLogger(__name__)

STREAMS_MAX = 4  # SSRCs with statistics; a sender with more makes them up
BACKLOG_MAX = 12  # encoded frames waiting for the decoder
PLI_EVERY_S = 0.3
FEEDBACK_EVERY_S = 0.05
UNREADABLE = 5  # frames at the beginning, keyframes mostly, that say something is wrong


class RtpReceiver:
    """One incoming RTP stream and its receiver reports (RFC 3550, 6.4.2).

    The methods in camelCase, and those on packets, are the ones that aiortc calls.
    """

    kind: str

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport
        self._track: MediaStreamTrack | None = None  # set and read by RTCPeerConnection
        self._enabled = True
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._retransmits: dict[int, int] = {}  # SSRC of retransmissions → of the stream
        self._streams: dict[int, StreamStatistics] = {}
        self._last_sr: dict[int, tuple[int, float]] = {}  # middle of its NTP time, arrival
        self._ssrc = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.on_failure: Callable[[BaseException], None] = lambda error: None

    @property
    def track(self) -> MediaStreamTrack | None:
        return self._track

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._ssrc = ssrc

    async def getStats(self) -> RTCStatsReport:
        return RTCStatsReport()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Start; RTCPeerConnection calls this several times."""
        if self._tasks:
            return
        self._codecs = {c.payloadType: c for c in parameters.codecs if c.payloadType is not None}
        self._retransmits = {e.rtx.ssrc: e.ssrc for e in parameters.encodings if e.rtx}
        self.transport._register_rtp_receiver(self, parameters)
        self._start()

    def _start(self) -> None:
        self._own(self._report_loop())

    def _own(self, loop: Coroutine[Any, Any, None]) -> None:
        """Run a task that lasts as long as this receiver; its failure is one of the connection."""
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_failure(error)

    async def stop(self) -> None:
        self.transport._unregister_rtp_receiver(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _handle_disconnect(self) -> None:
        """Nothing to do: the endpoint watches the state of its connection."""

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        raise NotImplementedError

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.ssrc in self._streams:
            middle = (packet.sender_info.ntp_timestamp >> 16) & 0xFFFFFFFF
            self._last_sr[packet.ssrc] = (middle, time.monotonic())

    def _media(self, packet: RtpPacket) -> tuple[RTCRtpCodecParameters, RtpPacket] | None:
        """A packet of ours with its codec, a retransmission unwrapped (RFC 4588); counts it."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None or not self._enabled:
            return None
        if packet.ssrc not in self._streams:
            if len(self._streams) > STREAMS_MAX:
                self._streams.clear()
                self._last_sr.clear()
            self._streams[packet.ssrc] = StreamStatistics(codec.clockRate)
        self._streams[packet.ssrc].add(packet)
        if not is_rtx(codec):
            return codec, packet
        ssrc, base = self._retransmits.get(packet.ssrc), self._codecs.get(_apt(codec))
        if ssrc is None or base is None or len(packet.payload) < 2:
            return None
        return base, unwrap_rtx(packet, payload_type=base.payloadType or 0, ssrc=ssrc)

    async def _report_loop(self) -> None:
        """Send receiver reports, at random intervals around a second (RFC 3550)."""
        while True:
            await asyncio.sleep(0.5 + random.random())
            reports = [self._receiver_info(*item) for item in self._streams.items()]
            if reports:
                await self._send_rtcp(RtcpRrPacket(ssrc=self._ssrc, reports=reports))
                await self._on_loss(max(report.fraction_lost for report in reports) / 256)

    async def _on_loss(self, fraction: float) -> None:
        """The share of packets lost between the last two reports."""

    def _receiver_info(self, ssrc: int, stream: StreamStatistics) -> RtcpReceiverInfo:
        lsr, at = self._last_sr.get(ssrc, (0, 0.0))
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=stream.fraction_lost,
            packets_lost=stream.packets_lost,
            highest_sequence=stream.max_seq or 0,
            jitter=stream.jitter,
            lsr=lsr,
            dlsr=int(min(time.monotonic() - at, 65535) * 65536) if lsr else 0,
        )

    async def _send_rtcp(self, packet: AnyRtcpPacket) -> None:
        with contextlib.suppress(ConnectionError):
            await self.transport._send_rtp(bytes(packet))


class AudioReceiver(RtpReceiver):
    """Passes encoded audio on as it comes."""

    kind = "audio"

    def __init__(self, transport: RTCDtlsTransport, take: Callable[[AudioPacket], None]) -> None:
        super().__init__(transport)
        self._take = take

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now = time.monotonic()
        if (media := self._media(packet)) is None:
            return
        codec, packet = media
        agreed = next(iter(self._codecs.values()))
        if packet.payload and codec is agreed:  # what we send is declared to be of this codec
            self._take(AudioPacket(packet.payload, packet.timestamp, now))


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
        self._threads = threads
        self._max_pixels = max_pixels
        self._denoise = Denoiser() if calm else None
        self._uplink = UplinkEstimator(uplink, by_delay)
        self._arrivals = Arrivals()
        self._is_by_feedback = False  # the sender controls its rate itself
        self._clock = MediaClock()  # shared by all streams of this receiver: pts only grows
        self._buffer = JitterBuffer(FORMATS["VP8"].is_keyframe, self._clock)
        self._source: int | None = None
        self._backlog: deque[EncodedFrame] = deque()
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

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and packet.ssrc == self._source:
            self._sender_report = packet.sender_info

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now = time.monotonic()
        await self._account(packet, now)
        if (media := self._media(packet)) is None:
            return
        codec, packet = media
        name: VideoCodec = "H264" if codec.name == "H264" else self.alias or "VP8"
        if name != self.codec or packet.ssrc != self._source:
            self._begin(name, packet.ssrc, now)
        try:
            data = FORMATS[name].depayload(packet.payload) if packet.payload else b""
        except ValueError:
            self.errors += 1
            return
        part = Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), data, now)
        for frame in self._buffer.add(part):
            self._push(frame)
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
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            while self._backlog and self.codec is not None:
                encoded = self._backlog.popleft()
                if decoder is None or decoder.codec != self.codec:
                    decoder = Decoder(self.codec, self._max_pixels)
                try:
                    frames = await loop.run_in_executor(
                        self._threads, self._decode, decoder, encoded
                    )
                except Exception as error:
                    self.errors += 1
                    self._buffer.broke(time.monotonic())
                    if not isinstance(error, av.FFmpegError | ValueError):  # not a damaged frame
                        log.exception("x the decoder failed; it starts again")
                        decoder = None
                    elif self.errors == UNREADABLE and not self._decoded:
                        log.warning(
                            "x no frame of a %s stream could be decoded: they are damaged, "
                            "or larger than %d pixels", self.codec, self._max_pixels,
                        )  # fmt: skip
                    continue
                self._decoded += len(frames)
                for frame in frames:
                    self._take(frame)
            self._arrived.clear()

    def _decode(self, decoder: Decoder, encoded: EncodedFrame) -> list[Frame]:
        frames = decoder.decode(encoded)
        if self._denoise is None:
            return frames
        return [replace(frame, image=self._denoise(frame.image)) for frame in frames]


def split_at_wrap(seqs: list[int]) -> list[list[int]]:
    """Sequence numbers in order as runs that only grow: aiortc cannot pack a NACK that wraps."""
    wrap = next((i for i in range(1, len(seqs)) if seqs[i] < seqs[i - 1]), len(seqs))
    return [run for run in (seqs[:wrap], seqs[wrap:]) if run]


def _apt(codec: RTCRtpCodecParameters) -> int:
    """The payload type that a codec of retransmissions repeats (RFC 4588, 8.6); -1: none."""
    apt = codec.parameters.get("apt")
    return apt if isinstance(apt, int) else -1
