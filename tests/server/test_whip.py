"""WHIP as RFC 9725 has it, against a fake of the sessions."""

from dataclasses import replace

import httpx
import pytest

from streamer.webrtc.ice_server import IceServer
from tests.support.http_world import ANSWER, OFFER, SDP, World, error_of


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


async def test_lack_of_a_port_is_503(http: httpx.AsyncClient) -> None:
    response = await http.post("/whip/no-port", content=OFFER, headers=SDP)
    assert error_of(response) == (503, "no_port")
    assert "retry-after" in response.headers


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


CANDIDATE = "a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host\r\n"
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": '"1"'}


async def test_candidates_may_come_later(world: World, http: httpx.AsyncClient) -> None:
    created = await http.post("/whip/me", content=OFFER, headers=SDP)
    headers = FRAGMENT | {"If-Match": created.headers["etag"]}
    response = await http.patch(created.headers["location"], content=CANDIDATE, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert "etag" not in response.headers
    (fragment,) = world.sessions.trickled
    assert fragment == CANDIDATE


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (CANDIDATE, {"If-Match": '"2"'}, (412, "if_match_differs")),
        (CANDIDATE, {"If-Match": ""}, (412, "if_match_differs")),
        (CANDIDATE, {"Content-Type": "application/sdp"}, (415, "unsupported_media")),
        ("hello", {}, (400, "bad_request")),
        (b"\xff\xfe", {}, (400, "bad_request")),
        ("a=ice-ufrag:restarted\r\na=ice-pwd:x\r\n", {"If-Match": "*"}, (422, "no_ice_restart")),
    ],
)
async def test_other_fragments_are_refused(
    http: httpx.AsyncClient, body: str | bytes, headers: dict[str, str], status: tuple[int, str]
) -> None:
    location = (await http.post("/whip/me", content=OFFER, headers=SDP)).headers["location"]
    response = await http.patch(location, content=body, headers=FRAGMENT | headers)
    assert error_of(response) == status


async def test_patch_without_if_match_is_428_and_without_session_404(
    http: httpx.AsyncClient,
) -> None:
    location = (await http.post("/whip/me", content=OFFER, headers=SDP)).headers["location"]
    kind = {"Content-Type": FRAGMENT["Content-Type"]}
    response = await http.patch(location, content=CANDIDATE, headers=kind)
    assert error_of(response) == (428, "if_match_missing")
    response = await http.patch("/whip/me/other", content=CANDIDATE, headers=FRAGMENT)
    assert error_of(response) == (404, "not_found")


async def test_session_answers_get_and_options(http: httpx.AsyncClient) -> None:
    location = (await http.post("/whip/me", content=OFFER, headers=SDP)).headers["location"]
    assert (await http.get(location)).status_code == 204
    options = await http.options(location)
    assert options.headers["accept-patch"] == "application/trickle-ice-sdpfrag"


async def test_endpoint_answers_get_without_content(http: httpx.AsyncClient) -> None:
    for method in ("GET", "HEAD"):
        response = await http.request(method, "/whip/me")
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/whip/me"), ("DELETE", "/whip/me"), ("PATCH", "/whip/me")]
)
async def test_other_methods_are_405(http: httpx.AsyncClient, method: str, path: str) -> None:
    response = await http.request(method, path)
    assert error_of(response) == (405, "method_not_allowed")
    assert response.headers["allow"]


async def test_options_tells_what_to_post_and_where_ice_servers_are(world: World) -> None:
    turn = IceServer("turn:t.example:3478", "me", 'pa"ss')
    origin = "http://localhost:8080"
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
