"""Every route of the HTTP side, against fakes of the ring and the sessions."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from PIL import Image as Picture
from starlette.types import ASGIApp

from streamer import pages, server
from streamer.config import Config, IceServer
from streamer.errors import ServerFullError, UnknownStyleError, UsageError
from streamer.frame import Image, Style
from streamer.server import create_app

HERE = "http://127.0.0.1:8000"
OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
ANSWER = OFFER.replace("o=- 0", "o=- 1")
SMALL = Config(max_photo_pixels=10_000, max_body_bytes=200_000)
SDP = {"Content-Type": "application/sdp"}


@dataclass
class FakeRing:
    """Hands every photo back as it came, once `gate` is open."""

    ready: bool = True
    seen: list[Style] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def stylize(self, image: Image, style: Style) -> Image:
        self.seen.append(style)
        await self.gate.wait()
        return image

    def stats(self) -> list[dict[str, object]]:
        return [
            {"state": "ready", "frames": 7, "lost": 1},
            {"state": "restarting", "frames": 0, "lost": 0},
        ]


@dataclass(frozen=True)
class FakeSession:
    id: str
    answer_sdp: str = ANSWER


class FakeSessions:
    """Has one place."""

    def __init__(self) -> None:
        self.live: dict[str, str] = {}

    async def answer(self, name: str, offer_sdp: str) -> FakeSession:
        if self.live:
            raise ServerFullError("all 1 places are taken; try again later")
        if "m=video" not in offer_sdp:
            raise UsageError("the offer has no video")
        self.live["secret-id"] = name
        return FakeSession("secret-id")

    async def close(self, session_id: str) -> bool:
        return self.live.pop(session_id, None) is not None

    def stats(self) -> dict[str, dict[str, object]]:
        latency = {"p50": 31.0, "p95": 38.0}
        return {
            key: {
                "name": name,
                "in_fps": 29.9,
                "out_fps": 29.8,
                "height_px": 360,
                "bitrate_bps": 2_500_000,
                "dropped": {"intake": 3, "lost": 1},
                "latency_ms": latency,
                "stages_ms": {"inference": {"p50": 20.0, "p95": 25.0}},
            }
            for key, name in self.live.items()
        }


class FakeCatalogue:
    def listing(self) -> dict[str, object]:
        styles = [{"name": name, "title": name.title()} for name in ("none", "mosaic")]
        return {"default": "mosaic", "styles": styles}

    def parse(self, style: str | dict[str, float]) -> tuple[tuple[str, float], ...]:
        if style not in ("none", "mosaic"):
            raise UnknownStyleError(str(style), ("none", "mosaic"))
        return ((str(style), 1.0),)


@dataclass
class World:
    ring: FakeRing
    sessions: FakeSessions
    config: Config = SMALL

    def app(self) -> ASGIApp:
        return create_app(self.config, self.ring, self.sessions, FakeCatalogue())

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app()), base_url=HERE)


@pytest.fixture
async def world() -> World:
    world = World(FakeRing(), FakeSessions())
    world.ring.gate.set()
    return world


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.http() as http:
        yield http


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body.keys() == {"error"} and body["error"].keys() == {"code", "message"}
    assert body["error"]["message"] and "\n" not in body["error"]["message"]
    return response.status_code, body["error"]["code"]


def photo(width: int = 60, height: int = 40, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Picture.new("RGB", (width, height), (200, 30, 30)).save(file, kind)
    return file.getvalue()


def upload(data: bytes, field: str = "image") -> dict[str, tuple[str, bytes, str]]:
    return {field: ("photo.jpg", data, "image/jpeg")}


# --- WHIP (RFC 9725) ---------------------------------------------------------------------


async def test_offer_is_answered_with_a_location(http: httpx.AsyncClient) -> None:
    response = await http.post("/whip/me", content=OFFER, headers=SDP)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/sdp"
    assert response.headers["location"] == "/whip/me/secret-id"
    assert response.text == ANSWER


async def test_content_type_may_carry_parameters(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "Application/SDP; charset=utf-8"}
    assert (await http.post("/whip/me", content=OFFER, headers=headers)).status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/json", ""])
async def test_offer_of_another_type_is_415(http: httpx.AsyncClient, kind: str) -> None:
    response = await http.post("/whip/me", content=OFFER, headers={"Content-Type": kind})
    assert error_of(response) == (415, "unsupported_media")


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"v=0\r\n", b"\xff\xfe", OFFER.replace("video", "audio").encode()]
)
async def test_malformed_offer_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    assert error_of(await http.post("/whip/me", content=body, headers=SDP)) == (400, "bad_request")


async def test_full_server_is_503_with_retry_after(http: httpx.AsyncClient) -> None:
    await http.post("/whip/me", content=OFFER, headers=SDP)
    response = await http.post("/whip/you", content=OFFER, headers=SDP)
    assert error_of(response) == (503, "server_full")
    assert int(response.headers["retry-after"]) > 0


async def test_offer_before_readiness_is_503(world: World, http: httpx.AsyncClient) -> None:
    world.ring.ready = False
    response = await http.post("/whip/me", content=OFFER, headers=SDP)
    assert error_of(response) == (503, "not_ready")
    assert "retry-after" in response.headers
    assert not world.sessions.live


async def test_delete_hangs_up_once(http: httpx.AsyncClient) -> None:
    location = (await http.post("/whip/me", content=OFFER, headers=SDP)).headers["location"]
    assert (await http.delete(location)).status_code == 200
    assert error_of(await http.delete(location)) == (404, "not_found")


async def test_endpoint_answers_get_without_content(http: httpx.AsyncClient) -> None:
    for method in ("GET", "HEAD"):
        response = await http.request(method, "/whip/me")
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/whip/me"), ("DELETE", "/whip/me"), ("PATCH", "/whip/me/x")]
)
async def test_other_methods_are_405(http: httpx.AsyncClient, method: str, path: str) -> None:
    response = await http.request(method, path)
    assert error_of(response) == (405, "method_not_allowed")
    assert response.headers["allow"]


async def test_options_tells_what_to_post_and_where_ice_servers_are(world: World) -> None:
    turn = IceServer("turn:t.example:3478", "me", 'pa"ss')
    origin = "https://other.example"
    world.config = replace(world.config, ice_servers=(turn,), allowed_origins=(origin,))
    async with world.http() as http:
        response = await http.options("/whip/me")
        assert response.headers["accept-post"] == "application/sdp"
        link = '<turn:t.example:3478>; rel="ice-server"; username="me"; credential="pa\\"ss"'
        assert response.headers["link"] == f'{link}; credential-type="password"'
        created = await http.post("/whip/me", content=OFFER, headers=SDP)
        assert created.headers["link"] == response.headers["link"]
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await http.options("/whip/me", headers=asks)
        assert preflight.headers["accept-post"] == "application/sdp"
        assert "link" not in preflight.headers, "a preflight brings no token"


async def test_offer_that_is_too_large_is_413(http: httpx.AsyncClient) -> None:
    response = await http.post("/whip/me", content=OFFER + "a" * 200_000, headers=SDP)
    assert error_of(response) == (413, "too_large")


async def test_stream_names_are_plain(http: httpx.AsyncClient) -> None:
    response = await http.post("/whip/a%20b", content=OFFER, headers=SDP)
    assert error_of(response) == (422, "invalid")


# --- photos ------------------------------------------------------------------------------


async def test_photo_comes_back_whole(world: World, http: httpx.AsyncClient) -> None:
    response = await http.post("/stylize/mosaic", files=upload(photo()))
    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    picture = Picture.open(io.BytesIO(response.content))
    assert (picture.format, picture.size) == ("JPEG", (60, 40))
    assert world.ring.seen == [Style((("mosaic", 1.0),))]


async def test_photo_takes_strength_and_color(world: World, http: httpx.AsyncClient) -> None:
    query = "/stylize/mosaic?strength=0.5&preserve_color=true"
    assert (await http.post(query, files=upload(photo()))).status_code == 200
    assert world.ring.seen == [Style((("mosaic", 1.0),), 0.5, True)]
    response = await http.post("/stylize/mosaic?strength=2", files=upload(photo()))
    assert error_of(response) == (422, "invalid")


async def test_unknown_style_is_404_and_names_those_there_are(http: httpx.AsyncClient) -> None:
    response = await http.post("/stylize/nope", files=upload(photo()))
    assert error_of(response) == (404, "unknown_style")
    assert "none, mosaic" in response.json()["error"]["message"]


@pytest.mark.parametrize("data", [b"", b"not an image", photo()[:100]])
async def test_what_is_no_image_is_415(http: httpx.AsyncClient, data: bytes) -> None:
    assert (await http.post("/stylize/mosaic", files=upload(data))).status_code == 415


async def test_missing_field_is_422_and_named(http: httpx.AsyncClient) -> None:
    response = await http.post("/stylize/mosaic", files=upload(photo(), "picture"))
    assert error_of(response) == (422, "invalid")
    assert "image" in response.json()["error"]["message"]


async def test_too_many_pixels_is_413(http: httpx.AsyncClient) -> None:
    response = await http.post("/stylize/mosaic", files=upload(photo(101, 100)))
    assert error_of(response) == (413, "too_large")


async def test_too_many_bytes_is_413_even_in_chunks(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await http.post("/stylize/mosaic", content=endless(), headers=headers)
    assert error_of(response) == (413, "too_large")


async def test_photos_before_readiness_are_503(world: World, http: httpx.AsyncClient) -> None:
    world.ring.ready = False
    response = await http.post("/stylize/mosaic", files=upload(photo()))
    assert error_of(response) == (503, "not_ready")


async def test_a_crowd_of_photos_is_turned_away(world: World, http: httpx.AsyncClient) -> None:
    world.ring.gate.clear()
    room = server.PHOTOS_AT_ONCE + server.PHOTOS_WAITING
    posts = [
        asyncio.create_task(http.post("/stylize/mosaic", files=upload(photo())))
        for _ in range(room + 1)
    ]
    done, waiting = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    assert error_of(done.pop().result()) == (503, "server_full")
    assert len(world.ring.seen) <= server.PHOTOS_AT_ONCE
    world.ring.gate.set()
    answers = await asyncio.gather(*waiting)
    assert [answer.status_code for answer in answers] == [200] * room


# --- numbers -----------------------------------------------------------------------------


async def test_alive_before_ready(world: World, http: httpx.AsyncClient) -> None:
    world.ring.ready = False
    assert (await http.get("/healthz")).status_code == 200
    assert error_of(await http.get("/readyz")) == (503, "not_ready")
    world.ring.ready = True
    assert (await http.get("/readyz")).status_code == 200


async def test_stats_show_workers_and_streams(http: httpx.AsyncClient) -> None:
    await http.post("/whip/me", content=OFFER, headers=SDP)
    stats = (await http.get("/stats")).json()
    assert stats.keys() == {"version", "ready", "workers", "streams"}
    assert [worker["state"] for worker in stats["workers"]] == ["ready", "restarting"]
    assert stats["streams"]["secret-id"]["name"] == "me"


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    await http.post("/whip/me", content=OFFER, headers=SDP)
    await http.post("/stylize/mosaic", files=upload(photo()))
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = set(response.text.splitlines())
    stream = 'name="me",quantile="0.5",stage="inference",stream="secret"'
    assert {
        "streamer_ready 1.0",
        "streamer_peers 1.0",
        'streamer_worker_up{worker="1"} 0.0',
        'streamer_worker_frames_total{worker="0"} 7.0',
        'streamer_stream_fps{direction="in",name="me",stream="secret"} 29.9',
        'streamer_stream_dropped_total{name="me",reason="intake",stream="secret"} 3.0',
        f"streamer_stream_latency_seconds{{{stream}}} 0.02",
        "streamer_photo_seconds_count 1.0",
    } <= lines


async def test_session_ids_stay_out_of_the_metrics(http: httpx.AsyncClient) -> None:
    """Whoever knows a session's id can hang it up; scrapers have no need to."""
    await http.post("/whip/me", content=OFFER, headers=SDP)
    assert "secret-id" not in (await http.get("/metrics")).text


async def test_styles_are_listed(http: httpx.AsyncClient) -> None:
    assert (await http.get("/styles")).json()["default"] == "mosaic"


# --- pages -------------------------------------------------------------------------------


async def test_docs_come_whole_from_here(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    assert "//" not in page.replace("<!doctype html>", ""), "an address of another machine"
    for path in ("/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"):
        assert path in page
        assert (await http.get(path)).status_code == 200
    assert "validatorUrl: null" in (await http.get("/docs/start.js")).text
    assert (await http.get("/redoc")).status_code == 404


async def test_openapi_lists_the_routes(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"/whip/{name}", "/whip/{name}/{session_id}", "/stylize/{style}", "/styles"} <= set(
        paths
    )
    assert "application/sdp" in paths["/whip/{name}"]["post"]["requestBody"]["content"]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(pages, "PAGE", tmp_path)
    yield tmp_path


async def test_page_that_is_not_built_says_how(world: World, page: Path) -> None:
    async with world.http() as http:
        assert "make web" in (await http.get("/")).text


async def test_built_page_is_served(world: World, page: Path) -> None:
    (page / "index.html").write_text("<title>built</title>")
    (page / "icon.svg").write_text("<svg/>")
    (page / "assets").mkdir()
    (page / "assets" / "index-1a2b.js").write_text("let x")
    async with world.http() as http:
        response = await http.get("/")
        assert (response.text, response.headers["cache-control"]) == (
            "<title>built</title>",
            "no-cache",
        )
        assert (await http.get("/assets/index-1a2b.js")).text == "let x"
        assert (await http.get("/icon.svg")).headers["content-type"] == "image/svg+xml"
        assert error_of(await http.get("/assets/../../secret")) == (404, "not_found")


async def test_what_is_not_there_is_404_in_json(http: httpx.AsyncClient) -> None:
    assert error_of(await http.get("/nothing")) == (404, "not_found")
    assert error_of(await http.get("/stylize/mosaic")) == (405, "method_not_allowed")
