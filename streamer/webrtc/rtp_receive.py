"""browser → **receiver** → peer: RTP packets in, with the reports that RTCP wants of us.

Stands where aiortc's RTCRtpReceiver stands, which cannot be bent into this shape: its decoder
thread reads from a queue without a bound, feeds another one, and is joined on the event loop.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from aiortc import RTCDtlsTransport
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    RtpPacket,
    unwrap_rtx,
)
from aiortc.stats import RTCStatsReport

from streamer.frame import AudioPacket


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
        self._codecs = {c.payloadType: c for c in parameters.codecs if c.payloadType is not None}
        self._retransmits = {e.rtx.ssrc: e.ssrc for e in parameters.encodings if e.rtx}
        self.transport._register_rtp_receiver(self, parameters)
        self._start()

    def _start(self) -> None:
        self._tasks.append(asyncio.create_task(self._report()))

    async def stop(self) -> None:
        self.transport._unregister_rtp_receiver(self)
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
            ssrc, base = self._retransmits.get(packet.ssrc), self._base(codec)
            if ssrc is None or base is None or len(packet.payload) < 2:
                return
            packet, codec = unwrap_rtx(packet, payload_type=base.payloadType or 0, ssrc=ssrc), base
        await self._take(packet, codec, now)

    def _base(self, codec: RTCRtpCodecParameters) -> RTCRtpCodecParameters | None:
        """The codec that a codec of retransmissions repeats."""
        repeats = codec.parameters.get("apt")
        return self._codecs.get(repeats) if isinstance(repeats, int) else None

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

    def __init__(self, transport: RTCDtlsTransport, take: Callable[[AudioPacket], None]) -> None:
        super().__init__(transport)
        self._hand_on = take

    async def _take(self, packet: RtpPacket, codec: RTCRtpCodecParameters, now: float) -> None:
        agreed = next(iter(self._codecs.values()))
        if packet.payload and codec is agreed:  # what we send is declared to be of this codec
            self._hand_on(AudioPacket(packet.payload, packet.timestamp, now))
