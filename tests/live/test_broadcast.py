"""Who takes a stream's frames: newest publisher first, one time for all, nobody left behind."""

import asyncio
import itertools
from fractions import Fraction

import pytest

from streamer.errors import NotLiveError
from streamer.frame import Frame, Sound
from streamer.live.broadcast import SOUND_HZ, VIDEO_HZ, Audience, Audiences
from streamer.pipeline.intake import Intake
from tests.support.fakes import numbered


class FakeEar:
    def __init__(self) -> None:
        self.heard: list[Sound] = []
        self.delay_s = 0.0

    def put(self, sound: Sound) -> None:
        self.heard.append(sound)

    def set_delay(self, delay_s: float) -> None:
        self.delay_s = delay_s


def number(frame: Frame | None) -> int:
    assert frame is not None
    return int(frame.image.data[0])


async def test_every_tap_gets_the_newest_frame() -> None:
    audience, slow, quick = Audience("cam"), Intake[Frame](), Intake[Frame]()
    with audience.tap(slow), audience.tap(quick):
        for n in range(3):
            audience.show("me", numbered(n), n / 30)
            assert number(quick.take()) == n
    audience.show("me", numbered(9), 1.0)
    assert number(slow.take()) == 2
    assert (slow.received, slow.dropped) == (3, 2)
    assert number(audience.newest) == 9


async def test_of_two_publishers_the_newer_is_shown_and_then_the_older_again() -> None:
    audience, tap = Audience("cam"), Intake[Frame]()
    seen = []
    with audience.tap(tap):
        for publisher, n in (("a", 1), ("b", 2), ("a", 3), ("b", 4)):
            audience.show(publisher, numbered(n), n / 30)
            seen.append(number(audience.newest))
        assert audience.shows("b") and not audience.shows("a")
        audience.leave("b")
        audience.show("a", numbered(5), 0.2)
    assert (seen, number(audience.newest)) == ([1, 2, 2, 4], 5)
    audience.leave("a")
    assert audience.newest is None


async def test_time_goes_on_from_publisher_to_publisher() -> None:
    """By as much as passed; and a second of one is a second of the other."""
    audience, ear = Audience("cam"), FakeEar()
    pts = []
    with audience.listen(ear):
        for publisher, own_pts, now in (("a", 900_000, 10.0), ("a", 903_000, 10.0), ("b", 7, 12.0)):
            audience.show(publisher, numbered(1, pts=own_pts), now)
            assert audience.newest is not None
            assert audience.newest.time_base == Fraction(1, VIDEO_HZ)
            pts.append(audience.newest.pts)
            audience.sound(publisher, Sound(b"x", own_pts, now), now)
    assert [b - a for a, b in itertools.pairwise(pts)] == [3000, 2 * VIDEO_HZ]
    clocks = [sound.clock for sound in ear.heard]
    assert [b - a for a, b in itertools.pairwise(clocks)] == [3000, 2 * SOUND_HZ]


async def test_only_the_shown_publisher_is_heard_and_sets_the_delay() -> None:
    audience, ear = Audience("cam"), FakeEar()
    with audience.listen(ear):
        for publisher in ("a", "b"):
            audience.show(publisher, numbered(0), 0.0)
        for publisher, latency_s in (("a", 0.9), ("b", 0.2), ("a", 0.9)):
            audience.sound(publisher, Sound(publisher.encode(), 0, 0.0), 0.0)
            audience.set_latency(publisher, latency_s)
    assert [sound.data for sound in ear.heard] == [b"b"]
    assert ear.delay_s == 0.2


async def test_deserted_is_an_audience_without_publisher_for_long_enough() -> None:
    audience = Audience("cam")
    audience.show("a", numbered(0), 0.0)
    waiting = asyncio.create_task(audience.deserted(0.2))
    audience.leave("a")
    await asyncio.sleep(0.05)
    audience.show("b", numbered(1), 0.0)  # back in time
    await asyncio.sleep(0.3)
    assert not waiting.done()
    audience.leave("b")
    await asyncio.wait_for(waiting, 5)


async def test_audiences_are_found_by_name_while_live_and_forgotten_when_idle() -> None:
    audiences, tap = Audiences(), Intake[Frame]()
    cam = audiences.of("cam")
    with pytest.raises(NotLiveError, match="'cam'"):
        audiences.live("cam")
    cam.show("me", numbered(0), 0.0)
    assert audiences.live("cam") is cam
    with cam.tap(tap):
        cam.leave("me")
        audiences.of("other")
        assert audiences.of("cam") is cam, "somebody waits for it"
    audiences.of("another")
    assert audiences.of("cam") is not cam
