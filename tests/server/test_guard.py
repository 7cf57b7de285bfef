"""The guard: who is refused, and what every answer carries."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamer.server import guard, tokens
from streamer.server.config import Config
from streamer.server.guard import SMALL_BODY_BYTES, Guard
from tests.support.http_world import FakeRing, FakeSessions, World

TOKEN = "0123456789abcdef"
HERE = "http://127.0.0.1:8000"
OTHER = "https://other.example"


def client(config: Config, base_url: str = HERE) -> httpx.AsyncClient:
    async def page(request: Request) -> Response:
        return PlainTextResponse("page")

    async def echo(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    routes = [
        Route("/", page),
        Route("/page", page, methods=["GET", "OPTIONS"]),
        Route("/echo", echo, methods=["POST"]),
        Route("/stylize/none", echo, methods=["POST"]),
    ]
    transport = httpx.ASGITransport(Guard(Starlette(routes=routes), config))
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def code(response: httpx.Response) -> str:
    return str(response.json()["error"]["code"])


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"])
async def test_loopback_names_are_known(host: str) -> None:
    async with client(Config()) as http:
        assert (await http.get("/page", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.2", ""])
async def test_other_host_names_are_refused(host: str) -> None:
    async with client(Config()) as http:
        response = await http.get("/page", headers={"Host": host})
    assert (response.status_code, code(response)) == (403, "host_refused")


async def test_open_server_goes_by_any_address_but_not_by_any_name() -> None:
    config = Config(host="0.0.0.0", token=TOKEN, allowed_origins=("https://proxy.example",))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with client(config) as http:
        for host, status in (("192.168.1.2:8000", 200), ("proxy.example", 200), ("evil.ex", 403)):
            response = await http.get("/page", headers={"Host": host, **bearer})
            assert response.status_code == status, host


async def test_own_page_may_post_and_others_may_not() -> None:
    async with client(Config()) as http:
        assert (await http.post("/echo", headers={"Origin": HERE})).status_code == 200
        for origin in (OTHER, "null", "http://127.0.0.1:9000", "http://localhost:8000"):
            response = await http.post("/echo", headers={"Origin": origin})
            assert (response.status_code, code(response)) == (403, "origin_refused"), origin


async def test_allowed_origin_gets_cors_headers() -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with client(Config(token=TOKEN, allowed_origins=(OTHER,))) as http:
        response = await http.post("/echo", headers=bearer | {"Origin": OTHER})
        assert response.headers["access-control-allow-origin"] == OTHER
        assert "Location" in response.headers["access-control-expose-headers"]
        own = await http.post("/echo", headers=bearer | {"Origin": HERE})
        assert "access-control-allow-origin" not in own.headers


async def test_preflight_of_an_allowed_origin_needs_no_token() -> None:
    asks = {"Access-Control-Request-Method": "POST"}
    async with client(Config(token=TOKEN, allowed_origins=(OTHER,))) as http:
        allowed = await http.options("/page", headers={"Origin": OTHER, **asks})
        assert allowed.status_code == 200
        assert "Authorization" in allowed.headers["access-control-allow-headers"]
        assert (await http.options("/page", headers={"Origin": OTHER})).status_code == 401
        assert (await http.options("/page", headers=asks)).status_code == 401


@pytest.mark.parametrize("path", ["/", "/page", "/metrics", "/docs", "/assets/x.js", "/no-such"])
async def test_every_route_needs_the_token(path: str) -> None:
    async with client(Config(token=TOKEN)) as http:
        response = await http.get(path)
        assert (response.status_code, code(response)) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \u00ff"):
            response = await http.get(path, headers=[(b"Authorization", wrong.encode("latin-1"))])
            assert response.status_code == 401, wrong
        right = await http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert right.status_code != 401


async def test_token_in_the_url_becomes_a_cookie_and_leaves_the_url() -> None:
    async with client(Config(token=TOKEN)) as http:
        response = await http.get(f"/?token={TOKEN}&style=mosaic")
        assert (response.status_code, response.headers["location"]) == (303, "/?style=mosaic")
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert (await http.get("/page")).status_code == 200


async def test_the_page_of_a_stream_takes_a_token_like_the_first_page() -> None:
    async with client(Config(token=TOKEN)) as http:
        response = await http.get(f"/watch/cam?fit=cover&token={TOKEN}")
        assert (response.status_code, response.headers["location"]) == (303, "/watch/cam?fit=cover")
        assert (await http.get("/page")).status_code == 200


async def test_an_admin_who_opens_an_address_made_for_others_stays_one(data_dir: Path) -> None:
    _, viewer = tokens.add("watch")
    async with client(Config(token=TOKEN)) as http:
        await http.get(f"/?token={TOKEN}")
        response = await http.get(f"/watch/cam?token={viewer}")
        assert response.status_code == 303 and "set-cookie" not in response.headers
    async with client(Config(token=TOKEN)) as http:
        assert "set-cookie" in (await http.get(f"/watch/cam?token={viewer}")).headers


async def test_wrong_token_in_the_url_is_refused_even_with_a_cookie() -> None:
    async with client(Config(token=TOKEN)) as http:
        await http.get(f"/?token={TOKEN}")
        assert (await http.get("/?token=guess")).status_code == 401


async def test_token_in_the_url_counts_on_the_page_alone() -> None:
    async with client(Config(token=TOKEN)) as http:
        assert (await http.get(f"/page?token={TOKEN}")).status_code == 401


@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        (f"streamer_8000={TOKEN}", 200),
        (f'a="b"; streamer_8000="{TOKEN}"; c=d', 200),
        (f"streamer_8000=of-another-path;streamer_8000={TOKEN}", 200),
        (f"streamer_9000={TOKEN}; my_streamer_8000={TOKEN}", 401),
        (f'streamer_8000="{TOKEN}x"', 401),
        ("streamer_8000", 401),
    ],
)
async def test_our_own_cookie_is_found_among_others(cookies: str, status: int) -> None:
    async with client(Config(token=TOKEN)) as http:
        assert (await http.get("/page", headers={"Cookie": cookies})).status_code == status


@pytest.mark.parametrize("token", [TOKEN, None])
async def test_nobody_unquotes_the_cookies_of_strangers(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 31 KB of backslashes that takes Python 3.11 and 3.12 seconds: CVE-2024-7592."""

    def unquote(text: str) -> str:
        raise AssertionError("unquoted")

    monkeypatch.setattr("http.cookies._unquote", unquote)
    world = World(FakeRing(), FakeSessions(), Config(token=token))
    cookie = {"Cookie": 'streamer_8000="' + 31_000 * "\\" + '"'}
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with world.http() as http:
        for path in ("/", "/healthz", "/watch/cam", "/no-such"):
            assert (await http.get(path, headers=cookie)).status_code < 500
            assert (await http.get(path, headers=cookie | bearer)).status_code < 500
        exchanged = await http.get(f"/?token={TOKEN}", headers=cookie)
        assert exchanged.status_code == (303 if token else 200)


async def test_cookie_is_secure_over_tls() -> None:
    any_file = Path(__file__)  # certificates are read when the server starts, not here
    config = Config(token=TOKEN, tls_cert=any_file, tls_key=any_file)
    async with client(config) as http:
        response = await http.get(f"/?token={TOKEN}")
    assert "secure" in response.headers["set-cookie"].lower()


async def test_body_with_a_length_is_refused_before_it_is_read() -> None:
    async with client(Config()) as http:
        response = await http.post("/echo", content=bytes(SMALL_BODY_BYTES + 1))
        assert (response.status_code, code(response)) == (413, "too_large")
        whole = await http.post("/echo", content=bytes(SMALL_BODY_BYTES))
        assert whole.text == str(SMALL_BODY_BYTES)


async def test_photos_have_a_limit_of_their_own() -> None:
    async with client(Config(max_body_bytes=2**20)) as http:
        assert (await http.post("/stylize/none", content=bytes(2**20))).status_code == 200
        assert (await http.post("/stylize/none", content=bytes(2**20 + 1))).status_code == 413


async def test_chunked_body_is_cut_off_while_it_streams_in() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 16384
            yield bytes(16384)

    async with client(Config()) as http:
        with contextlib.suppress(Exception):
            response = await http.post("/echo", content=endless())
            assert response.status_code == 413
    assert sent <= SMALL_BODY_BYTES + 2 * 16384


async def test_body_that_trickles_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_DEADLINE_S", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    async with client(Config()) as http:
        response = await asyncio.wait_for(http.post("/echo", content=slow()), 2)
    assert response.status_code == 408


async def test_every_answer_carries_the_security_headers() -> None:
    async with client(Config(token=TOKEN)) as http:
        for response in (await http.get("/page"), await http.get(f"/?token={TOKEN}")):
            assert "default-src 'self'" in response.headers["content-security-policy"]
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert "camera=(self)" in response.headers["permissions-policy"]
            assert response.headers["cache-control"] == "no-cache"


async def test_websockets_are_turned_away() -> None:
    said: list[object] = []

    async def send(message: object) -> None:
        said.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    await Guard(Starlette(), Config())({"type": "websocket"}, receive, send)
    assert said == [{"type": "websocket.close", "code": 1008}]


async def test_a_body_that_stands_still_is_given_up_long_before_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "PACE_S", 0.1)
    sent = 0

    async def stands_still() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(3):
            yield bytes(guard.PACE_BYTES)
            sent += 1
        await asyncio.sleep(5)

    async with client(Config()) as http:
        response = await asyncio.wait_for(http.post("/echo", content=stands_still()), 2)
    assert (response.status_code, sent) == (408, 3)
    assert response.headers["connection"] == "close"


async def test_a_person_without_a_token_is_asked_for_it_in_their_language() -> None:
    asks = {"Accept": "text/html,*/*", "Accept-Language": "xx, de-CH;q=0.9, en;q=0.8"}
    async with client(Config(token=TOKEN)) as http:
        page = await http.get('/?style=mosaic&x="<b>', headers=asks)
        assert page.status_code == 401 and page.headers["content-type"].startswith("text/html")
        assert 'lang="de"' in page.text and 'name="token"' in page.text
        assert 'value="mosaic"' in page.text, "the look is kept"
        assert '"<b>' not in page.text, "nothing of the URL becomes HTML"
        assert 'role="alert"' not in page.text
        wrong = await http.get("/?token=guess", headers=asks)
        assert 'role="alert"' in wrong.text and "guess" not in wrong.text
        assert code(await http.get("/")) == "unauthorized", "a program gets the error"
        assert code(await http.get("/echo", headers=asks)) == "unauthorized"


@pytest.mark.parametrize("path", ["/", "/page", "/watch/cam"])
async def test_long_queries_are_refused_before_they_are_parsed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def parse(query: str, **_: object) -> list[tuple[str, str]]:
        parsed.append(query)
        return []

    monkeypatch.setattr("starlette.datastructures.parse_qsl", parse)
    html = {"Accept": "text/html"}
    async with client(Config(token=TOKEN)) as http:
        for query in ("&".join("abcdefghijklmnopqrstu"), "a=" + guard.QUERY_BYTES * "x"):
            response = await http.get(f"{path}?{query}", headers=html)
            assert (response.status_code, code(response)) == (414, "query_too_long")
            assert response.headers["connection"] == "close"
        assert parsed == []
        assert (await http.get(f"{path}?{'&'.join('abcdefghijklmnopqrst')}")).status_code == 401
