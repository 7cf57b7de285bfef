"""audio, receiver ⇄ **red**: each packet of sound carries the one before as well (RFC 2198).

What was lost is there 20 ms later, whatever the round trip. Browsers play and send this for Opus.
"""

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import av
from aiortc import RTCDtlsTransport
from aiortc.codecs.base import Encoder as Packetizer
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtp import RtcpReceiverInfo, RtpPacket

from streamer.webrtc.rtp_sender import RtpSender

NAME = "red"
OFFSET_MAX, LENGTH_MAX = (1 << 14) - 1, (1 << 10) - 1  # RFC 2198, 3
SEEN_MAX = 128  # packets of the near past that are known
LOSS = 3 / 256  # of packets: with less, one copy is enough ...
LOSSY_S = 30.0  # ... and for so long after


def split(payload: bytes, clock: int) -> list[tuple[int, bytes]]:
    """The packets inside, each with its RTP time, oldest first. Raises ValueError."""
    heads: list[tuple[int, int]] = []
    position = 0
    while position < len(payload) and payload[position] & 0x80:
        if position + 4 > len(payload):
            raise ValueError("a truncated header")
        (head,) = struct.unpack_from("!L", payload, position)
        heads.append((head >> 10 & OFFSET_MAX, head & LENGTH_MAX))
        position += 4
    position += 1  # the last header, of the primary packet
    found: list[tuple[int, bytes]] = []
    for offset, length in heads:
        found.append(((clock - offset) % (1 << 32), payload[position : position + length]))
        position += length
    if position > len(payload):
        raise ValueError("a truncated block")
    return [*found, (clock, payload[position:])]


class Unseen:
    """Tells which packets are new, by their RTP time."""

    def __init__(self) -> None:
        self._clocks: deque[int] = deque(maxlen=SEEN_MAX)

    def is_new(self, clock: int) -> bool:
        if clock in self._clocks:
            return False
        self._clocks.append(clock)
        return True


class AudioSender(RtpSender):
    """Sends sound; twice to who loses some of it and can read that."""

    def __init__(self, track: MediaStreamTrack, transport: RTCDtlsTransport) -> None:
        super().__init__(track, transport)
        self._red_type: int | None = None
        self._lossy_until = float("-inf")
        self._is_lossy = False
        self._before: tuple[int, bytes] | None = None  # clock and payload

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        self._red_type = next((c.payloadType for c in parameters.codecs if is_red(c)), None)
        await super().send(parameters)

    def _on_report(self, report: RtcpReceiverInfo, now: float) -> None:
        super()._on_report(report, now)
        if report.fraction_lost / 256 > LOSS:
            self._lossy_until = now + LOSSY_S
        self._is_lossy = now < self._lossy_until

    def _packets_of(
        self, packet: "av.Packet[Any]", packetizer: Packetizer, payload_type: int
    ) -> Iterator[RtpPacket]:
        for rtp in super()._packets_of(packet, packetizer, payload_type):
            plain, before = rtp.payload, self._before
            self._before = rtp.timestamp, plain
            if self._red_type is not None and self._is_lossy and before is not None:
                offset = (rtp.timestamp - before[0]) % (1 << 32)
                if offset <= OFFSET_MAX and len(before[1]) <= LENGTH_MAX:
                    head = 0x80000000 | payload_type << 24 | offset << 10 | len(before[1])
                    rtp.payload = struct.pack("!LB", head, payload_type) + before[1] + plain
                    rtp.payload_type = self._red_type
            yield rtp


def is_red(codec: RTCRtpCodecParameters) -> bool:
    return codec.name.lower() == NAME
