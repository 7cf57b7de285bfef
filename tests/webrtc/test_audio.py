"""Audio that is delayed on purpose, to stay in step with its video."""

from itertools import pairwise

import pytest
from aiortc.mediastreams import MediaStreamError

from streamer.frame import AudioPacket
from streamer.webrtc.audio import DELAY_MAX_S, SLEW, WAITING_MAX, AudioTrack, DelayLine

PACKET_S = 0.02


def sound(i: int) -> AudioPacket:
    return AudioPacket(b"%d" % i, i * 960, i * PACKET_S)


def play(line: DelayLine, count: int, target_s: dict[int, float]) -> list[float]:
    """The delay each of `count` packets got; `target_s` is set when the packet of its key comes."""
    delays: list[float] = []
    for tick in range(count * 20 + 3000):  # of a millisecond
        now = tick / 1000
        if tick % 20 == 0 and tick // 20 < count:
            line.target_s = target_s.get(tick // 20, line.target_s)
            line.put(sound(tick // 20))
        while (wait_s := line.due_in(now)) is not None and wait_s <= 0:
            delays.append(now - line.pop().arrived_at)
    return delays


def test_sound_waits_as_long_as_its_picture() -> None:
    delays = play(DelayLine(), 50, {0: 0.15})
    assert len(delays) == 50
    assert delays == pytest.approx([0.15] * 50, abs=0.002)


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.25), (0.25, 0.05)])
def test_a_new_delay_is_approached_without_a_jump(before: float, after: float) -> None:
    delays = play(DelayLine(), 600, {0: before, 50: after})
    steps = [abs(b - a) for a, b in pairwise(delays)]
    assert max(steps) <= SLEW * PACKET_S * 1.2 + 0.002  # the clock here ticks in milliseconds
    assert delays[40] == pytest.approx(before, abs=0.005)
    assert delays[-1] == pytest.approx(after, abs=0.005)
    assert len(delays) == 600


def test_what_waits_is_bounded() -> None:
    line = DelayLine()
    line.target_s = 1e9
    for i in range(WAITING_MAX + 10):
        line.put(sound(i))
    assert line.dropped == 10
    assert line.pop().data == b"10"


async def test_the_track_keeps_the_time_between_packets() -> None:
    track = AudioTrack()
    track.negotiated(48_000)
    for clock in (2**32 - 960, 0, 2880):  # wraps, then a pause
        track.put(AudioPacket(b"x", clock, 0.0))
    packets = [await track.recv() for _ in range(3)]
    assert [packet.pts for packet in packets] == [0, 960, 3840]
    track.set_delay(1e9)
    assert track._line.target_s == DELAY_MAX_S
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
