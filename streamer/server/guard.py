"""The outermost ASGI layer: who may send requests, and how large they may be.

Checks Host (against DNS rebinding), Origin and the token on every route, bounds every body while
it streams in, and adds the security headers to every answer. On pages, a token in the URL is
exchanged for a cookie.
"""

import asyncio
import ipaddress
import secrets
import socket
from urllib.parse import quote, urlencode

from fastapi.exceptions import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.server.config import Config
from streamer.server.error_responses import error
from streamer.server.origin import Origin, parse_origin

SMALL_BODY_BYTES = 128 * 1024  # an SDP offer; only photos and videos may be larger
BODY_DEADLINE_S = 60.0
VIDEO_DEADLINE_S = 3600.0  # over a slow Wi-Fi

# The web page is built by Vite (no inline scripts); Swagger UI needs inline styles and data: icons.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(self), microphone=(self), display-capture=(self), "
        "picture-in-picture=(self), fullscreen=(self), geolocation=(), payment=(), usb=()"
    ),
}
_CORS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, Link, ETag, Retry-After",
    "Access-Control-Max-Age": "600",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Origin",
}
_HOST_REFUSED = "use the server's IP address, or start it with --allow-origin and your origin"
_CLOSE = {"Connection": "close"}


class Guard:
    """Refused requests never reach the application."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._config = config
        self._origins = {parse_origin(origin) for origin in config.allowed_origins}
        self._names = _known_names(config)
        self._cookie = f"streamer_{config.port}"  # cookies are shared by all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(scope), receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        limit, deadline_s = self._bounds(request)
        app = self._refuse(request, limit) or self._app
        body = _BoundedBody(receive, limit, deadline_s)
        await app(request.scope, body, self._with_headers(request, send))

    def _refuse(self, request: Request, limit: int) -> Response | None:
        """The answer to a request that is refused, or None."""
        here = parse_origin(f"{request.scope['scheme']}://{request.headers.get('host', '')}")
        if here is None or not self._host_known(here.host):
            return error(403, "host_refused", _HOST_REFUSED)
        if not self._origin_allowed(request, here):
            origin = request.headers["origin"]
            return error(403, "origin_refused", f"start the server with --allow-origin {origin}")
        if _length(request) > limit:
            return error(413, "too_large", _too_large(limit), _CLOSE)
        return self._refuse_token(request)

    def _host_known(self, host: str) -> bool:
        """DNS rebinding needs a name that the attacker controls, so unknown names are refused."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host in self._names
        return address.is_loopback or not self._config.loopback

    def _origin_allowed(self, request: Request, here: Origin) -> bool:
        origin = request.headers.get("origin")
        if origin is None or self._is_allowed_origin(request):
            return True
        return parse_origin(origin) == here

    def _is_allowed_origin(self, request: Request) -> bool:
        origin = parse_origin(request.headers.get("origin", ""))
        return origin is not None and origin in self._origins

    def _refuse_token(self, request: Request) -> Response | None:
        token = self._config.token
        if token is None or self._is_preflight(request):
            return None
        if _is_page(request.scope["path"]) and "token" in request.query_params:
            if _same(request.query_params["token"], token):
                return self._to_cookie(request, token)
        elif _same(self._offered(request), token):
            return None
        message = "send 'Authorization: Bearer TOKEN', or open the URL that the server printed"
        return error(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})

    def _is_preflight(self, request: Request) -> bool:
        """Browsers send these without credentials; they change nothing."""
        asks = "access-control-request-method" in request.headers
        return request.method == "OPTIONS" and asks and self._is_allowed_origin(request)

    def _offered(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return request.cookies.get(self._cookie, "")

    def _to_cookie(self, request: Request, token: str) -> Response:
        """Exchange the token in the URL for a cookie, to keep it out of the browser's history."""
        rest = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "token"])
        path = quote(request.scope["path"])
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        secure = self._config.scheme == "https"
        response.set_cookie(self._cookie, token, httponly=True, samesite="strict", secure=secure)
        return response

    def _bounds(self, request: Request) -> tuple[int, float]:
        """Bytes and seconds that the body may take."""
        path = request.scope["path"]
        if path == "/videos":
            return self._config.max_video_bytes, VIDEO_DEADLINE_S
        photo = path == "/styles" or path.startswith("/stylize/")
        return self._config.max_body_bytes if photo else SMALL_BODY_BYTES, BODY_DEADLINE_S

    def _with_headers(self, request: Request, send: Send) -> Send:
        extra = dict(_HEADERS)
        if self._is_allowed_origin(request):
            extra |= _CORS | {"Access-Control-Allow-Origin": request.headers["origin"]}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(extra)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        return send_with_headers


class _BoundedBody:
    """Receives a body of at most `limit` bytes within `deadline_s`, else 413 or 408."""

    def __init__(self, receive: Receive, limit: int, deadline_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._deadline = asyncio.get_running_loop().time() + deadline_s
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body arrived too slowly; try again", _CLOSE) from None
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(413, _too_large(self._limit), _CLOSE)
        return message


def _known_names(config: Config) -> set[str]:
    names = {"localhost", config.host.lower()}
    names |= {origin.host for text in config.allowed_origins if (origin := parse_origin(text))}
    if not config.loopback:
        own = socket.gethostname().lower()
        names |= {own, f"{own}.local"}
    return names - {""}


def _is_page(path: str) -> bool:
    return path == "/" or path.startswith("/watch/")


def _length(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _same(offered: str, token: str) -> bool:
    return secrets.compare_digest(offered.encode(), token.encode())


def _too_large(limit: int) -> str:
    return f"the body may have at most {limit / 2**20:g} MiB"
