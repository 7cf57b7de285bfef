"""A session around a real ring with workers in threads; only WebRTC is a stand-in."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from streamer.errors import NotLiveError, ServerFullError, UnknownStyleError
from streamer.frame import AudioPacket, Frame, Style
from streamer.live import session as session_module
from streamer.live import sessions as sessions_module
from streamer.live.broadcast import Broadcasts
from streamer.live.session import Defaults, Session
from streamer.live.sessions import Sessions
from streamer.pipeline.change import Change
from streamer.pipeline.intake import Intake
from streamer.ring.ring import Ring
from streamer.styles.model import Blend
from streamer.webrtc.capture_time import CaptureTime
from streamer.webrtc.options import PeerOptions, PeerStats
from tests.support.fakes import ListSink, ThreadWorkers, numbered
from tests.support.waiting import eventually

KNOWN = ("none", "mosaic", "wave")


def parse(style: str | Mapping[str, float]) -> Blend:
    blend = {style: 1.0} if isinstance(style, str) else style
    for name in blend:
        if name not in KNOWN:
            raise UnknownStyleError(name, KNOWN)
    return tuple(blend.items())


class FakePeer:
    """A connection without a network: frames are put into `source`, messages kept in `said`."""

    newest: "FakePeer"

    def __init__(self, on_message: Callable[[str], None]) -> None:
        self.answer_sdp = "an answer"
        self.reason = ""
        self.source = Intake[Frame]()
        self.sink = ListSink()
        self.said: list[dict[str, Any]] = []
        self.latency_s = -1.0
        self.heard_at = time.monotonic()
        self.on_message = on_message
        FakePeer.newest = self

    @classmethod
    async def answer(
        cls,
        offer_sdp: str,
        options: PeerOptions,
        *,
        on_message: Callable[[str], None],
        on_audio: Callable[[AudioPacket], None],
    ) -> "FakePeer":
        await asyncio.sleep(0)
        return cls(on_message)

    def send_message(self, text: str) -> None:
        self.said.append(json.loads(text))

    def set_latency(self, latency_s: float) -> None:
        self.latency_s = latency_s

    def stats(self) -> PeerStats:
        sent = len(self.sink.frames)
        return PeerStats(
            state="connected", codec="VP8", remote=None,
            frames_in=self.source.received, frames_out=sent,
            dropped_intake=self.source.dropped, dropped_encoder=0,
            lost_frames=0, decode_errors=0, encode_errors=0, keyframes_out=1, bytes_out=1000 * sent,
            encode_s=(0.004,) * min(sent, 50), bitrate_bps=1, uplink_bps=2,
            messages_refused=0, datagrams_refused=0, late_s=0.0,
            heard_at=self.heard_at,
        )  # fmt: skip

    def capture_time(self) -> CaptureTime | None:
        return CaptureTime(7, 5.0)

    async def close(self, reason: str = "") -> None:
        self.reason = self.reason or reason
        self.source.close()

    async def feed(self, count: int) -> None:
        """`count` frames, as fast as they are taken."""
        for number in range(count):
            self.source.put(numbered(number, 640, 360))
            while self.source.dropped + len(self.sink.frames) < self.source.received:
                await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "STATS_S", 0.05)
    monkeypatch.setattr(sessions_module, "Peer", FakePeer)


@contextlib.asynccontextmanager
async def sessions(
    max_peers: int = 2, broadcasts: Broadcasts | None = None
) -> AsyncIterator[Sessions]:
    async with Ring(lambda: ThreadWorkers(1)) as one:
        live = Sessions(
            one,
            parse,
            options=PeerOptions(),
            defaults=Defaults(Style((("mosaic", 1.0),))),
            max_peers=max_peers,
            broadcasts=broadcasts,
        )
        async with contextlib.aclosing(live):
            yield live


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[tuple[Session, FakePeer]]:
    async with sessions() as live:
        yield await live.answer("cam", "an offer"), FakePeer.newest


def answered(peer: FakePeer, number: int) -> dict[str, Any]:
    return next(one for one in peer.said if one.get("id") == number)


async def test_a_change_is_answered_when_its_first_frame_leaves() -> None:
    async with talking() as (session, peer):
        await peer.feed(5)
        session.on_message('{"id": 7, "set": {"style": "wave", "strength": 0.5}}')
        assert not [one for one in peer.said if one.get("id") == 7]
        await peer.feed(4)
    looks = [(frame.style.blend, frame.style.strength) for frame in peer.sink.frames]
    change = looks.index(((("wave", 1.0),), 0.5))
    assert 5 < change < 9  # a worker had to say that it is prepared
    assert looks[:change] == [((("mosaic", 1.0),), 1.0)] * change
    assert set(looks[change:]) == {((("wave", 1.0),), 0.5)}
    first = peer.sink.frames[change]
    assert answered(peer, 7) == {"id": 7, "applied": {"seq": change, "pts": first.pts}}


async def test_who_hangs_up_first_may_still_say_so_once() -> None:
    async with sessions() as live:
        session = await live.answer("cam", "an offer")
        await session.close()
        await eventually(lambda: not live.stats())
        assert await live.close(session.id)
        assert not await live.close(session.id)
        assert not await live.close("nobody")


async def test_a_transition_passes_through_both_styles() -> None:
    async with talking() as (session, peer):
        session.on_message('{"id": 1, "set": {"style": "wave", "transition_s": 0.3}}')
        await peer.feed(2)
        blends = [dict(frame.style.blend) for frame in peer.sink.frames]
        while blends[-1] != {"wave": 1.0}:
            await peer.feed(1)
            blends = [dict(frame.style.blend) for frame in peer.sink.frames]
    assert set(blends[1]) == {"mosaic", "wave"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"id": 3, "set": {"style": "nope"}}', "unknown_style"),
        ('{"id": 3, "set": {"strength": 2}}', "bad_request"),
        ('{"id": 3}', "bad_request"),
    ],
)
async def test_an_unfit_message_is_answered_and_changes_nothing(text: str, code: str) -> None:
    async with talking() as (session, peer):
        session.on_message(text)
        await peer.feed(2)
    assert answered(peer, 3)["error"]["code"] == code
    assert {frame.style.blend for frame in peer.sink.frames} == {(("mosaic", 1.0),)}


async def test_a_client_that_asks_for_too_much_is_answered_all_the_same() -> None:
    async with talking() as (session, peer):
        for number in range(session_module.MAX_WAITING_ANSWERS + 2):
            session.on_message(f'{{"id": {number}, "set": {{"strength": 0.5}}}}')
        assert answered(peer, 0)["error"]["code"] == answered(peer, 1)["error"]["code"]
        await peer.feed(1)
        assert "applied" in answered(peer, 2)


async def test_the_numbers_are_told_and_sound_is_delayed_by_the_latency() -> None:
    async with talking() as (_, peer):
        await peer.feed(20)
        await eventually(lambda: any(one.get("stats", {}).get("width") for one in peer.said))
        every = [one["stats"] for one in peer.said if "stats" in one]
    told = every[-1]
    assert max(one["bitrate_bps"] for one in every) > told["target_bps"] == 1
    assert told["height_auto"] and told["height_px"] == 360
    assert (told["width"], told["height"]) == (640, 360)
    assert told["workers"] == [{"state": "ready"}]
    assert told["capture_time"] == {"rtp": 7, "captured_ms": 5.0}
    assert told["stages_ms"]["encode"]["p50"] == 4.0
    assert 0 <= peer.latency_s < 1


async def test_a_height_can_be_fixed_and_is_never_above_the_camera_s() -> None:
    async with talking() as (session, peer):
        session.on_message('{"id": 1, "set": {"height_px": 180}}')
        await peer.feed(2)
        session.on_message('{"id": 2, "set": {"height_px": 1080}}')
        await peer.feed(2)
        told = session.as_dict()
    assert [frame.height_px for frame in peer.sink.frames] == [180, 180, 360, 360]
    assert (told["height_px"], told["height_auto"]) == (360, False)


async def test_no_more_peers_than_allowed_and_room_again_when_one_leaves() -> None:
    async with sessions(max_peers=2) as live:
        first = await live.answer("a", "an offer")
        await live.answer("b", "an offer")
        with pytest.raises(ServerFullError, match="all 2 streams"):
            await live.answer("c", "an offer")
        assert await live.close(first.id)
        assert not await live.close(first.id)
        await live.answer("c", "an offer")
        assert sorted(str(one["name"]) for one in live.stats().values()) == ["b", "c"]


async def test_a_publisher_that_comes_back_takes_the_place_of_its_silent_self() -> None:
    async with sessions(max_peers=2) as live:
        await live.answer("cam", "an offer")
        crashed = FakePeer.newest
        other = await live.answer("other", "an offer")
        with pytest.raises(ServerFullError):
            await live.answer("cam", "an offer")
        crashed.heard_at -= 2 * session_module.SILENT_S
        with pytest.raises(ServerFullError):
            await live.answer("third", "an offer")
        back = await live.answer("cam", "an offer")
        assert live.stats().keys() == {other.id, back.id}


async def test_the_sessions_of_a_revoked_token_end_and_their_clients_are_told() -> None:
    async with sessions() as live:
        await live.answer("a", "an offer", "one")
        ended = FakePeer.newest
        other = await live.answer("b", "an offer", "two")
        await live.end_of("one")
        assert live.stats().keys() == {other.id}
        assert ended.reason == "its token was revoked"


async def test_a_session_ends_when_its_peer_does() -> None:
    async with sessions() as live:
        await live.answer("a", "an offer")
        await FakePeer.newest.close()
        await eventually(lambda: not live.stats())


async def test_a_stream_is_changed_by_its_name_and_only_while_it_is_shown() -> None:
    async with sessions() as live:
        with pytest.raises(NotLiveError, match="'cam'"):
            await live.change("cam", Change(strength=0.5))
        await live.answer("cam", "an offer")
        older = FakePeer.newest
        await older.feed(2)
        await live.answer("cam", "an offer")
        assert (await live.change("cam", Change(strength=0.5)))["strength"] == 0.5
        newer = FakePeer.newest
        await newer.feed(2)  # now it is the one that is shown
        assert (await live.change("cam", Change(style="wave")))["strength"] == 1.0
        assert live.active().keys() == {"cam"}
        await newer.close()
        await eventually(lambda: len(live.stats()) == 1)
        await older.feed(1)
        assert live.active()["cam"]["strength"] == 0.5, "the older one is back"
    assert older.sink.frames[-1].style.strength == 0.5


async def test_whoever_watches_gets_the_frames_that_the_peer_gets() -> None:
    broadcasts, tap = Broadcasts(), Intake[Frame]()
    async with sessions(broadcasts=broadcasts) as live:
        await live.answer("cam", "an offer")
        with broadcasts.of("cam").tap(tap):
            await FakePeer.newest.feed(3)
            assert tap.received == len(FakePeer.newest.sink.frames) == 3
            assert tap.take().image is FakePeer.newest.sink.frames[-1].image
