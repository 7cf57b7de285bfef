"""What a browser gets: the page of the package, and the API's documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streamer.server import pages, qr
from tests.support.http_world import World, error_of


async def test_docs_come_whole_from_here(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    assert "//" not in page.replace("<!doctype html>", ""), "an address of another machine"
    for path in ("/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"):
        assert path[1:] in page  # relative, for servers below a path
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
        assert "make web" in (await http.get("/watch/cam")).text


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


async def test_built_page_is_packed_and_kept(world: World, page: Path) -> None:
    (page / "index.html").write_text("<title>built</title>")
    (page / "assets").mkdir()
    (page / "assets" / "index-1a2b.js").write_text("let x = 1;" * 500)
    (page / "hero.webm").write_bytes(bytes(2000))
    async with world.http() as http:
        script = await http.get("/assets/index-1a2b.js")
        assert script.headers["content-encoding"] == "gzip"
        assert int(script.headers["content-length"]) < 200 < len(script.text)
        assert "immutable" in script.headers["cache-control"]
        plain = {"Accept-Encoding": "identity"}
        bare = await http.get("/assets/index-1a2b.js", headers=plain)
        assert bare.text == script.text and "content-encoding" not in bare.headers
        known = {"If-None-Match": (await http.get("/")).headers["etag"]}
        again = await http.get("/", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        part = await http.get("/hero.webm", headers={"Range": "bytes=0-99"})
        assert (part.status_code, len(part.content)) == (206, 100)


async def test_the_watch_page_is_the_same_for_every_name(world: World, page: Path) -> None:
    (page / "watch.html").write_text("<video></video>")
    async with world.http() as http:
        for name in ("cam", "other"):
            response = await http.get(f"/watch/{name}")
            assert response.headers["content-type"].startswith("text/html")
            assert response.text == "<video></video>"


async def test_what_is_not_there_is_404_in_json(http: httpx.AsyncClient) -> None:
    assert error_of(await http.get("/nothing")) == (404, "not_found")
    assert error_of(await http.get("/stylize/mosaic")) == (405, "method_not_allowed")


URL = "https://192.0.2.7:8000/?token=0123456789abcdef"


def test_the_terminal_shows_a_square_with_a_quiet_border() -> None:
    lines = qr.terminal(URL).splitlines()
    assert 15 < len(lines) < 40
    assert len({len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in lines}) == 1
