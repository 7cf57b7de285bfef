"""container → **clock** → decode, passthrough: one time line for all streams of a file.

It starts at 0 and does not jump, as FFmpeg's own tools have it (`ts_discontinuity_process` in
fftools/ffmpeg_demux.c): files that were joined, spliced or recorded across a clock's restart or
wrap play on where they were, every stream moved by the same amount.
"""

from __future__ import annotations  # Packet takes type arguments in its stub only

from collections.abc import Generator, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Final, TypeVar

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from streamer.files.container import is_cover, readable

T = TypeVar("T")

CLOCKS_JUMP: Final = 0x0200  # AVFMT_TS_DISCONT, of formats whose clocks may start anew
JUMP_S: Final = 10  # forward or back from where a stream was expected
BACK_S: Final = Fraction(1, 10)  # back from where a stream was
NONSENSE_S: Final = 30 * 3600  # in a format whose clock never jumps
PRIMING_S: Final = Fraction(1, 10)  # audio that is decoded and not heard may come before 0
HELD: Final = 8  # frames whose times are wrong and that wait for one whose time is right


class Clock:
    """The time line of one reading of a file from its beginning."""

    def __init__(self, container: InputContainer) -> None:
        start_s = Fraction(container.start_time or 0, av.time_base)
        self.start_s = Fraction(0) if -PRIMING_S < start_s < 0 else start_s
        self.jumps = bool(container.format.flags & CLOCKS_JUMP)
        self._container = container
        self._offsets_s = [-self.start_s]  # one more for each jump
        self._epochs: dict[int, int] = {}  # which of them a stream has come to
        self._last_s: dict[int, Fraction] = {}
        self._due_s: dict[int, Fraction] = {}  # when the next packet of a stream is expected
        self._newest_s: Fraction | None = None

    def packets(self, streams: Sequence[Stream]) -> Iterator[Packet[Stream] | None]:
        """Packets of `streams`, moved; None for each place that is damaged or cannot be read."""
        wanted = {stream.index for stream in streams}
        if self.jumps:  # which packet tells of a jump must not depend on what is wanted
            streams = [s for s in self._container.streams if s.index in wanted or _is_timed(s)]
        suspects: dict[int, tuple[int, int]] = {}  # streams that look damaged: epoch, packets since
        for packet in readable(self._container, streams):
            if packet is None:
                yield None
                continue
            self._move(packet)
            if (stream := packet.stream_index) not in wanted:
                continue
            epoch = self._epochs.get(stream, 0)
            before, since = suspects.pop(stream, (epoch, 0))
            if packet.is_corrupt:
                suspects[stream] = epoch, 1
            elif since == 1:  # parsers hold one frame back
                suspects[stream] = before, 2
            if since == 2 and before == epoch:  # else only cut off, where files were joined
                yield None
            yield packet
        yield from (None for _ in suspects)

    def _move(self, packet: Packet[Stream]) -> None:
        stream, stamp = packet.stream, packet.pts if packet.dts is None else packet.dts
        if stamp is None or (isinstance(stream, VideoStream) and is_cover(stream)):
            return
        said_s = stamp * packet.time_base
        timed = _is_timed(stream)
        due_s = self._due_s.get(stream.index) if timed else None
        epoch = self._epoch_of(stream.index, said_s, self._newest_s if due_s is None else due_s)
        now_s = said_s + self._offsets_s[epoch]
        if timed:
            if self._is_jump(stream.index, now_s, due_s):
                if not self.jumps:
                    packet.dts = packet.pts = None
                    return
                due_s = self._newest_s if due_s is None else due_s
                assert due_s is not None
                epoch = self._jump(stream.index, due_s - said_s)
                now_s = said_s + self._offsets_s[epoch]
            self._epochs[stream.index] = epoch
            self._last_s[stream.index] = self._newest_s = now_s
            self._due_s[stream.index] = now_s + _duration_s(packet)
        ticks = round(self._offsets_s[epoch] / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks

    def _jump(self, stream: int, offset_s: Fraction) -> int:
        """The epoch that begins where a stream jumps.

        It is the newest when another stream has come to the same joint before. All that follows
        moves as far as the stream that ended last has to, so that the streams stay in step.
        """
        newest = len(self._offsets_s) - 1
        known_s = self._offsets_s[newest]
        if self._epochs.get(stream, newest) < newest and abs(offset_s - known_s) < JUMP_S:
            self._offsets_s[newest] = max(known_s, offset_s)
        else:
            self._offsets_s.append(offset_s)
        return len(self._offsets_s) - 1

    def _epoch_of(self, stream: int, said_s: Fraction, due_s: Fraction | None) -> int:
        """The nearest to what is expected: after a jump, some streams still send older packets."""
        newest = len(self._offsets_s) - 1
        if due_s is None or newest == 0:
            return newest
        epochs = range(newest, self._epochs.get(stream, 0) - 1, -1)
        return min(epochs, key=lambda epoch: abs(said_s + self._offsets_s[epoch] - due_s))

    def _is_jump(self, stream: int, now_s: Fraction, due_s: Fraction | None) -> bool:
        if not self.jumps:
            return due_s is not None and abs(now_s - due_s) > NONSENSE_S
        if due_s is None:
            return self._newest_s is not None and abs(now_s - self._newest_s) > JUMP_S
        return abs(now_s - due_s) > JUMP_S or now_s + BACK_S < self._last_s[stream]


def _is_timed(stream: Stream) -> bool:
    return stream.type == "audio" or (isinstance(stream, VideoStream) and not is_cover(stream))


def _duration_s(packet: Packet[Stream]) -> Fraction:
    if packet.duration:
        return packet.duration * packet.time_base
    stream = packet.stream
    rate = stream.average_rate if isinstance(stream, VideoStream) else None
    return 1 / rate if rate else Fraction(0)


def from_keyframe(
    packets: Iterable[Packet[Stream] | None], pts: int, most: int = 2000
) -> Iterator[Packet[Stream] | None]:
    """Leave out what lies before the last keyframe at or before `pts`; at most `most` wait."""
    waiting: list[Packet[Stream] | None] = []
    rest = iter(packets)
    for packet in rest:
        if packet is not None and packet.pts is not None:
            if packet.is_keyframe and packet.pts <= pts:
                waiting.clear()
            if packet.pts >= pts or len(waiting) >= most:
                waiting.append(packet)
                break
        waiting.append(packet)
    yield from waiting
    yield from rest


class BestEffort:
    """The time of a decoded frame: its pts or its dts, whichever went back less often so far.

    As FFmpeg's decoders guess it (`guess_correct_pts`); some files have only one that is right.
    """

    def __init__(self) -> None:
        self._last: list[int | None] = [None, None]
        self._faults = [0, 0]

    def __call__(self, pts: int | None, dts: int | None) -> int | None:
        for kind, stamp in enumerate((pts, dts)):
            if stamp is not None:
                last = self._last[kind]
                self._faults[kind] += last is not None and stamp <= last
                self._last[kind] = stamp
        if pts is not None and (dts is None or self._faults[0] <= self._faults[1]):
            return pts
        return dts


def growing(frames: Iterable[tuple[T, int | None, int]], step: int) -> Iterator[tuple[T, int, int]]:
    """Frames with pts that grow; given are frame, pts (None: unknown) and duration (0: unknown).

    Frames without a time follow each other. Those whose time does not grow share the time up to
    the next one that does, so that nothing runs late for good.
    """
    last: int | None = None
    due = 0
    held: list[tuple[T, int]] = []
    for frame, said, duration in frames:
        pts = due if said is None and not held else said
        if last is not None and (pts is None or pts <= last):
            held.append((frame, duration))
            if len(held) > HELD:
                last = yield from _spread(held, last, step)
        else:
            assert pts is not None
            if last is not None:  # in coarse ticks there may be too few for all that are held
                last = yield from _spread(held, last, Fraction(pts - last, len(held) + 1))
            last = pts if last is None else max(pts, last + 1)
            yield frame, last, duration
        due = last + (duration or step)
    if last is not None:
        yield from _spread(held, last, step)


def _spread(
    held: list[tuple[T, int]], after: int, step: int | Fraction
) -> Generator[tuple[T, int, int], None, int]:
    """Empties `held`; returns the pts of its last."""
    last = after
    for number, (frame, duration) in enumerate(held, 1):
        last = max(last + 1, after + int(number * step))
        yield frame, last, duration
    held.clear()
    return last
