"""Errors over HTTP: one JSON shape, and one line that says what to do.

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
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    422: "invalid",
}


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as every route answers it; a temporary one has Retry-After."""
    # A lone surrogate, from JSON such as "\\ud800", cannot be encoded as UTF-8.
    printable = message.encode("utf-8", "backslashreplace").decode()
    content = {"error": {"code": code, "message": printable}}
    temporary = status == 503 or code == "not_live"
    retry = {"Retry-After": str(RETRY_AFTER_S)} if temporary else {}
    return JSONResponse(content, status, {**retry, **(headers or {})})


def install(app: FastAPI) -> None:
    """Answer every failure of `app` in that shape."""
    app.exception_handler(StreamerError)(_on_streamer_error)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(Exception)(_on_exception)


async def _on_streamer_error(request: Request, failure: StreamerError) -> Response:
    status, code = next(
        (status, code) for kind, status, code in _STATUS if isinstance(failure, kind)
    )
    return error(status, code, str(failure))


async def _on_http_exception(request: Request, failure: HTTPException) -> Response:
    status = failure.status_code
    message = failure.detail
    if status == 404:
        message = f"there is no {request.scope['path']}; /docs lists the routes"
    elif status == 405:
        message = f"{request.scope['path']} does not take {request.method}; see /docs"
    return error(status, _CODES.get(status, "failed"), message, failure.headers)


async def _on_invalid(request: Request, failure: RequestValidationError) -> Response:
    first = failure.errors()[0]
    place = " ".join(str(part) for part in first["loc"])
    return error(422, "invalid", f"{place}: {first['msg']}; see /docs")


async def _on_exception(request: Request, failure: Exception) -> Response:
    return error(500, "internal", "internal error; see the server log")
