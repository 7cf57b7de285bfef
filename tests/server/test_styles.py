"""Styles over HTTP, against a fake of the catalogue."""

import httpx

from tests.support.http_world import error_of, photo, upload


async def test_styles_are_listed(http: httpx.AsyncClient) -> None:
    assert (await http.get("/styles")).json()["default"] == "mosaic"


async def test_a_name_that_is_too_long_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.post("/styles", files=upload(photo()), data={"name": "n" * 65})
    assert error_of(response) == (422, "invalid")
    response = await http.post("/styles", files=upload(photo()), data={"name": "n" * 64})
    assert error_of(response) == (501, "unavailable")


async def test_a_title_needs_letters(http: httpx.AsyncClient) -> None:
    renamed = await http.patch("/styles/mosaic", json={"title": " Tiles "})
    assert renamed.json() == {"name": "mosaic", "title": "Tiles"}
    for title in ("", "  ", "n" * 65, None):
        assert (await http.patch("/styles/mosaic", json={"title": title})).status_code == 422


async def test_what_is_not_there_is_neither_renamed_nor_removed(http: httpx.AsyncClient) -> None:
    answer = await http.patch("/styles/nothing", json={"title": "Tiles"})
    assert error_of(answer) == (404, "unknown_style")
    assert error_of(await http.delete("/styles/nothing")) == (404, "unknown_style")
    assert error_of(await http.get("/styles/mosaic/model")) == (400, "bad_request")
