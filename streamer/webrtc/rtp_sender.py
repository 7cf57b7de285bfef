"""sender → **rtp_sender** → network: encoded packets of a track as RTP, and again when asked for.

In the place of aiortc's RTCRtpSender, which keeps 128 packets, repeats each as often as it is asked
for, sends what it has in one burst, and takes no notice of what arrives.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import av
from aiortc import RTCDtlsTransport, clock
from aiortc.codecs import get_encoder, is_rtx
from aiortc.codecs.base import Encoder as Packetizer
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    HeaderExtensionsMap,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    RtpPacket,
    wrap_rtx,
)
from aiortc.stats import RTCStatsReport
from aiortc.utils import random16, random32, uint16_add, uint32_add

from streamer.webrtc.history import History
from streamer.webrtc.transport_feedback import Feedback

log = logging.getLogger(__name__)

HEADER = 40  # bytes of a packet beside its payload, about: IP, UDP, RTP, extensions, SRTP
RTT_SMOOTHING = 0.25
WAITING_AGAIN_MAX = 1000  # packets asked for again that have not left


class RtpSender:
    """One outgoing RTP stream and its sender reports (RFC 3550, 6.4.1).

    The methods in camelCase, and those on packets, are the ones that aiortc calls.
    """

    def __init__(self, track: MediaStreamTrack, transport: RTCDtlsTransport) -> None:
        self.kind = track.kind
        self.transport = transport
        self.track: MediaStreamTrack | None = track
        self.rtt_s: float | None = None
        self.history = History()
        self.on_failure: Callable[[BaseException], None] = lambda error: None
        self._media = track
        self._track_id = track.id
        self._stream_id = ""
        self._ssrc, self._rtx_ssrc = random32(), random32()
        self._enabled = True
        self._extensions = HeaderExtensionsMap()
        self._mid = ""
        self._cname = ""
        self._rtx_type: int | None = None
        # In the lower half, so that the first wrap comes late enough for SRTP's roll-over counter.
        self._sequence, self._rtx_sequence = random16() % 32768, random16() % 32768
        self._origin = random32()
        self._again: deque[RtpPacket] = deque()
        self._asked = asyncio.Event()
        self._frame_clock, self._frame_ntp = 0, 0  # of the newest frame, before its packets wait
        self.put = 0  # packets, repeated ones too
        self._packets = self._octets = 0
        self._reported = 0, 0.0  # middle of the NTP time of the last report, and when it left
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def started(self) -> bool:
        return bool(self._tasks)

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport

    async def getStats(self) -> RTCStatsReport:
        return RTCStatsReport()

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Start; RTCPeerConnection calls this several times."""
        if self._tasks:
            return
        codec = next(c for c in parameters.codecs if c.name.lower() != "red")
        self._cname, self._mid = parameters.rtcp.cname or "", parameters.muxId
        self._rtx_type = next(
            (
                one.payloadType
                for one in parameters.codecs
                if is_rtx(one) and one.parameters["apt"] == codec.payloadType
            ),
            None,
        )
        self._extensions.configure(parameters)
        self.transport._register_rtp_sender(self, parameters)
        for loop in (self._media_loop(codec), self._again_loop(), self._report_loop()):
            self._own(loop)

    async def stop(self) -> None:
        if not self._tasks:
            return
        self.transport._unregister_rtp_sender(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._send_rtcp([RtcpByePacket(sources=[self._ssrc])])

    def on_feedback(self, feedback: Feedback, now: float) -> None:
        """What the other side says about packets of this transport."""

    def _own(self, loop: Coroutine[Any, Any, None]) -> None:
        """Run a task that lasts as long as this sender; its failure is one of the connection."""
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, ConnectionError | MediaStreamError):
            self.on_failure(error)

    async def _media_loop(self, codec: RTCRtpCodecParameters) -> None:
        """Send what the track gives, one frame after the other has left."""
        packetizer = get_encoder(codec)
        try:
            while True:
                packet = await self._media.recv()
                if self._enabled and isinstance(packet, av.Packet):
                    for rtp in self._packets_of(packet, packetizer, codec.payloadType or 0):
                        await self._repeat()
                        await self._pace(len(rtp.payload) + HEADER)
                        await self._send_media(rtp)
        finally:
            self._media.stop()

    def _packets_of(
        self, packet: "av.Packet[Any]", packetizer: Packetizer, payload_type: int
    ) -> Iterator[RtpPacket]:
        try:
            payloads, timestamp = packetizer.pack(packet)
        except Exception:  # would end the sender for good
            self._unusable()
            log.exception("x a frame could not be packetized")
            return
        self._frame_clock = uint32_add(self._origin, timestamp)
        self._frame_ntp = clock.current_ntp_time()
        for index, payload in enumerate(payloads):
            rtp = RtpPacket(
                payload_type=payload_type,
                marker=int(index == len(payloads) - 1 and self.kind == "video"),
                sequence_number=self._sequence,
                timestamp=self._frame_clock,
                ssrc=self._ssrc,
                payload=payload,
            )
            rtp.extensions.mid = self._mid
            self._sequence = uint16_add(self._sequence, 1)
            yield rtp

    async def _send_media(self, rtp: RtpPacket) -> None:
        self.history.add(rtp, time.monotonic())
        await self._put(rtp)
        self._packets += 1
        self._octets += len(rtp.payload)

    async def _again_loop(self) -> None:
        """Send again what was asked for, also while no frame is sent."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._repeat()

    async def _repeat(self) -> None:
        """Send all that wait to be sent again: the other side waits for them most."""
        while self._again:
            rtp = self._again.popleft()
            await self._pace(len(rtp.payload) + HEADER)
            if self._rtx_type is not None:
                rtp = wrap_rtx(rtp, self._rtx_type, self._rtx_sequence, self._rtx_ssrc)
                self._rtx_sequence = uint16_add(self._rtx_sequence, 1)
            await self._put(rtp)

    async def _put(self, rtp: RtpPacket) -> None:
        rtp.extensions.abs_send_time = (clock.current_ntp_time() >> 14) & 0x00FFFFFF
        await self.transport._send_rtp(rtp.serialize(self._extensions))
        self.put += 1

    async def _pace(self, size: int) -> None:
        """Wait until a packet of `size` bytes may leave."""

    def _target_bps(self) -> float:
        """What the path takes."""
        return float("inf")

    def _want_keyframe(self) -> None:
        """The other side cannot go on without one."""

    def _unusable(self) -> None:
        """A frame was left out."""

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        now = time.monotonic()
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self._on_report(report, now)
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._on_nack(packet.lost, now)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in (RTCP_PSFB_FIR, RTCP_PSFB_PLI):
            self._want_keyframe()

    def _on_report(self, report: RtcpReceiverInfo, now: float) -> None:
        """Round trip (RFC 3550, 6.4.1): since the sender report that it answers, less its delay."""
        if report.lsr != self._reported[0] or not report.dlsr:
            return
        rtt_s = max(0.0, now - self._reported[1] - report.dlsr / 65536)
        if self.rtt_s is None:
            self.rtt_s = rtt_s
        self.rtt_s += RTT_SMOOTHING * (rtt_s - self.rtt_s)

    def _on_nack(self, lost: list[int], now: float) -> None:
        gone = self.history.gone
        packets = self.history.again(
            lost, now, rtt_s=self.rtt_s or 0.1, target_bps=self._target_bps()
        )
        if self.history.gone > gone:
            self._want_keyframe()
        if len(self._again) + len(packets) <= WAITING_AGAIN_MAX:
            self._again.extend(packets)
            self._asked.set()

    async def _report_loop(self) -> None:
        """Send sender reports, at random intervals around a second (RFC 3550)."""
        while True:
            await asyncio.sleep(0.5 + random.random())
            if self._packets:
                await self._send_rtcp([self._report(), *self._names()])

    def _report(self) -> RtcpSrPacket:
        info = RtcpSenderInfo(
            ntp_timestamp=self._frame_ntp,
            rtp_timestamp=self._frame_clock,
            packet_count=self._packets & 0xFFFFFFFF,
            octet_count=self._octets & 0xFFFFFFFF,
        )
        self._reported = (self._frame_ntp >> 16) & 0xFFFFFFFF, time.monotonic()
        return RtcpSrPacket(ssrc=self._ssrc, sender_info=info)

    def _names(self) -> list[AnyRtcpPacket]:
        items = [(1, self._cname.encode())]
        return [RtcpSdesPacket(chunks=[RtcpSourceInfo(ssrc=self._ssrc, items=items)])]

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        try:
            await self.transport._send_rtp(b"".join(bytes(packet) for packet in packets))
        except ConnectionError:
            return
