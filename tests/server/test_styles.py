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
