"""*Send to*: an admin lets a phone and viewers in, with tokens that may do less and end."""

import httpx
import pytest

from streamer.server import tokens
from streamer.server.access import Access, Role
from streamer.server.config import Config
from streamer.server.tokens import Tokens
from tests.support.http_world import HERE, World, error_of

ADMIN = "0123456789abcdef"
PHONE = "https://192.0.2.7:8000/"
pytestmark = pytest.mark.usefixtures("data_dir")


def client(
    world: World, token: str | None = ADMIN, phone_url: str | None = PHONE
) -> httpx.AsyncClient:
    world.config = Config(token=ADMIN)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app(phone_url=phone_url)),
        base_url=HERE,
        headers={"Authorization": f"Bearer {token}"},
    )


async def test_viewers_get_a_token_for_one_stream_that_can_be_revoked(world: World) -> None:
    async with client(world) as http:
        made = await http.post("/tokens", json={"stream": "page", "note": "the projector"})
        assert made.status_code == 201
        id_, text = made.json()["id"], made.json()["token"]
        assert Tokens(ADMIN).find(text) == Access("watch", "page")
        assert [(one.id, one.note) for one in tokens.load()] == [(id_, "the projector")]
        player = {"Authorization": ""}
        url = f"/streams/page.jpg?token={text}"
        assert error_of(await http.get(url, headers=player)) == (404, "not_live")
        assert (await http.delete(f"/tokens/{id_}")).status_code == 204
        assert error_of(await http.get(url, headers=player)) == (401, "unauthorized")
        assert error_of(await http.delete(f"/tokens/{id_}")) == (404, "not_found")


async def test_a_phone_gets_an_address_of_its_own_never_the_admins(world: World) -> None:
    async with client(world) as http:
        asked = await http.get("/phone")
        assert asked.json() == {"url": PHONE, "closed": True}
        invited = (await http.post("/phone")).json()
        url, _, text = invited["url"].partition("?token=")
        assert url == PHONE and text != ADMIN
        assert Tokens(ADMIN).find(text) == Access("publish")
        assert "<svg" in invited["qr"]


@pytest.mark.parametrize("role", ["watch", "publish"])
async def test_only_an_admin_lets_others_in(world: World, role: Role) -> None:
    _, text = tokens.add(role)
    async with client(world, text) as http:
        for method, path in (("POST", "/tokens"), ("POST", "/phone"), ("GET", "/phone")):
            assert error_of(await http.request(method, path, json={})) == (403, "forbidden")
        assert error_of(await http.delete("/tokens/x")) == (403, "forbidden")


async def test_no_admin_is_made_and_no_odd_stream(world: World) -> None:
    async with client(world) as http:
        for wanted in ({"role": "admin"}, {"stream": "a/b"}, {"stream": ""}, {"note": "x" * 101}):
            assert (await http.post("/tokens", json=wanted)).status_code == 422
    assert tokens.load() == []


async def test_what_cannot_be_shared_says_why(world: World) -> None:
    async with client(world, phone_url=None) as http:
        assert (await http.get("/phone")).json() == {"url": None, "closed": True}
        assert error_of(await http.post("/phone")) == (404, "not_found")


async def test_a_server_without_a_token_makes_none(http: httpx.AsyncClient) -> None:
    assert (await http.get("/phone")).json() == {"url": None, "closed": False}
    assert error_of(await http.post("/tokens", json={})) == (400, "bad_request")
