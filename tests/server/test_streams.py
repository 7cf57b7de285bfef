"""Live streams by their names, over HTTP, with fakes of those who publish and watch."""

import io

import httpx
import pytest
from PIL import Image as Picture

from tests.support.fakes import numbered
from tests.support.http_world import OFFER, SDP, World, error_of


@pytest.fixture
async def live(world: World, http: httpx.AsyncClient) -> httpx.AsyncClient:
    """With `cam` on air."""
    await http.post("/whip/cam", content=OFFER, headers=SDP)
    world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
    return http


async def test_streams_are_listed_with_their_viewers(live: httpx.AsyncClient) -> None:
    await live.post("/whep/cam", content=OFFER, headers=SDP)
    listed = (await live.get("/streams")).json()
    assert listed.keys() == {"cam"}
    assert (listed["cam"]["viewers"], listed["cam"]["watch"]) == (1, "/watch/cam")
    assert listed["cam"]["out_fps"] == 29.8
    assert "secret-id" not in str(listed), "whoever knows it can hang up"


async def test_picture_is_the_newest_frame(live: httpx.AsyncClient) -> None:
    response = await live.get("/streams/cam.jpg")
    assert response.headers["content-type"] == "image/jpeg"
    assert Picture.open(io.BytesIO(response.content)).size == (64, 48)


@pytest.mark.parametrize("path", ["/streams/other.jpg", "/streams/other.mjpeg"])
async def test_what_nobody_publishes_is_404_and_may_come(
    live: httpx.AsyncClient, path: str
) -> None:
    response = await live.get(path)
    assert error_of(response) == (404, "not_live")
    assert int(response.headers["retry-after"]) > 0


async def test_a_look_is_changed_by_name(world: World, live: httpx.AsyncClient) -> None:
    wanted = {"style": "mosaic", "strength": 0.5, "transition_s": 2}
    response = await live.patch("/streams/cam", json=wanted)
    assert response.status_code == 200 and response.json()["name"] == "cam"
    (made,) = world.sessions.changes
    assert (made.style, made.strength, made.transition_s) == ("mosaic", 0.5, 2)


@pytest.mark.parametrize(
    ("name", "wanted", "status"),
    [
        ("other", {"strength": 1}, (404, "not_live")),
        ("cam", {"style": "nope"}, (404, "unknown_style")),
        ("cam", {"strength": 7}, (400, "bad_request")),
        ("cam", {"speed": 7}, (400, "bad_request")),
        ("cam", ["mosaic"], (422, "invalid")),
    ],
)
async def test_a_look_that_cannot_be_is_refused(
    world: World, live: httpx.AsyncClient, name: str, wanted: object, status: tuple[int, str]
) -> None:
    assert error_of(await live.patch(f"/streams/{name}", json=wanted)) == status
    assert world.sessions.changes == []


async def test_a_viewer_is_answered_like_a_publisher(live: httpx.AsyncClient) -> None:
    response = await live.post("/whep/cam", content=OFFER, headers=SDP)
    assert response.status_code == 201
    assert response.headers["location"] == "/whep/cam/secret-id"
    assert (await live.delete(response.headers["location"])).status_code == 200


async def test_a_viewer_of_nothing_is_told_to_come_back(live: httpx.AsyncClient) -> None:
    response = await live.post("/whep/other", content=OFFER, headers=SDP)
    assert error_of(response) == (409, "not_live")
    assert int(response.headers["retry-after"]) > 0
