"""Viewers of a stream around real encoders; only WebRTC is a stand-in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from streamer.live import viewers as viewers_module
from streamer.live.broadcast import Broadcasts
from streamer.live.viewers import Viewers
from streamer.webrtc.audio import AudioTrack
from streamer.webrtc.fan_out import FanOut, ViewerTrack
from streamer.webrtc.options import PeerOptions
from tests.support.fakes import numbered
from tests.support.waiting import eventually


class FakeViewer:
    """A connection without a network; `answering` holds its answer up."""

    made: list["FakeViewer"]
    answering: asyncio.Event
    video_codec = "VP8"
    answer_sdp = "an answer"

    def __init__(self, options: PeerOptions) -> None:
        self.audio = AudioTrack()
        self.track = ViewerTrack()
        self.closed = asyncio.Event()
        self.made.append(self)

    async def negotiate(self, offer_sdp: str) -> None:
        await self.answering.wait()

    def start(self, fan_out: FanOut) -> None:
        self.track.watch(fan_out)
        self.track.join()

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def close(self) -> None:
        self.track.stop()
        self.closed.set()


@contextlib.asynccontextmanager
async def watching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Viewers, Broadcasts]]:
    FakeViewer.made, FakeViewer.answering = [], asyncio.Event()
    FakeViewer.answering.set()
    monkeypatch.setattr(viewers_module, "Viewer", FakeViewer)
    broadcasts = Broadcasts()
    async with contextlib.aclosing(Viewers(broadcasts, PeerOptions())) as viewers:
        broadcasts.of("cam").publish("me", numbered(0, 64, 48), 0.0)
        yield viewers, broadcasts


async def gets_packets(viewer: FakeViewer, broadcasts: Broadcasts, first: int) -> bool:
    """Whether frames that are published reach the viewer."""
    for n in range(first, first + 100):
        broadcasts.of("cam").publish("me", numbered(n, 64, 48, pts=3000 * n), n / 30)
        await asyncio.sleep(0.01)
        if viewer.track._packets:
            return True
    return False


async def test_a_viewer_answered_while_its_stream_comes_back_gets_that_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page that is loaded again: nobody publishes for a moment, and another stream begins."""
    async with watching(monkeypatch) as (viewers, broadcasts):
        FakeViewer.answering.clear()
        answer = asyncio.create_task(viewers.answer("cam", "an offer"))
        await eventually(lambda: FakeViewer.made)
        broadcasts.of("cam").leave("me")
        broadcasts.of("another")  # forgets those that are idle
        FakeViewer.answering.set()
        await answer
        assert await gets_packets(FakeViewer.made[0], broadcasts, 1)


async def test_an_encoder_that_fails_ends_its_viewers_and_the_next_get_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = FanOut.run

    async def fail(self: FanOut) -> None:
        raise RuntimeError("out of luck")

    async with watching(monkeypatch) as (viewers, broadcasts):
        monkeypatch.setattr(FanOut, "run", fail)
        await viewers.answer("cam", "an offer")
        await eventually(FakeViewer.made[0].closed.is_set)
        await eventually(lambda: viewers.count("cam") == 0)
        monkeypatch.setattr(FanOut, "run", run)
        await viewers.answer("cam", "an offer")
        assert await gets_packets(FakeViewer.made[1], broadcasts, 1)


async def test_encoders_without_viewers_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (viewers, _):
        one, other = [await viewers.answer("cam", "an offer") for _ in range(2)]
        await eventually(lambda: "cam" in viewers.stats())
        assert await viewers.close(one.id) and "cam" in viewers.stats()
        assert await viewers.close(other.id)
        await eventually(lambda: viewers.stats() == {})


async def test_the_viewers_of_a_revoked_token_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(monkeypatch) as (viewers, _):
        for owner in ("one", "two", "one"):
            await viewers.answer("cam", "an offer", owner)
        await viewers.end_of("one")
        assert [one.closed.is_set() for one in FakeViewer.made] == [True, False, True]


async def test_those_that_come_and_go_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers_module, "JOIN_EVERY_S", 3600.0)
    async with watching(monkeypatch) as (viewers, _):
        joining = [asyncio.create_task(viewers.answer("cam", "an offer")) for _ in range(8)]
        at_once, waiting = joining[: viewers_module.JOINS_AT_ONCE], joining[5:]
        await asyncio.gather(*at_once)
        assert not any(one.done() for one in waiting) and len(FakeViewer.made) == len(at_once)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert viewers.count("cam") == len(at_once)
