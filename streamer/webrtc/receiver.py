"""browser → **receiver** → peer: video packets in, decoded frames out.

Packets become pictures in `rtp`, pictures frames in a thread; what is lost is asked for again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

import av
from aiortc import RTCDtlsTransport, clock
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
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

from streamer.frame import Frame
from streamer.webrtc.bandwidth import Uplink, UplinkEstimator
from streamer.webrtc.capture_time import captured_ms
from streamer.webrtc.codecs import Codec, Decoder
from streamer.webrtc.jitter_buffer import (
    Encoded,
    JitterBuffer,
    MediaClock,
    Packet,
    h264_keyframe,
    vp8_keyframe,
)
from streamer.webrtc.rtp_receive import Receiver

BACKLOG_MAX = 12  # encoded pictures waiting for the decoder
PLI_EVERY_S = 0.3
KEYFRAME_TESTS = {"VP8": vp8_keyframe, "H264": h264_keyframe}


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
        self._dropped = 0
        self._hand_on = take
        self._threads = threads
        self._max_pixels = max_pixels
        self._uplink = UplinkEstimator(uplink)
        self._clock = MediaClock()  # of all streams there will be: time goes on
        self._buffer = JitterBuffer(vp8_keyframe, self._clock)
        self._source: int | None = None
        self._backlog: deque[Encoded] = deque()
        self._arrived = asyncio.Event()
        self._asked_at = 0.0
        self._report_of_sender: RtcpSenderInfo | None = None

    @property
    def lost(self) -> int:
        """Pictures that never reached the decoder."""
        return self._dropped + self._buffer.lost

    @property
    def uplink_bps(self) -> int:
        """What the sender was told it may send."""
        return self._uplink.bps

    def captured_ms(self, pts: int) -> float | None:
        """Unix milliseconds, on the sender's clock, at which it captured the picture of this pts.

        By its last sender report (RFC 3550, 6.4.1); None until there is one.
        """
        rtp, report = self._clock.rtp(pts), self._report_of_sender
        if rtp is None or report is None:
            return None
        return captured_ms(rtp, report.ntp_timestamp, report.rtp_timestamp)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and packet.ssrc == self._source:
            self._report_of_sender = packet.sender_info

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
            self._begin("VP8" if codec.name == "VP8" else "H264", packet.ssrc, now)
        try:
            data = depayload(codec, packet.payload) if packet.payload else b""
        except ValueError:
            self.errors += 1
            return
        part = Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), data, now)
        for picture in self._buffer.add(part):
            self._push(picture)
        await self._repair(now)

    def _begin(self, codec: Codec, source: int, now: float) -> None:
        """Another stream instead of the one so far, if any."""
        self.codec, self._source = codec, source
        self._report_of_sender = None
        self._dropped = self.lost + len(self._backlog)
        self._buffer = JitterBuffer(KEYFRAME_TESTS[codec], self._clock)
        self._backlog.clear()
        self._asked_at = now  # a stream begins with a keyframe: let it arrive

    def _push(self, picture: Encoded) -> None:
        if len(self._backlog) >= BACKLOG_MAX:
            self._dropped += len(self._backlog)
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
                except (av.FFmpegError, ValueError):
                    self.errors += 1
                    self._buffer.broke(time.monotonic())
                    continue
                for frame in frames:
                    self._hand_on(frame)
            self._arrived.clear()
