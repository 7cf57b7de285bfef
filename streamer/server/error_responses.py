"""How the server says no: one JSON shape, one line that tells what to do.

{"error": {"code": "unknown_style", "message": "unknown style 'x'; there are: none, mosaic"}}
"""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from streamer.errors import (
    MediaError,
    NotLiveError,
    RingError,
    ServerFullError,
    StreamerError,
    StylizeError,
    TooLargeError,
    UnavailableError,
    UnknownStyleError,
    UsageError,
)

log = logging.getLogger(__name__)

RETRY_AFTER_S = 3

# Children before their parents: the first match counts.
_STATUS: tuple[tuple[type[StreamerError], int, str], ...] = (
    (UnknownStyleError, 404, "unknown_style"),
    (ServerFullError, 503, "server_full"),
    (NotLiveError, 404, "not_live"),
    (UsageError, 400, "bad_request"),
    (TooLargeError, 413, "too_large"),
    (MediaError, 415, "unsupported_media"),
    (UnavailableError, 501, "unavailable"),
    (StylizeError, 422, "cannot_stylize"),
    (RingError, 503, "not_ready"),
    (StreamerError, 500, "failed"),
)
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as every route answers it; one that passes says when to come back."""
    content = {"error": {"code": code, "message": message}}
    passes = status == 503 or code == "not_live"
    retry = {"Retry-After": str(RETRY_AFTER_S)} if passes else {}
    return JSONResponse(content, status, {**retry, **(headers or {})})


def install(app: FastAPI) -> None:
    """Make `app` answer every failure in that shape."""
    app.exception_handler(StreamerError)(_on_streamer_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(Exception)(_on_bug)


async def _on_streamer_error(request: Request, failure: StreamerError) -> Response:
    status, code = next(
        (status, code) for kind, status, code in _STATUS if isinstance(failure, kind)
    )
    return error(status, code, str(failure))


async def _on_http_exception(request: Request, failure: HTTPException) -> Response:
    status = failure.status_code
    message = failure.detail
    if status == 404:
        message = f"there is no {request.url.path} here; the routes are listed at /docs"
    elif status == 405:
        message = f"{request.method} cannot be used on {request.url.path}; see /docs"
    return error(status, _CODES.get(status, "failed"), message, failure.headers)


async def _on_invalid(request: Request, failure: RequestValidationError) -> Response:
    first = failure.errors()[0]
    place = " ".join(str(part) for part in first["loc"])
    return error(422, "invalid", f"{place}: {first['msg']}; see /docs")


async def _on_bug(request: Request, failure: Exception) -> Response:
    return error(500, "internal", "the server made a mistake; its log tells which")
