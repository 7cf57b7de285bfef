"""receiver → **audio** → browser: encoded audio, passed on in step with its video."""

import asyncio
import time
from collections import deque
from fractions import Fraction
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from streamer.frame import AudioPacket

WAITING_MAX = 250  # packets: five seconds
DELAY_MAX_S = 2.0
SLEW = 0.05  # seconds per second: browsers stretch audio by that much inaudibly


class DelayLine:
    """Holds audio back until its video is ready. Pure: `now` is monotonic seconds.

    The delay moves slowly towards its target, so that the receiver can stretch what it plays.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.target_s = 0.0
        self._delay_s: float | None = None
        self._moved_at = 0.0
        self._waiting: deque[AudioPacket] = deque()

    def put(self, packet: AudioPacket) -> None:
        """Add a packet; drops the oldest one when too many wait."""
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(packet)

    def due_in(self, now: float) -> float | None:
        """Seconds until the next packet leaves, ≤ 0 when it is due; None when none waits."""
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
    """The audio that came in, unchanged but delayed (`set_delay`)."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._line = DelayLine()
        self._changed = asyncio.Event()
        self._origin: int | None = None
        self._time_base = Fraction(1, 48_000)

    def negotiated(self, clock_hz: int) -> None:
        self._time_base = Fraction(1, clock_hz)

    def set_delay(self, delay_s: float) -> None:
        self._line.target_s = max(0.0, min(delay_s, DELAY_MAX_S))

    def put(self, packet: AudioPacket) -> None:
        self._line.put(packet)
        self._changed.set()

    async def recv(self) -> "av.Packet[Any]":
        """The next packet, for aiortc."""
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

    def _packet(self, packet: AudioPacket) -> "av.Packet[Any]":
        if self._origin is None:
            self._origin = packet.clock
        out = av.Packet(packet.data)
        out.pts, out.time_base = (packet.clock - self._origin) % (1 << 32), self._time_base
        return out

    def stop(self) -> None:
        super().stop()
        self._changed.set()
