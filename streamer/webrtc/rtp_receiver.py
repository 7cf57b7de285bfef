"""network → **rtp_receiver** → receiver: one incoming RTP stream, and its receiver reports.

These classes take the place of aiortc's RTCRtpReceiver, whose decoder thread reads from a queue
without a bound, feeds another one, and is joined on the event loop.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

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

STREAMS_MAX = 4  # SSRCs with statistics; a sender with more makes them up


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


def _apt(codec: RTCRtpCodecParameters) -> int:
    """The payload type that a codec of retransmissions repeats (RFC 4588, 8.6); -1: none."""
    apt = codec.parameters.get("apt")
    return apt if isinstance(apt, int) else -1
