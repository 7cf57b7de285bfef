"""Sound that is late on purpose; frames that wait for an encoder; keyframes that are rationed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from aiortc.mediastreams import MediaStreamError

from streamer.frame import Frame, Sound
from streamer.webrtc.codecs import CLOCK, Bitrate
from streamer.webrtc.sender import DELAY_MAX_S, SLEW, SOUND_MAX, AudioTrack, DelayLine, VideoTrack
from tests.support.clips import number_frame
from tests.support.waiting import eventually

PACKET_S = 0.02


def sound(i: int) -> Sound:
    return Sound(b"%d" % i, i * 960, i * PACKET_S)


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
    for i in range(SOUND_MAX + 10):
        line.put(sound(i))
    assert line.dropped == 10
    assert line.pop().data == b"10"


async def test_the_track_keeps_the_time_between_packets() -> None:
    track = AudioTrack()
    track.negotiated(48_000)
    for clock in (2**32 - 960, 0, 2880):  # wraps, then a pause
        track.put(Sound(b"x", clock, 0.0))
    packets = [await track.recv() for _ in range(3)]
    assert [packet.pts for packet in packets] == [0, 960, 3840]
    track.set_delay(1e9)
    assert track._line.target_s == DELAY_MAX_S
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


def frame(n: int) -> Frame:
    return Frame(number_frame(n, 160, 96), n * 3000, CLOCK, 0.0)


async def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("VP8")
        for n in range(5):
            await track.send(frame(n))
        packet = await track.recv()
        assert packet.pts == 4 * 3000
        assert (track.frames.dropped, track.sent, track.keyframes) == (4, 1, 1)
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_keyframes_on_demand_are_rationed(codec: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("VP8" if codec == "VP8" else "H264")
        for n in range(30):
            track.want_keyframe()  # with every single frame
            await track.send(frame(n))
            await track.recv()
            await asyncio.sleep(0.01)
        assert 2 <= track.keyframes <= 5
        track.stop()


async def test_a_frame_that_cannot_be_encoded_does_not_end_the_stream() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("H264")
        too_wide = Frame(number_frame(0, 20_000, 32), 0, CLOCK, 0.0)
        await track.send(too_wide)
        receiving = asyncio.create_task(track.recv())
        await eventually(lambda: track.errors)
        await track.send(frame(1))
        assert (await receiving).pts == 3000
        track.stop()


def test_estimates_are_bounded() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(1_000_000, 500_000, 2_000_000), threads)
        assert track.target_bps == 1_000_000
        track.estimate(10**9)
        assert track.target_bps == 2_000_000
        track.estimate(1)
        assert track.target_bps == 500_000
