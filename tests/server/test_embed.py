"""Tokens in URLs, frames on other sites, and paths behind a reverse proxy, by HTTP."""

import itertools
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from streamer.errors import UsageError
from streamer.server import pages, tokens
from streamer.server.access import Role
from streamer.server.config import Config
from streamer.server.streams import MJPEG_FPS, Beat
from tests.support.fakes import numbered
from tests.support.http_world import OFFER, SDP, World, error_of

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SITE = "https://site.example"


@pytest.fixture
async def guarded(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """With `cam` on air, behind a token."""
    world.config = replace(world.config, token=TOKEN, embed_origins=(SITE,))
    async with world.http() as http:
        await http.post("/whip/cam", content=OFFER, headers=SDP | BEARER)
        world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
        yield http


def token(role: Role, stream: str | None = None) -> dict[str, str]:
    return {"token": tokens.add(role, stream, "")[1]}


async def test_a_token_that_only_watches_may_stand_in_the_url(guarded: httpx.AsyncClient) -> None:
    watch = token("watch", "cam")
    assert (await guarded.get("/streams/cam.jpg", params=watch)).status_code == 200
    answer = await guarded.post("/whep/cam", content=OFFER, headers=SDP, params=watch)
    assert answer.status_code == 201
    assert (await guarded.delete(answer.headers["location"])).status_code == 200
    other = await guarded.get("/streams/other.jpg", params=watch)
    assert error_of(other) == (403, "forbidden")


@pytest.mark.parametrize("role", ["publish", "admin"])
async def test_a_token_that_may_do_more_may_not(guarded: httpx.AsyncClient, role: Role) -> None:
    """Its URL would be in the history and the logs of players."""
    answer = await guarded.get("/streams/cam.jpg", params=token(role))
    assert error_of(answer) == (403, "forbidden") and "--role watch" in answer.text


async def test_elsewhere_a_token_in_the_url_is_none(guarded: httpx.AsyncClient) -> None:
    answer = await guarded.get("/streams", params=token("watch"))
    assert error_of(answer) == (401, "unauthorized")


async def test_only_the_video_page_may_be_embedded(guarded: httpx.AsyncClient) -> None:
    watch = (await guarded.get("/watch/cam", headers=BEARER)).headers
    assert f"frame-ancestors 'self' {SITE}" in watch["content-security-policy"]
    assert "x-frame-options" not in watch
    page = (await guarded.get("/", headers=BEARER)).headers
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert page["x-frame-options"] == "DENY"


async def test_in_a_frame_a_token_that_only_watches_becomes_a_partitioned_cookie(
    guarded: httpx.AsyncClient,
) -> None:
    frame = {"Sec-Fetch-Dest": "iframe"}
    answer = await guarded.get("/watch/cam", params=token("watch"), headers=frame)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert {"Secure", "SameSite=none", "Partitioned", "HttpOnly"} <= set(cookie.split("; "))
    for headers, params in (({}, token("watch")), (frame, token("admin"))):  # who stays one
        answer = await guarded.get("/watch/cam", params=params, headers=headers)
        assert "SameSite=strict" in answer.headers["set-cookie"]


@pytest.mark.parametrize("sent", ["/paint", ""], ids=["proxy keeps the path", "proxy strips it"])
async def test_a_server_below_a_path_names_itself_by_it(world: World, sent: str) -> None:
    world.config = replace(world.config, root_path="/paint")
    async with world.http() as http:
        answer = await http.post(f"{sent}/whip/cam", content=OFFER, headers=SDP)
        assert answer.headers["location"] == "/paint/whip/cam/secret-id"
        world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
        listed = (await http.get(f"{sent}/streams")).json()
        assert listed["cam"]["watch"] == "/paint/watch/cam"
        assert (await http.get(f"{sent}/docs/swagger-ui.css")).status_code == 200
        assert (await http.get(f"{sent}/openapi.json")).json()["servers"] == [{"url": "/paint"}]
        assert (await http.get(f"{sent}/paint/streams")).status_code == (404 if sent else 200)
        assert (await http.delete(answer.headers["location"])).status_code == 200


async def test_pages_below_a_path_load_everything_from_there(world: World) -> None:
    assert (pages.PAGE / "index.html").is_file(), "first: make web"
    world.config = replace(world.config, root_path="/paint")
    async with world.http() as http:
        for page in "/paint/", "/paint/watch/cam":
            html = (await http.get(page)).text
            assert 'data-root="/paint"' in html and '="/assets' not in html
            (script,) = re.findall(r'<script [^>]*src="([^"]+)"', html)
            assert (await http.get(script)).status_code == 200


@pytest.mark.parametrize("path", ["paint", "/", "/a b", '/"', "//x"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="--root-path"):
        Config(root_path=path)


def test_a_page_for_the_public_needs_a_token() -> None:
    for origin in "https://site.example", "http://192.168.1.2":
        with pytest.raises(UsageError, match="others can open, so it needs a --token"):
            Config(allowed_origins=(origin,))
        Config(allowed_origins=(origin,), token=TOKEN)
    Config(allowed_origins=("http://localhost:5173", "http://127.0.0.1:8080"))


@pytest.mark.parametrize(("fps", "shown"), [(60, 25), (30, 25), (25, 25), (12, 12)])
def test_mjpeg_has_no_more_frames_than_players_show(fps: int, shown: int) -> None:
    beat = Beat(MJPEG_FPS)
    times = [number / fps for number in range(10 * fps) if beat.due(number / fps)]
    assert len(times) == pytest.approx(10 * shown, abs=1)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert max(gaps) < 2 / shown
