"""browser → **receiver** → peer: RTP in, decoded frames or encoded sound out.

Stands where aiortc's RTCRtpReceiver stands, which cannot be bent into this shape: its decoder
thread reads from a queue without a bound, feeds another one, and is joined on the event loop.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import av
from aiortc import RTCDtlsTransport, clock
from aiortc.codecs import depayload, is_rtx
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
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    unwrap_rtx,
)
from aiortc.stats import RTCStatsReport

from streamer.frame import Frame
from streamer.rtp import Encoded, JitterBuffer, Packet, h264_keyframe, vp8_keyframe
from streamer.rtp_codecs import Codec, Decoder
from streamer.rtp_rate import Uplink, UplinkEstimator

BACKLOG_MAX = 30  # encoded pictures waiting for the decoder
PLI_EVERY_S = 0.3
KEYFRAME_TESTS = {"VP8": vp8_keyframe, "H264": h264_keyframe}


@dataclass(frozen=True, slots=True)
class Sound:
    """One packet of encoded sound; `clock` counts samples, 32 bits."""

    data: bytes
    clock: int
    arrived_at: float


class Receiver:
    """One incoming RTP stream with its reports; what to do with its packets is a subclass's."""

    kind = "unknown"

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport
        self._track: MediaStreamTrack | None = None  # set and read by RTCPeerConnection
        self._enabled = True
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._retransmits: dict[int, int] = {}  # SSRC of retransmissions → of the stream
        self._streams: dict[int, StreamStatistics] = {}
        self._last_sr: dict[int, tuple[int, float]] = {}
        self._ssrc = 0
        self._tasks: list[asyncio.Task[None]] = []

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
        """Start; called again and again by RTCPeerConnection."""
        if self._tasks:
            return
        self._codecs = {codec.payloadType: codec for codec in parameters.codecs}
        self._retransmits = {e.rtx.ssrc: e.ssrc for e in parameters.encodings if e.rtx}
        self.transport._register_rtp_receiver(self, parameters)  # type: ignore[arg-type]
        self._start()

    def _start(self) -> None:
        self._tasks.append(asyncio.create_task(self._report()))

    async def stop(self) -> None:
        self.transport._unregister_rtp_receiver(self)  # type: ignore[arg-type]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _handle_disconnect(self) -> None:
        """The transport is gone; the peer hears of it from the connection."""

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            middle = (packet.sender_info.ntp_timestamp >> 16) & 0xFFFFFFFF
            if packet.ssrc in self._streams:
                self._last_sr[packet.ssrc] = (middle, time.time())

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        """From the transport, in order of arrival; `arrival_time_ms` is wall clock."""
        now = time.monotonic()
        codec = self._codecs.get(packet.payload_type)
        if codec is None or not self._enabled:
            return
        await self._measure(packet, codec, arrival_time_ms)
        if is_rtx(codec):
            apt, ssrc = codec.parameters.get("apt"), self._retransmits.get(packet.ssrc)
            if ssrc is None or not isinstance(apt, int) or len(packet.payload) < 2:
                return
            packet, codec = unwrap_rtx(packet, payload_type=apt, ssrc=ssrc), self._codecs[apt]
        await self._take(packet, codec, now)

    async def _measure(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now_ms: int) -> None:
        if packet.ssrc not in self._streams:
            if len(self._streams) > 4:  # somebody makes them up
                self._streams.clear()
                self._last_sr.clear()
            self._streams[packet.ssrc] = StreamStatistics(codec.clockRate)
        self._streams[packet.ssrc].add(packet)

    async def _take(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now: float) -> None:
        raise NotImplementedError

    async def _report(self) -> None:
        """Receiver reports, at random intervals around a second (RFC 3550)."""
        while True:
            await asyncio.sleep(0.5 + random.random())
            reports = [self._receiver_info(*item) for item in self._streams.items()]
            if reports:
                await self._send(RtcpRrPacket(ssrc=self._ssrc, reports=reports))
                await self._reported(max(report.fraction_lost for report in reports) / 256)

    async def _reported(self, lost: float) -> None:
        """A report was sent, with this share of the packets since the last one lost."""

    def _receiver_info(self, ssrc: int, stream: StreamStatistics) -> RtcpReceiverInfo:
        lsr, at = self._last_sr.get(ssrc, (0, 0.0))
        return RtcpReceiverInfo(
            ssrc=ssrc,
            fraction_lost=stream.fraction_lost,
            packets_lost=stream.packets_lost,
            highest_sequence=stream.max_seq or 0,
            jitter=stream.jitter,
            lsr=lsr,
            dlsr=int(min(max(time.time() - at, 0), 65535) * 65536) if lsr else 0,
        )

    async def _send(self, packet: AnyRtcpPacket) -> None:
        with contextlib.suppress(ConnectionError):
            await self.transport._send_rtp(bytes(packet))


class AudioReceiver(Receiver):
    """Hands encoded sound on as it comes: it goes back as it is, only later."""

    kind = "audio"

    def __init__(self, transport: RTCDtlsTransport, take: Callable[[Sound], None]) -> None:
        super().__init__(transport)
        self._hand_on = take

    async def _take(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now: float) -> None:
        agreed = next(iter(self._codecs.values()))
        if packet.payload and codec is agreed:  # what we send is declared to be of this codec
            self._hand_on(Sound(packet.payload, packet.timestamp, now))


class VideoReceiver(Receiver):
    """Whole pictures, decoded in a thread, each handed on when its last packet has come.

    Never waits for who takes the frames. Decoder errors cost pictures until the next keyframe,
    which is asked for.
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
    ) -> None:
        super().__init__(transport)
        self.codec: Codec | None = None
        self.errors = 0
        self._overrun = 0
        self._hand_on = take
        self._threads = threads
        self._max_pixels = max_pixels
        self._uplink = UplinkEstimator(uplink)
        self._buffer = JitterBuffer(vp8_keyframe)
        self._source: int | None = None
        self._backlog: deque[Encoded] = deque()
        self._arrived = asyncio.Event()
        self._asked_at = 0.0

    @property
    def lost(self) -> int:
        """Pictures that never reached the decoder."""
        return self._overrun + self._buffer.lost

    @property
    def uplink_bps(self) -> int:
        """What the sender was told it may send."""
        return self._uplink.bps

    def _start(self) -> None:
        super()._start()
        self._tasks.append(asyncio.create_task(self._decode()))

    async def _measure(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now_ms: int) -> None:
        await super()._measure(packet, codec, now_ms)
        sent = packet.extensions.abs_send_time
        size = len(packet.payload) + packet.padding_size
        if sent is not None and self._uplink.add(now_ms, sent, size, packet.ssrc):
            await self._send_remb()

    async def _reported(self, lost: float) -> None:
        if self._uplink.loss(lost, clock.current_ms()):
            await self._send_remb()

    async def _take(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now: float) -> None:
        if codec.name != self.codec or packet.ssrc != self._source:
            self.codec, self._source = ("VP8" if codec.name == "VP8" else "H264"), packet.ssrc
            self._buffer = JitterBuffer(KEYFRAME_TESTS[self.codec])
        try:
            data = depayload(codec, packet.payload) if packet.payload else b""
        except ValueError:
            self.errors += 1
            return
        part = Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), data, now)
        for picture in self._buffer.add(part):
            self._push(picture)
        await self._repair(now)

    def _push(self, picture: Encoded) -> None:
        if len(self._backlog) >= BACKLOG_MAX:
            self._overrun += len(self._backlog)
            self._backlog.clear()
            self._buffer.broke(picture.arrived_at)
        self._backlog.append(picture)
        self._arrived.set()

    async def _repair(self, now: float) -> None:
        """Ask for lost packets again, and for a keyframe when that did not help."""
        if missing := self._buffer.missing(now):
            nack = RtcpRtpfbPacket(
                fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=self._source or 0
            )
            nack.lost = missing
            await self._send(nack)
        if self._buffer.wants_keyframe and now - self._asked_at > PLI_EVERY_S:
            self._asked_at = now
            await self._send(
                RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=self._source or 0)
            )

    async def _send_remb(self) -> None:
        await self._send(
            RtcpPsfbPacket(
                fmt=RTCP_PSFB_APP,
                ssrc=self._ssrc,
                media_ssrc=0,
                fci=pack_remb_fci(self._uplink.bps, list(self._streams)),
            )
        )

    async def _decode(self) -> None:
        decoder: Decoder | None = None
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            while self._backlog and self.codec is not None:
                picture = self._backlog.popleft()
                if decoder is None or decoder.codec != self.codec:
                    decoder = Decoder(self.codec, self._max_pixels)
                try:
                    frames = await loop.run_in_executor(self._threads, decoder.decode, picture)
                except av.FFmpegError:
                    self.errors += 1
                    self._buffer.broke(time.monotonic())
                    continue
                for frame in frames:
                    self._hand_on(frame)
            self._arrived.clear()
