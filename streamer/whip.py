"""browser → **whip** → session: the offer comes in over HTTP, the answer goes back (RFC 9725).

A sendrecv offer gets the stylized track back on the same connection. The answer holds every
candidate, so there is no trickle and no PATCH.
"""

from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from streamer.config import IceServer
from streamer.errors import MediaError, RingError, UsageError
from streamer.http_errors import error

SDP = "application/sdp"

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="names the stream")]


class Answered(Protocol):
    """A peer that was answered."""

    @property
    def id(self) -> str: ...
    @property
    def answer_sdp(self) -> str: ...


class Sessions(Protocol):
    """Every live peer of the server, as HTTP sees them."""

    async def answer(self, name: str, offer_sdp: str) -> Answered: ...
    async def close(self, session_id: str) -> bool: ...
    def stats(self) -> dict[str, dict[str, object]]: ...


class Readiness(Protocol):
    """Whether frames can be stylized yet."""

    @property
    def ready(self) -> bool: ...


def require(ring: Readiness) -> None:
    """Raise RingError until the workers are warm, so that the client comes back later."""
    if not ring.ready:
        raise RingError("the workers are still being loaded; try again in a few seconds")


def whip(ring: Readiness, sessions: Sessions, ice_servers: tuple[IceServer, ...]) -> APIRouter:
    """The routes of one WHIP endpoint per stream name."""
    routes = APIRouter(prefix="/whip/{name}", tags=["live"])
    links = [_link(server) for server in ice_servers]

    @routes.post("", status_code=201, response_class=Response, openapi_extra=_OFFER)
    async def offer(name: Name, request: Request) -> Response:
        """Start a stream: offer in, answer and the session's Location out."""
        if _content_type(request) != SDP:
            return error(415, "unsupported_media", f"send the offer with Content-Type: {SDP}")
        require(ring)
        offer_sdp = _checked(await request.body())
        try:
            session = await sessions.answer(name, offer_sdp)
        except MediaError as failure:  # no UDP port is free
            return error(503, "no_port", str(failure))
        location = {"Location": f"/whip/{name}/{session.id}"}
        return _linked(Response(session.answer_sdp, 201, location, SDP), links)

    @routes.delete("/{session_id}")
    async def hang_up(name: Name, session_id: str) -> Response:
        """End a stream."""
        if await sessions.close(session_id):
            return Response()
        return error(404, "not_found", "there is no such session; it may have ended by itself")

    @routes.api_route("", methods=["GET", "HEAD"], status_code=204, include_in_schema=False)
    async def nothing_to_see(name: Name) -> Response:
        return Response(status_code=204)

    @routes.options("", include_in_schema=False)
    @routes.options("/{session_id}", include_in_schema=False)
    async def options(name: Name, request: Request) -> Response:
        """A preflight comes without a token, so it must not learn TURN credentials."""
        response = Response(headers={"Accept-Post": SDP})
        preflight = "access-control-request-method" in request.headers
        return response if preflight else _linked(response, links)

    return routes


_OFFER = {"requestBody": {"required": True, "content": {SDP: {"schema": {"type": "string"}}}}}


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _checked(body: bytes) -> str:
    try:
        offer = body.decode()
    except UnicodeDecodeError:
        raise UsageError("the offer is not UTF-8 text") from None
    if not offer.startswith("v=0") or "\nm=" not in offer:
        raise UsageError("the offer is no SDP: it starts with v=0 and has an m= line")
    return offer


def _linked(response: Response, links: list[str]) -> Response:
    for link in links:
        response.headers.append("Link", link)
    return response


def _link(server: IceServer) -> str:
    link = f'<{server.url}>; rel="ice-server"'
    if server.username is None:
        return link
    return (
        f'{link}; username="{_quoted(server.username)}"; '
        f'credential="{_quoted(server.credential or "")}"; credential-type="password"'
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
