"""What a token opened ends when it is revoked: requests, viewers and streams, and only its own."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from streamer.server import revoking, tokens
from streamer.server.access import Role
from streamer.server.config import Config
from streamer.server.http_server import serving
from streamer.server.listen import bind
from streamer.server.revoking import Revoking
from streamer.server.tokens import Token, Tokens
from tests.support.fakes import numbered
from tests.support.http_world import OFFER, SDP, World
from tests.support.waiting import eventually

ADMIN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoking, "LOOK_S", 0.05)


def made(role: Role) -> tuple[Token, dict[str, str]]:
    token, text = tokens.add(role)
    return token, {"Authorization": f"Bearer {text}"}


@contextlib.asynccontextmanager
async def served(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """Over a real socket: only there a connection can be ended from outside."""
    world.config = Config(token=ADMIN)
    app = world.app()
    with bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            app.revoking.running(),
            serving(world.config, app, listener),
            httpx.AsyncClient(base_url=url, timeout=5) as http,
        ):
            yield http


async def test_motion_jpeg_ends_with_its_token(world: World) -> None:
    await world.sessions.answer("cam", "m=video")
    world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
    (gone, theirs), (_, others) = made("watch"), made("watch")
    async with (
        served(world) as http,
        http.stream("GET", "/streams/cam.mjpeg", headers=theirs) as ends,
        http.stream("GET", "/streams/cam.mjpeg", headers=others) as goes_on,
    ):
        parts, other_parts = ends.aiter_bytes(), goes_on.aiter_bytes()
        await anext(parts)
        await anext(other_parts)
        tokens.revoke(gone.id)
        with pytest.raises(httpx.HTTPError):
            await asyncio.wait_for(anext(parts), 5)
        world.broadcasts.of("cam").publish("me", numbered(8, 64, 48), 0.0)
        assert await asyncio.wait_for(anext(other_parts), 5)


async def test_a_body_that_is_being_sent_ends_with_its_token(world: World) -> None:
    gone, theirs = made("publish")
    began = asyncio.Event()

    async def film() -> AsyncIterator[bytes]:
        while True:
            yield bytes(40_000)
            began.set()
            await asyncio.sleep(0.01)

    async with served(world) as http:
        url = "/videos?name=a.mp4&style=none"
        sending = asyncio.create_task(http.post(url, headers=theirs, content=film()))
        await began.wait()
        tokens.revoke(gone.id)
        with pytest.raises(httpx.HTTPError):
            await asyncio.wait_for(sending, 5)


@pytest.mark.parametrize("protocol", ["whip", "whep"])
async def test_who_publishes_or_watches_ends_with_the_token(protocol: str, world: World) -> None:
    (gone, theirs), (other, _) = made("publish"), made("publish")
    admin = {"Authorization": f"Bearer {ADMIN}"}
    async with served(world) as http:
        if protocol == "whep":
            await http.post("/whip/cam", content=OFFER, headers=SDP | admin)
        answer = await http.post(f"/{protocol}/cam", content=OFFER, headers=SDP | theirs)
        session = answer.headers["location"]
        tokens.revoke(other.id)
        await asyncio.sleep(0.3)
        assert (await http.get(session, headers=admin)).status_code == 204, "not its own"
        tokens.revoke(gone.id)
        await eventually(lambda: protocol == "whep" or not world.sessions.live)
        async with asyncio.timeout(5):
            while (await http.get(session, headers=admin)).status_code != 404:
                await asyncio.sleep(0.05)
        assert bool(world.sessions.live) == (protocol == "whep"), "the stream itself goes on"


async def test_what_cannot_be_ended_at_once_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[str] = []

    async def end_of(owner: str) -> None:
        asked.append(owner)
        if len(asked) == 1:
            raise RuntimeError("does not answer")

    token, _ = made("publish")
    known = Tokens(ADMIN)
    assert known.revoked() == set()
    with caplog.at_level(logging.ERROR):
        async with Revoking(known, [end_of]).running():
            tokens.revoke(token.id)
            await eventually(lambda: len(asked) == 2)
            await asyncio.sleep(0.2)
    assert asked == [token.sha256] * 2 and len(caplog.records) == 1


async def test_without_tokens_there_is_nothing_to_revoke() -> None:
    async with Revoking(None, ()).running():
        pass


def test_who_adds_a_token_revokes_none(data_dir: Path) -> None:
    (first, _), known = made("watch"), Tokens(ADMIN)
    assert known.revoked() == set()
    made("watch")
    assert known.revoked() == set()
    (data_dir / "tokens.json").unlink()
    assert first.sha256 in known.revoked() and known.revoked() == set()
