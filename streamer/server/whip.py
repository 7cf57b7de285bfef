"""browser, OBS → **whip** → live/session, live/viewers: SDP offers in, answers out.

Publishers by WHIP (RFC 9725): a sendrecv offer gets the stylized track back on the same
connection. Viewers use WHEP (draft-ietf-wish-whep), the same with the media direction reversed. The
answer holds all candidates of the server; those of the client may come with the offer, later by
PATCH, or never. ICE restarts are refused, because a new POST costs no more.
"""

import time
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from streamer.errors import MediaError, NotLiveError, UsageError
from streamer.server.error_responses import error
from streamer.server.interfaces import Connections, Ring, require
from streamer.webrtc.ice_server import IceServer

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ETAG = '"1"'  # of the ICE session; without restarts there is only one

Links = Callable[[], list[str]]  # values of `Link`; credentials of TURN change with time
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="names the stream")]


def signalling_routes(
    protocol: str, ring: Ring, connections: Connections, ice_servers: tuple[IceServer, ...]
) -> APIRouter:
    """The routes of `protocol`, "whip" or "whep"."""
    routes = APIRouter(prefix=f"/{protocol}/{{name}}", tags=["live"])

    def links() -> list[str]:
        return [_link(server.at(time.time())) for server in ice_servers]

    _add_offers(routes, protocol, ring, connections, links)
    _add_sessions(routes, connections)
    _add_options(routes, connections, links)
    return routes


def _add_offers(
    routes: APIRouter, protocol: str, ring: Ring, connections: Connections, links: Links
) -> None:
    @routes.post("", status_code=201, response_class=Response, openapi_extra=_OFFER)
    async def offer(name: Name, request: Request) -> Response:
        """Start publishing or watching: SDP offer in, SDP answer and the session's Location out."""
        if _content_type(request) != SDP:
            return error(415, "unsupported_media", f"send the offer with Content-Type: {SDP}")
        require(ring)
        offer_sdp = _checked(await request.body())
        try:
            session = await connections.answer(name, offer_sdp, request.state.token)
        except MediaError as failure:  # no UDP port is free
            return error(503, "no_port", str(failure))
        except NotLiveError as failure:
            return error(409, "not_live", str(failure))
        location = f"{request.scope['root_path']}/{protocol}/{name}/{session.id}"
        if token := request.query_params.get("token"):  # a client without headers has it there
            location += f"?{urlencode({'token': token})}"
        headers = {"Location": location, "ETag": ETAG}
        return _linked(Response(session.answer_sdp, 201, headers, SDP), links())


def _add_sessions(routes: APIRouter, connections: Connections) -> None:
    @routes.patch("/{session_id}", status_code=204, openapi_extra=_TRICKLE)
    async def trickle(name: Name, session_id: str, request: Request) -> Response:
        """More ICE candidates of the client; an ICE restart is answered 422."""
        if _content_type(request) != FRAGMENT:
            return error(415, "unsupported_media", f"send it with Content-Type: {FRAGMENT}")
        if (refused := _unmatched(request)) is not None:
            return refused
        taken = await connections.trickle(session_id, _text(await request.body()))
        if taken is None:
            return error(404, "not_found", _NO_SESSION)
        if not taken:
            return error(422, "no_ice_restart", "ICE restarts are not supported; POST a new offer")
        return Response(status_code=204)

    @routes.delete("/{session_id}")
    async def end(name: Name, session_id: str) -> Response:
        """End the session."""
        if await connections.close(session_id):
            return Response()
        return error(404, "not_found", _NO_SESSION)


def _add_options(routes: APIRouter, connections: Connections, links: Links) -> None:
    @routes.api_route("", methods=["GET", "HEAD"], status_code=204, include_in_schema=False)
    async def no_content(name: Name) -> Response:
        return Response(status_code=204)

    @routes.api_route(
        "/{session_id}", methods=["GET", "HEAD"], status_code=204, include_in_schema=False
    )
    async def is_there(name: Name, session_id: str) -> Response:
        """Whether the session goes on: the page asks when its picture stands still."""
        if connections.has(session_id):
            return Response(status_code=204)
        return error(404, "not_found", _NO_SESSION)

    @routes.options("", include_in_schema=False)
    @routes.options("/{session_id}", include_in_schema=False)
    async def options(name: Name, request: Request) -> Response:
        """Not to a preflight, which carries no token: it must not learn TURN credentials."""
        response = Response(headers={"Accept-Post": SDP, "Accept-Patch": FRAGMENT})
        preflight = "access-control-request-method" in request.headers
        return response if preflight else _linked(response, links())


_NO_SESSION = "no such session; it may have ended already"
_OFFER = {"requestBody": {"required": True, "content": {SDP: {"schema": {"type": "string"}}}}}
_TRICKLE = {
    "requestBody": {"required": True, "content": {FRAGMENT: {"schema": {"type": "string"}}}}
}


def _unmatched(request: Request) -> Response | None:
    """RFC 9725, section 4.3.1: a PATCH names its ICE session."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        return error(428, "if_match_missing", f"send If-Match: {ETAG}, the ETag of the answer")
    if wanted.strip() not in (ETAG, "*"):
        return error(412, "if_match_differs", f"this session's ETag is {ETAG}")
    return None


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise UsageError("the SDP is not UTF-8 text") from None


def _checked(body: bytes) -> str:
    offer = _text(body)
    if not offer.startswith("v=0") or "\nm=" not in offer:
        raise UsageError("the offer is not SDP: it must start with v=0 and have an m= line")
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
