"""The front door, with processes that are objects of this one."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import NotLiveError, ServerFullError, UsageError
from streamer.frame import Style
from streamer.live import placement as module
from streamer.live.place import Answer, Report, Settings
from streamer.live.placement import Placement
from streamer.live.session import Defaults
from streamer.pipeline.change import Change
from streamer.styles.catalogue import Catalogue
from streamer.webrtc.options import PeerOptions
from tests.support.waiting import eventually


def stream(name: str, out_fps: float = 30.0, age_s: float = 60.0) -> dict[str, object]:
    return {"name": name, "in_fps": 30.0, "out_fps": out_fps, "age_s": age_s}


@dataclass
class FakePlace:
    """What a process answers; `dead` while it is being started again."""

    dead: bool = False
    killed: bool = False
    streams: dict[str, dict[str, object]] = field(default_factory=dict)
    watching: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def call(self, method: str, *arguments: object) -> Any:
        await asyncio.sleep(0)
        if self.dead:
            raise ConnectionError("gone")
        if method not in ("report", "hold"):
            self.calls.append((method, *arguments))
        return await getattr(self, method)(*arguments)

    def kill(self) -> None:
        self.killed = True

    def die(self) -> None:
        self.dead = True
        self.streams.clear()
        self.held.pop().close()

    async def hold(self, address: str) -> None:
        assert Path(address).exists()
        self.held.append((await asyncio.open_unix_connection(address))[1])

    async def report(self) -> Report:
        active = {str(one["name"]): one for one in self.streams.values()}
        return Report(1, 2, 0.5, dict(self.streams), active, {}, dict(self.watching))

    async def publish(self, name: str, offer: str, owner: str) -> Answer:
        if not offer:
            raise UsageError("no offer")
        id_ = f"id{len(self.calls)}"
        self.streams[id_] = stream(name)
        return Answer(id_, "answer")

    async def watch(self, name: str, offer: str, owner: str) -> Answer:
        self.watching[name] = self.watching.get(name, 0) + 1
        return Answer("viewer", "answer")

    async def aclose(self) -> None:
        self.streams.clear()

    async def end_of(self, publishes: bool, owner: str) -> None:
        pass

    async def end_silent(self, name: str) -> None:
        pass

    async def trickle(self, publishes: bool, id_: str, fragment: str) -> bool | None:
        return True if id_ in self.streams or not publishes else None

    async def close(self, publishes: bool, id_: str) -> bool:
        return self.streams.pop(id_, None) is not None or not publishes

    async def change(self, name: str, wanted: Change) -> dict[str, object]:
        return {"name": name, "strength": wanted.strength}

    async def newest(self, name: str) -> bytes:
        return b"jpeg"

    async def next_picture(self, name: str, reader: str) -> bytes | None:
        return self.pictures.pop(0) if self.pictures else None

    async def end_pictures(self, reader: str) -> None:
        pass


class FakeRing:
    """Starts places; owns tasks as the ring does."""

    def __init__(self, places: Sequence[FakePlace]) -> None:
        self.ready = True
        self.failure = None
        self.places = places
        self.tasks: list[asyncio.Task[None]] = []

    async def start_processes(self, count: int, make: object) -> Sequence[FakePlace]:
        return self.places[:count]

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)


@asynccontextmanager
async def placed(
    *places: FakePlace, max_peers: int = 8, max_viewers: int = 8
) -> AsyncIterator[Placement]:
    settings = Settings(
        PeerOptions(), Defaults(Style()), Catalogue([]), 1, max_peers, max_viewers, True
    )
    ring = FakeRing(places)
    placement = Placement(ring, len(places), settings)  # type: ignore[arg-type]
    await placement.start()
    await eventually(lambda: all(one["up"] for one in placement.processes()))
    assert ring.ready
    try:
        yield placement
    finally:
        for task in ring.tasks:
            task.cancel()
        await asyncio.gather(*ring.tasks, return_exceptions=True)
        await placement.aclose()
        for place in places:
            for writer in place.held:
                writer.close()
    assert all(place.killed for place in places)
    assert not any(place.streams for place in places if not place.dead)


async def test_streams_are_spread_and_viewers_go_to_their_publisher() -> None:
    one, two = FakePlace(), FakePlace()
    async with placed(one, two) as placement:
        first, second = await placement.answer("a", "offer"), await placement.answer("b", "offer")
        assert {len(one.streams), len(two.streams)} == {1}
        assert first.answer_sdp == "answer" and first.id != second.id
        where = one if any(s["name"] == "a" for s in one.streams.values()) else two
        watching = await placement.viewers.answer("a", "offer")
        assert where.watching == {"a": 1}
        assert await placement.viewers.trickle(watching.id, "a=") is True
        assert await placement.viewers.close(watching.id)
        await eventually(lambda: placement.active().keys() == {"a", "b"})
        assert placement.viewers.count("a") == 1 and placement.viewers.count("b") == 0
        assert {one["process"] for one in placement.stats().values()} == {0, 1}
        with pytest.raises(NotLiveError, match="'c'"):
            await placement.viewers.answer("c", "offer")


async def test_who_comes_back_with_a_name_comes_to_its_process() -> None:
    one, two = FakePlace(), FakePlace()
    async with placed(one, two) as placement:
        for _ in range(3):
            await placement.answer("a", "offer")
        assert sorted((len(one.streams), len(two.streams))) == [0, 3]


async def test_calls_reach_the_session_and_errors_come_back() -> None:
    one = FakePlace()
    async with placed(one) as placement:
        session = await placement.answer("a", "offer")
        assert placement.has(session.id) and not placement.has("x.y") and not placement.has("")
        assert await placement.trickle(session.id, "a=") is True
        assert await placement.trickle("x.y", "a=") is None
        assert (await placement.change("a", Change(strength=0.5)))["strength"] == 0.5
        with pytest.raises(NotLiveError):
            await placement.change("b", Change(strength=0.5))
        with pytest.raises(UsageError, match="no offer"):
            await placement.answer("c", "")
        assert await placement.close(session.id)
        assert not await placement.close(session.id)


async def test_what_a_revoked_token_opened_ends_in_every_process() -> None:
    one, two, gone = FakePlace(), FakePlace(), FakePlace()
    async with placed(one, two, gone) as placement:
        await placement.answer("a", "offer", "me")
        await placement.viewers.answer("a", "offer", "you")
        gone.die()
        await placement.end_of("me")
        await placement.viewers.end_of("you")
    calls = [call for place in (one, two) for call in place.calls]
    assert {("publish", "a", "offer", "me"), ("watch", "a", "offer", "you")} <= set(calls)
    for place in (one, two):
        assert [call for call in place.calls if call[0] == "end_of"] == [
            ("end_of", True, "me"),
            ("end_of", False, "you"),
        ]


async def test_pictures_come_from_the_process_of_the_stream() -> None:
    one = FakePlace(pictures=[b"1", b"2"])
    async with placed(one) as placement:
        await placement.answer("a", "offer")
        assert await placement.newest("a") == b"jpeg"
        assert [jpeg async for jpeg in placement.each("a")] == [b"1", b"2"]
        with pytest.raises(NotLiveError):
            await placement.newest("b")


async def test_a_process_that_dies_takes_its_own_streams_only() -> None:
    one, two = FakePlace(), FakePlace()
    async with placed(one, two) as placement:
        sessions = {name: await placement.answer(name, "offer") for name in ("a", "b")}
        gone = "a" if any(s["name"] == "a" for s in one.streams.values()) else "b"
        one.die()
        await eventually(lambda: not placement.has(sessions[gone].id))
        stays = "b" if gone == "a" else "a"
        assert placement.has(sessions[stays].id)
        assert not await placement.close(sessions[gone].id)
        again = await placement.answer(gone, "offer")  # at once, at the other one
        assert len(two.streams) == 2 and placement.has(again.id)
        one.dead = False
        await eventually(lambda: all(p["up"] for p in placement.processes()))
        assert [p["deaths"] for p in placement.processes()] == [1, 0]
        assert not placement.has(sessions[gone].id)  # it is another process now


async def test_one_that_dies_while_it_answers_is_like_a_stream_that_has_ended() -> None:
    one = FakePlace()
    async with placed(one) as placement:
        await placement.answer("a", "offer")
        one.dead = True
        with pytest.raises(NotLiveError):
            await placement.newest("a")
        with pytest.raises(ServerFullError, match="being started"):
            await placement.answer("b", "offer")


async def test_no_more_streams_than_allowed_nor_than_can_be_carried() -> None:
    one, two = FakePlace(), FakePlace()
    async with placed(one, two, max_peers=2) as placement:
        await placement.answer("a", "offer")
        await placement.answer("b", "offer")
        with pytest.raises(ServerFullError, match="all 2 streams are in use"):
            await placement.answer("c", "offer")
    busy = FakePlace(streams={"id": stream("a")}, watching={"a": 3})
    async with placed(busy, max_viewers=3) as placement:
        await eventually(lambda: placement.viewers.count("a") == 3)
        with pytest.raises(ServerFullError, match="all 3 viewers"):
            await placement.viewers.answer("a", "offer")
    hungry = FakePlace(streams={"id": stream("a", out_fps=4)})
    async with placed(hungry) as placement:
        await eventually(lambda: "a" in placement.active())
        with pytest.raises(ServerFullError, match="1 stream gets 4 frames"):
            await placement.answer("b", "offer")
