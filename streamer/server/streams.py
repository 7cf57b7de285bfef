"""programs, stream decks → **streams** → live: live streams by name.

Lists them, gives the newest image as JPEG or all of them as MJPEG, and changes the style.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Body, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from streamer.errors import ServerFullError
from streamer.pipeline.change import change
from streamer.server.interfaces import Live
from streamer.server.whip import Name

BOUNDARY = "frame"
MJPEG_MAX = 8  # clients at once; viewers by WHEP take far less bandwidth
MJPEG_FPS = 25.0  # what FFmpeg takes for granted: of more, OBS and VLC fall behind for ever

_MULTIPART = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
_CHANGE = Body(
    examples=[{"style": "mosaic", "transition_s": 2}, {"style": {"mosaic": 0.7, "candy": 0.3}}]
)


def stream_routes(live: Live) -> APIRouter:
    routes = APIRouter(prefix="/streams", tags=["live"])
    readers: set[object] = set()

    @routes.get("")
    async def listing(request: Request) -> dict[str, dict[str, Any]]:
        """The streams that can be watched, at /watch/NAME and by WHEP at /whep/NAME."""
        pages = f"{request.scope['root_path']}/watch"
        return {
            name: {**stats, "viewers": live.viewers.count(name), "watch": f"{pages}/{name}"}
            for name, stats in live.publishers.active().items()
        }

    @routes.get("/{name}.jpg", response_class=Response, responses=_responses("image/jpeg"))
    async def newest(name: Name) -> Response:
        """The newest stylized image."""
        jpeg = await live.pictures.newest(name)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @routes.get("/{name}.mjpeg", response_class=Response, responses=_responses(_MULTIPART))
    async def mjpeg(name: Name) -> Response:
        """One JPEG after the other, for players without WebRTC."""
        first = await live.pictures.newest(name)  # raises when there is none
        if len(readers) >= MJPEG_MAX:
            raise ServerFullError(
                f"{MJPEG_MAX} clients read MJPEG already; watch it at /watch/{name}"
            )
        return _Mjpeg(_parts(first, live.pictures.each(name)), readers)

    @routes.patch("/{name}")
    async def change_style(name: Name, wanted: dict[str, Any] = _CHANGE) -> dict[str, object]:
        """Change style, blend or strength from the next frame on, as the page does."""
        return await live.publishers.change(name, change(wanted))

    return routes


def _responses(kind: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {}}}, 404: {"description": "nobody publishes it"}}


class _Mjpeg(StreamingResponse):
    """As fast as the client reads; the frames in between are skipped.

    In `readers` from its creation on, not from its first byte: many requests at the same moment
    must not all find a free place.
    """

    def __init__(self, parts: AsyncIterator[bytes], readers: set[object]) -> None:
        super().__init__(parts, media_type=_MULTIPART)
        self._readers = readers
        readers.add(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._readers.discard(self)


async def _parts(first: bytes, pictures: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield _part(first, time.time())
    beat = Beat(MJPEG_FPS)
    async for jpeg in pictures:
        if beat.due(time.monotonic()):
            yield _part(jpeg, time.time())


class Beat:
    """Which frames to show so that there are at most `fps` in any second, evenly (pure)."""

    def __init__(self, fps: float) -> None:
        self._step_s = 1 / fps
        self._due_at = float("-inf")

    def due(self, now: float) -> bool:
        """Whether to show a frame that comes now."""
        if now < self._due_at:
            return False
        # The rest of a beat is kept, so that 30 fps become 25 and not 15.
        self._due_at = max(self._due_at + self._step_s, now)
        return True


def _part(jpeg: bytes, at: float) -> bytes:
    """`at` is in seconds since 1970."""
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
    return f"{head}X-Timestamp: {at:.6f}\r\n\r\n".encode() + jpeg + b"\r\n"
