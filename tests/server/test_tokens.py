"""Tokens: made once, kept as digests, looked up and revoked while a server runs."""

from pathlib import Path

import pytest

from streamer.errors import StreamerError
from streamer.server import tokens
from streamer.server.access import Access
from streamer.server.config import Config
from streamer.server.tokens import Tokens
from tests.support.commands import Command
from tests.support.http_world import HERE, OFFER, SDP, World

ADMIN = "0123456789abcdef"


def test_a_token_is_shown_once_and_kept_as_a_digest(streamer: Command, data_dir: Path) -> None:
    code, out, err = streamer("token", "add", "--role", "publish", "--stream", "cam")
    assert (code, err) == (0, "")
    text = out.strip()
    kept = (data_dir / "tokens.json").read_text()
    assert len(text) >= 32 and text not in kept
    assert (data_dir / "tokens.json").stat().st_mode & 0o077 == 0
    _, listed, _ = streamer("token", "list")
    (token,) = tokens.load()
    assert token.id in listed and "cam" in listed and text not in listed
    assert Tokens(ADMIN).find(text) == Access("publish", "cam")
    code, out, _ = streamer("token", "revoke", token.id)
    assert (code, tokens.load()) == (0, [])
    assert streamer("token", "revoke", token.id)[0] == 2


@pytest.mark.parametrize("words", [("--role", "root"), ("--role", "watch", "--stream", "a b")])
def test_impossible_tokens_are_bad_usage(streamer: Command, words: tuple[str, ...]) -> None:
    assert streamer("token", "add", *words)[0] == 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"id": 1}]', "[" * 100_000])
def test_a_damaged_file_lets_nobody_in(text: str, data_dir: Path) -> None:
    _, made = tokens.add("watch")
    (data_dir / "tokens.json").write_text(text)
    found = Tokens(ADMIN)
    assert found.find(made) is None
    assert found.find(ADMIN) == Access("admin")
    if text != "{}":
        with pytest.raises(StreamerError, match="damaged"):
            tokens.load()


async def test_a_running_server_takes_new_tokens_and_refuses_revoked_ones(world: World) -> None:
    world.config = Config(token=ADMIN)
    async with world.http() as http:
        token, text = tokens.add("watch")
        bearer = {"Authorization": f"Bearer {text}"}
        assert (await http.get("/streams", headers=bearer)).status_code == 200
        refused = await http.post("/whip/cam", content=OFFER, headers={**SDP, **bearer})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        tokens.revoke(token.id)
        assert (await http.get("/streams", headers=bearer)).status_code == 401


async def test_a_viewer_can_neither_end_nor_change_a_stream(world: World) -> None:
    world.config = Config(token=ADMIN)
    _, text = tokens.add("watch")
    async with world.http() as http:
        admin = {"Authorization": f"Bearer {ADMIN}"}
        location = (await http.post("/whip/cam", content=OFFER, headers=SDP | admin)).headers[
            "location"
        ]
        watch = {"Authorization": f"Bearer {text}"}
        stats = (await http.get("/stats", headers=watch)).json()["streams"]
        for known in (location, *(f"/whip/cam/{key}" for key in stats)):
            assert (await http.delete(known, headers=watch)).status_code == 403
        assert (await http.patch("/streams/cam", json={}, headers=watch)).status_code == 403
        (public,) = stats
        assert (await http.delete(f"/whip/cam/{public}", headers=admin)).status_code == 404


async def test_wrong_tokens_are_answered_later_and_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    world.config = Config(token=ADMIN)
    async with world.http() as http:
        for n in range(20):
            wrong = {"Authorization": f"Bearer guess-{n}"}
            assert (await http.get("/stats", headers=wrong)).status_code == 401
        right = await http.get("/stats", headers={"Authorization": f"Bearer {ADMIN}"})
    assert right.status_code == 200
    assert len(slept) == 20 and slept[-1] > 1


async def test_a_role_comes_by_url_and_cookie_too(world: World) -> None:
    world.config = Config(token=ADMIN)
    _, text = tokens.add("watch", "cam")
    async with world.http() as http:
        response = await http.get(f"/watch/cam?token={text}")
        assert (response.status_code, response.headers["location"]) == (303, "/watch/cam")
        assert (await http.get("/watch/cam")).status_code == 200
        assert (await http.get("/watch/other")).status_code == 403
        assert (await http.get(f"{HERE}/watch/other?token={text}")).status_code == 403
