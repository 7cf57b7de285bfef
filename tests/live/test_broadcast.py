"""Who takes a stream's frames: newest publisher first, one time for all, nobody left behind."""

import asyncio
import itertools

import pytest

from streamer.errors import NotLiveError
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, AudioPacket, Frame
from streamer.live.broadcast import AUDIO_CLOCK_HZ, Broadcast, Broadcasts
from streamer.pipeline.intake import Intake
from tests.support.fakes import numbered


class FakeAudioSink:
    def __init__(self) -> None:
        self.heard: list[AudioPacket] = []
        self.delay_s = 0.0

    def put(self, sound: AudioPacket) -> None:
        self.heard.append(sound)

    def set_delay(self, delay_s: float) -> None:
        self.delay_s = delay_s


def number(frame: Frame | None) -> int:
    assert frame is not None
    return int(frame.image.data[0])


async def test_every_tap_gets_the_newest_frame() -> None:
    broadcast, slow, quick = Broadcast("cam"), Intake[Frame](), Intake[Frame]()
    with broadcast.tap(slow), broadcast.tap(quick):
        for n in range(3):
            broadcast.publish("me", numbered(n), n / 30)
            assert number(quick.take()) == n
    broadcast.publish("me", numbered(9), 1.0)
    assert number(slow.take()) == 2
    assert (slow.received, slow.dropped) == (3, 2)
    assert number(broadcast.newest) == 9


async def test_of_two_publishers_the_newer_is_shown_and_then_the_older_again() -> None:
    broadcast, tap = Broadcast("cam"), Intake[Frame]()
    seen = []
    with broadcast.tap(tap):
        for publisher, n in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
            broadcast.publish(publisher, numbered(n), n / 30)
            seen.append(number(broadcast.newest))
        assert broadcast.is_active("b") and not broadcast.is_active("a")
        broadcast.leave("b")
        broadcast.publish("a", numbered(5), 0.2)
    assert (seen, number(broadcast.newest)) == ([1, 2, 2, 4], 5)
    broadcast.leave("a")
    assert broadcast.newest is None


async def test_time_goes_on_from_publisher_to_publisher() -> None:
    """By as much as passed; and a second of one is a second of the other."""
    broadcast, audio_sink = Broadcast("cam"), FakeAudioSink()
    pts = []
    with broadcast.listen(audio_sink):
        for publisher, own_pts, now in (("a", 900_000, 10.0), ("a", 903_000, 10.0), ("b", 7, 12.0)):
            broadcast.publish(publisher, numbered(1, pts=own_pts), now)
            assert broadcast.newest is not None
            assert broadcast.newest.time_base == VIDEO_TIME_BASE
            pts.append(broadcast.newest.pts)
            broadcast.publish_audio(publisher, AudioPacket(b"x", own_pts, now), now)
    assert [b - a for a, b in itertools.pairwise(pts)] == [3000, 2 * VIDEO_CLOCK_HZ]
    clocks = [sound.clock for sound in audio_sink.heard]
    assert [b - a for a, b in itertools.pairwise(clocks)] == [3000, 2 * AUDIO_CLOCK_HZ]


async def test_only_the_shown_publisher_is_heard_and_sets_the_delay() -> None:
    broadcast, audio_sink = Broadcast("cam"), FakeAudioSink()
    with broadcast.listen(audio_sink):
        for publisher in ("a", "b"):
            broadcast.publish(publisher, numbered(0), 0.0)
        for publisher, latency_s in (("a", 0.9), ("b", 0.2), ("a", 0.9)):
            broadcast.publish_audio(publisher, AudioPacket(publisher.encode(), 0, 0.0), 0.0)
            broadcast.set_latency(publisher, latency_s)
    assert [sound.data for sound in audio_sink.heard] == [b"b"]
    assert audio_sink.delay_s == 0.2


async def test_a_broadcast_is_idle_without_a_publisher_for_long_enough() -> None:
    broadcast = Broadcast("cam")
    broadcast.publish("a", numbered(0), 0.0)
    waiting = asyncio.create_task(broadcast.wait_idle(0.2))
    broadcast.leave("a")
    await asyncio.sleep(0.05)
    broadcast.publish("b", numbered(1), 0.0)  # back in time
    await asyncio.sleep(0.3)
    assert not waiting.done()
    broadcast.leave("b")
    await asyncio.wait_for(waiting, 5)


async def test_broadcasts_are_found_by_name_while_live_and_forgotten_when_idle() -> None:
    broadcasts, tap = Broadcasts(), Intake[Frame]()
    cam = broadcasts.of("cam")
    with pytest.raises(NotLiveError, match="'cam'"):
        broadcasts.live("cam")
    cam.publish("me", numbered(0), 0.0)
    assert broadcasts.live("cam") is cam
    with cam.tap(tap):
        cam.leave("me")
        broadcasts.of("other")
        assert broadcasts.of("cam") is cam, "somebody waits for it"
    broadcasts.of("another")
    assert broadcasts.of("cam") is not cam
