"""Photos over HTTP, against a fake of the ring."""

import asyncio
import io
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image as Picture
from starlette.requests import Request
from starlette.types import Message

from streamer.errors import StylizeError
from streamer.frame import Style
from streamer.server import photos
from tests.support.http_world import World, error_of, photo, upload


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
    response = await http.post("/stylize/xyz", files=upload(photo()))
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


async def test_the_brush_is_the_height_that_it_is_stylized_at(
    world: World, http: httpx.AsyncClient
) -> None:
    for query in ("", "?brush=fine", "?brush=medium", "?brush=bold"):
        assert (
            await http.post(f"/stylize/mosaic{query}", files=upload(photo()))
        ).status_code == 200
    assert world.ring.heights == [None, 720, 540, 360]
    assert (await http.post("/stylize/mosaic?brush=x", files=upload(photo()))).status_code == 422


async def test_photos_before_readiness_are_503(world: World, http: httpx.AsyncClient) -> None:
    world.ring.ready = False
    response = await http.post("/stylize/mosaic", files=upload(photo()))
    assert error_of(response) == (503, "not_ready")


async def test_a_crowd_of_photos_is_turned_away(world: World, http: httpx.AsyncClient) -> None:
    world.ring.gate.clear()
    room = photos.PHOTOS_AT_ONCE + photos.PHOTOS_WAITING
    posts = [
        asyncio.create_task(http.post("/stylize/mosaic", files=upload(photo())))
        for _ in range(room + 1)
    ]
    done, waiting = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
    assert error_of(done.pop().result()) == (503, "server_full")
    assert len(world.ring.seen) <= photos.PHOTOS_AT_ONCE
    world.ring.gate.set()
    answers = await asyncio.gather(*waiting)
    assert [answer.status_code for answer in answers] == [200] * room


@pytest.mark.parametrize(
    ("path", "status"), [("/stylize/nope", 404), ("/stylize/none?strength=2", 422)]
)
async def test_what_is_refused_is_not_read(world: World, path: str, status: int) -> None:
    statuses: list[int] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    route, _, query = path.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": route, "raw_path": route.encode(),
        "query_string": query.encode(), "scheme": "http", "http_version": "1.1", "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=x")],
    }  # fmt: skip
    await world.app()(scope, receive, send)
    assert statuses == [status]


async def test_a_photo_whose_client_has_left_is_painted_no_further() -> None:
    """A network that never ends would else keep workers busy for nobody, one after the other."""
    gone, ended = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    request = Request({"type": "http"}, receive)
    waiting = asyncio.create_task(photos.while_connected(request, endless()))
    await asyncio.sleep(0)
    gone.set()
    await asyncio.wait_for(waiting, 5)
    assert ended.is_set()


async def test_the_end_of_a_body_is_not_taken_for_a_client_that_left() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.Future()

    async def work() -> int:
        await asyncio.sleep(0.01)
        return 7

    assert await photos.while_connected(Request({"type": "http"}, receive), work()) == 7


async def test_what_the_ring_says_of_a_photo_is_passed_on() -> None:
    async def receive() -> Message:
        return await asyncio.Future()

    async def fail() -> None:
        raise StylizeError("no")

    with pytest.raises(StylizeError, match="no"):
        await photos.while_connected(Request({"type": "http"}, receive), fail())
