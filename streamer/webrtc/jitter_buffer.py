"""receiver → **jitter_buffer** → codecs: RTP packets in any order → encoded frames in order.

aiortc's jitter buffer releases a frame when the first packet of the *next* one arrives, which
costs a frame interval (33 ms at 30 fps), and can wait for a lost packet for ever. This one uses
the marker bit, requests what is missing (`Repair`), gives it up in time, and then waits for a
keyframe.
Pure: `now` (monotonic seconds) is an argument.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from streamer.frame import VIDEO_CLOCK_HZ
from streamer.webrtc.repair import Repair

PATIENCE_S = 1.0  # without a keyframe after a loss: some senders (OBS) never answer a PLI
CAPACITY = 2048  # packets waiting or in one frame; a 1080p keyframe has about 500
JUMP_MAX = 3000  # a larger step in sequence numbers: the sender has restarted (RFC 3550, A.1)
STEP_MAX = 10 * VIDEO_CLOCK_HZ  # media time never jumps farther than this between frames
FIRST_STEP = VIDEO_CLOCK_HZ // 30
REORDER_MAX = 2 * VIDEO_CLOCK_HZ  # how far B-frames go back in media time ...
REORDERED_MAX = 16  # ... and how many follow each other (H.264, A.3.1: 16 frames at most)


@dataclass(frozen=True, slots=True)
class Packet:
    """The part of an RTP packet that matters here; `data` is the depayloaded piece."""

    seq: int
    clock: int  # RTP time, 32 bits
    marker: bool
    data: bytes
    arrived_at: float
    is_rtx: bool = False  # a retransmission that says so (RFC 4588)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One complete encoded frame; `pts` counts 1/90000 s from the first one."""

    data: bytes
    pts: int
    arrived_at: float  # monotonic, when its last packet came
    keyframe: bool


class MediaClock:
    """RTP times, 32 bits with wraps and restarts, as a pts that starts at 0 and only grows.

    With B-frames (`reorders`) it grows in the order of presentation.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._pts = 0
        self._behind = 0  # frames in a row

    def pts(self, clock: int, reorders: bool = False) -> int:
        """The pts of the next frame in decoding order."""
        if self._last is not None:
            step = (clock - self._last + (1 << 31)) % (1 << 32) - (1 << 31)
            if reorders and -REORDER_MAX < step < 0 and self._behind < REORDERED_MAX:
                self._behind += 1
                return self._pts + step
            self._pts += step if 0 < step < STEP_MAX else FIRST_STEP
        self._behind = 0
        self._last = clock
        return self._pts

    def rtp(self, pts: int) -> int | None:
        """The RTP time of a pts since the last restart; None before the first frame."""
        return None if self._last is None else (self._last + pts - self._pts) % (1 << 32)


class JitterBuffer:
    """Packets of one video stream in any order → complete frames in order.

    After a loss, and at the start, only a keyframe opens the gate again (`wants_keyframe`);
    once a first one has been seen the gate also opens by itself after `PATIENCE_S`.
    """

    def __init__(
        self,
        is_keyframe: Callable[[bytes], bool],
        clock: MediaClock,
        *,
        join: Callable[[Sequence[bytes]], bytes] = b"".join,
        reorders: bool = False,
    ) -> None:
        self.lost = 0  # frames given up on
        self.wants_keyframe = True
        self._is_keyframe = is_keyframe
        self._join = join
        self._reorders = reorders
        self._clock = clock
        self._next: int | None = None  # sequence number, unwrapped
        self._parts: list[Packet] = []  # of the frame being assembled
        self._waiting: dict[int, Packet] = {}  # beyond a gap, oldest arrival first
        self._broken_at: float | None = None  # None: no keyframe seen yet
        self._highest = -1
        self._repair = Repair()

    def add(self, packet: Packet) -> list[EncodedFrame]:
        """Add a packet; the frames it completes (mostly none or one)."""
        index = self._place(packet)
        self._repair.came(index, packet.is_rtx, packet.arrived_at)
        if self._next is None or index < self._next:
            return []
        self._waiting[index] = packet
        if index > self._highest:
            self._repair.gap(range(self._highest + 1, index), packet.arrived_at)
            self._highest = index
        frames = list(self._collect())
        while self._stuck(packet.arrived_at):
            self._skip(packet.arrived_at)
            frames += self._collect()
        return frames

    def broke(self, now: float) -> None:
        """A frame was dropped, or the decoder could not use it."""
        self.wants_keyframe = True
        if self._broken_at is not None:
            self._broken_at = now

    def missing(self, now: float) -> list[int]:
        """Sequence numbers (16 bits) to request again; empty most of the time."""
        if not self._waiting or self._next is None:
            return []
        return [index & 0xFFFF for index in self._repair.due(now, self._next)]

    def _place(self, packet: Packet) -> int:
        if self._next is None:
            self._next, self._highest = packet.seq, packet.seq - 1
        delta = (packet.seq - self._next + (1 << 15)) % (1 << 16) - (1 << 15)
        if abs(delta) > JUMP_MAX:
            self._waiting.clear()
            self._parts.clear()
            self.broke(packet.arrived_at)
            self._next, delta = packet.seq, 0
            self._highest = packet.seq - 1
            self._repair.clear()
        return self._next + delta

    def _collect(self) -> Iterator[EncodedFrame]:
        """Move packets that follow without a gap into the frame being assembled."""
        while self._next is not None and self._next in self._waiting:
            packet = self._waiting.pop(self._next)
            self._next += 1
            if self._parts and packet.clock != self._parts[0].clock:  # no marker was set
                yield from self._finish()
            self._parts.append(packet)
            if packet.marker:
                yield from self._finish()

    def _finish(self) -> Iterator[EncodedFrame]:
        parts, self._parts = self._parts, []
        if not any(part.data for part in parts):  # padding, sent to probe the bandwidth
            return
        last = max(part.arrived_at for part in parts)
        try:
            data = self._join([part.data for part in parts])
        except ValueError:
            self.broke(last)
            data = b""
        keyframe = self._is_keyframe(data)
        if data and self._passes(keyframe, last):
            pts = self._clock.pts(parts[0].clock, self._reorders)
            yield EncodedFrame(data, pts, last, keyframe)
        else:
            self.lost += 1

    def _passes(self, keyframe: bool, now: float) -> bool:
        if not self.wants_keyframe:
            return True
        if keyframe:
            self.wants_keyframe, self._broken_at = False, now
            return True
        return self._broken_at is not None and now - self._broken_at > PATIENCE_S

    def _stuck(self, now: float) -> bool:
        if len(self._parts) > CAPACITY or len(self._waiting) > CAPACITY:
            return True
        oldest = next(iter(self._waiting.values()), None)
        return oldest is not None and now - oldest.arrived_at > self._repair.hold_s

    def _skip(self, now: float) -> None:
        """Give up on what is missing; continue behind the next end of a frame."""
        self.lost += 1
        self.broke(now)
        self._parts.clear()
        for index in sorted(self._waiting):
            packet = self._waiting.pop(index)
            self._next = index + 1
            if packet.marker:
                break
