"""The outermost ASGI layer: who may send requests, and how large they may be.

Checks Host (against DNS rebinding), Origin and the token on every route, bounds every body while
it streams in, and adds the security headers to every answer. On pages, a token in the URL is
exchanged for a cookie.
"""

import asyncio
import contextlib
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import Literal
from urllib.parse import quote, urlencode

from fastapi.exceptions import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamer.server.access import Access, Guesses
from streamer.server.config import Config
from streamer.server.error_responses import error
from streamer.server.origin import Origin, parse_origin
from streamer.server.revoking import EndOf, Revoking
from streamer.server.token_page import token_page
from streamer.server.tokens import Tokens

SMALL_BODY_BYTES = 128 * 1024  # an SDP offer; only photos and videos may be larger
BODY_DEADLINE_S = 60.0
VIDEO_DEADLINE_S = 3600.0  # over a slow Wi-Fi
QUERY_BYTES, QUERY_FIELDS = 4096, 20  # a file name of 200 characters takes up to 2400
PACE_S, PACE_BYTES = 10.0, 32 * 1024  # slower bodies are given up

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
_UNAUTHORIZED = "send 'Authorization: Bearer TOKEN', or open the URL that the server printed"
_READ_ONLY = "a token in this URL must be one that only watches: streamer token add --role watch"
_QUERY = f"the query of a URL may have at most {QUERY_BYTES} bytes and {QUERY_FIELDS} fields"
_NO_PLACE = "all connections of this token, or of its role, are in use; try again in a few seconds"
_CLOSE = {"Connection": "close"}
_BY_URL = re.compile(r"/streams/[^/]+\.(?:jpg|mjpeg)$|/whep/")  # players that send no headers


class Guard:
    """Refused requests never reach the application."""

    def __init__(self, app: ASGIApp, config: Config, ends: Sequence[EndOf] = ()) -> None:
        self._app = app
        self._config = config
        self._origins = {parse_origin(origin) for origin in config.allowed_origins}
        self._names = _known_names(config)
        self._tokens = None if config.token is None else Tokens(config.token)
        self.revoking = Revoking(self._tokens, ends)
        self._guesses = Guesses()
        self._cookie = f"streamer_{config.port}"  # cookies are shared by all ports of a host
        self._in_cookie = re.compile(rf'(?:^|;) *{self._cookie}="?([^";]*)')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(self._below_root(scope)), receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _below_root(self, scope: Scope) -> Scope:
        """Some proxies take --root-path off what they pass on, others do not."""
        root, path = self._config.root_path, scope["path"]
        if not root:
            return scope
        path = path.removeprefix(root) if path.startswith(f"{root}/") else path
        return {**scope, "path": path, "root_path": root}

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        limit, deadline_s = self._bounds(request)
        access = await self._judge(request, limit)
        answer, token = access if isinstance(access, Response) else self._app, ""
        if isinstance(access, Access):
            token = access.token
            if not _has_place(request, access):
                answer = error(503, "server_full", _NO_PLACE, _CLOSE)
        body = _BoundedBody(receive, limit, deadline_s)
        abort = request.scope.get("state", {}).get("abort", lambda: None)
        # It may go while we read: there is nobody to tell.
        with contextlib.suppress(ClientDisconnect), self.revoking.answering(token, abort):
            scope = self._for_app(request.scope, token)
            await answer(scope, body, self._with_headers(request, send))

    def _for_app(self, scope: Scope, token: str) -> Scope:
        """With the token's digest, without cookies: FastAPI would parse them for every route."""
        headers = [header for header in scope["headers"] if header[0] != b"cookie"]
        path, state = self._config.root_path + scope["path"], {"token": token}
        return {**scope, "path": path, "headers": headers, "state": state}

    async def _judge(self, request: Request, limit: int) -> Response | Access | None:
        """The answer to a request that is refused, or what it may do; None: a preflight."""
        query = request.scope["query_string"]
        if len(query) > QUERY_BYTES or query.count(b"&") >= QUERY_FIELDS:
            return error(414, "query_too_long", _QUERY, _CLOSE)
        here = parse_origin(f"{request.scope['scheme']}://{request.headers.get('host', '')}")
        if here is None or not self._host_known(here.host):
            return error(403, "host_refused", _HOST_REFUSED, _CLOSE)
        if not self._origin_allowed(request, here):
            origin = request.headers["origin"]
            message = f"start the server with --allow-origin {origin}"
            return error(403, "origin_refused", message, _CLOSE)
        if _length(request) > limit:
            return error(413, "too_large", _too_large(limit), _CLOSE)
        return await self._judge_token(request)

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

    async def _judge_token(self, request: Request) -> Response | Access | None:
        """Also answers a page whose URL has the token, by a cookie and the URL without it."""
        if self._is_preflight(request):
            return None
        if self._tokens is None:
            return Access("admin")
        path = request.scope["path"]
        page, by_url = _is_page(path), _BY_URL.match(path)
        in_url = request.query_params.get("token") if page or by_url else None
        offered = self._offered(request) if in_url is None else in_url
        access = self._tokens.find(offered) if offered else None
        if access is None:
            if offered:
                address = request.client.host if request.client else ""
                await asyncio.sleep(self._guesses.delay_s(address, time.monotonic()))
            return _unauthorized(request, wrong=bool(offered))
        if not access.allows(request.method, path):
            return error(403, "forbidden", f"this token is for the role {access.role} only", _CLOSE)
        if in_url is not None and by_url and access.role != "watch":
            return error(403, "forbidden", _READ_ONLY, _CLOSE)
        return self._to_cookie(request, in_url, access) if page and in_url else access

    def _is_preflight(self, request: Request) -> bool:
        """Browsers send these without credentials; they change nothing."""
        asks = "access-control-request-method" in request.headers
        return request.method == "OPTIONS" and asks and self._is_allowed_origin(request)

    def _offered(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return self._kept(request)

    def _kept(self, request: Request) -> str:
        """The token in our cookie, or "".

        Python's own parser takes seconds to unquote 31 KB of backslashes (CVE-2024-7592); no
        token has anything to unquote.
        """
        cookies = "; ".join(request.headers.getlist("cookie"))
        return next(reversed(self._in_cookie.findall(cookies)), "")

    def _to_cookie(self, request: Request, token: str, access: Access) -> Response:
        """Exchange the token in the URL for a cookie, to keep it out of the browser's history.

        In a frame of --embed, which is of another site, browsers keep only a partitioned cookie
        that is secure; only a token that can change nothing gets one.
        """
        rest = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "token"])
        path = quote(self._config.root_path + request.scope["path"])
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        kept = self._tokens and self._tokens.find(self._kept(request))
        if kept and kept.role == "admin":  # who looks at an address made for others stays one
            return response
        framed = access.role == "watch" and self._is_embedded(request)
        secure = framed or self._config.scheme == "https"
        site: Literal["none", "strict"] = "none" if framed else "strict"
        response.set_cookie(self._cookie, token, httponly=True, samesite=site, secure=secure)
        if framed:  # Starlette knows the word on Python 3.14 only
            response.headers["set-cookie"] += "; Partitioned"
        return response

    def _is_embedded(self, request: Request) -> bool:
        in_frame = request.headers.get("sec-fetch-dest") == "iframe"
        return in_frame and self._may_be_embedded(request)

    def _may_be_embedded(self, request: Request) -> bool:
        return bool(self._config.embed_origins) and request.scope["path"].startswith("/watch/")

    def _bounds(self, request: Request) -> tuple[int, float]:
        """Bytes and seconds that the body may take."""
        path = request.scope["path"]
        if path == "/videos":
            return self._config.max_video_bytes, VIDEO_DEADLINE_S
        photo = path == "/styles" or path.startswith("/stylize/")
        return self._config.max_body_bytes if photo else SMALL_BODY_BYTES, BODY_DEADLINE_S

    def _with_headers(self, request: Request, send: Send) -> Send:
        extra = dict(_HEADERS)
        if self._may_be_embedded(request):
            ancestors = " ".join(["frame-ancestors 'self'", *self._config.embed_origins])
            extra["Content-Security-Policy"] = _POLICY.replace("frame-ancestors 'none'", ancestors)
            del extra["X-Frame-Options"]  # it knows no other origins
        if self._is_allowed_origin(request):
            extra |= _CORS | {"Access-Control-Allow-Origin": request.headers["origin"]}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(extra)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        return send_with_headers


def _has_place(request: Request, access: Access) -> bool:
    """Whether `http_server` keeps the connection."""
    accept: Callable[[Access], bool] | None = request.scope.get("state", {}).get("accept")
    return accept is None or accept(access)


def _unauthorized(request: Request, *, wrong: bool) -> Response:
    """A person who opens a page is asked for the token; all others get the error."""
    if _is_page(request.scope["path"]) and "text/html" in request.headers.get("accept", ""):
        kept = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        language = request.headers.get("accept-language", "")
        return HTMLResponse(token_page(language, kept, wrong=wrong), 401, _CLOSE)
    return error(401, "unauthorized", _UNAUTHORIZED, {"WWW-Authenticate": "Bearer"} | _CLOSE)


class _BoundedBody:
    """Receives a body of at most `limit` bytes within `deadline_s`, else 413 or 408.

    Also 408 when less than `PACE_BYTES` arrive in `PACE_S`, unless the body ends before.
    """

    def __init__(self, receive: Receive, limit: int, deadline_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._deadline = asyncio.get_running_loop().time() + deadline_s
        self._pace_s, self._pace_bytes = PACE_S, PACE_BYTES
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        began_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(self._deadline, began_at + self._pace_s)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body arrived too slowly; try again", _CLOSE) from None
        self._keep_pace(len(message.get("body", b"")), began_at)
        self._left -= len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._left < 0:
            raise HTTPException(413, _too_large(self._limit), _CLOSE)
        return message

    def _keep_pace(self, received: int, began_at: float) -> None:
        """Only time in which the application waits for the client counts."""
        self._pace_s -= asyncio.get_running_loop().time() - began_at
        self._pace_bytes -= received
        if self._pace_bytes <= 0:
            self._pace_s, self._pace_bytes = PACE_S, PACE_BYTES


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


def _too_large(limit: int) -> str:
    return f"the body may have at most {limit / 2**20:g} MiB"
