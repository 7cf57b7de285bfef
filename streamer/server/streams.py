"""programs, stream decks → **streams** → sessions, broadcast: live streams by their names.

What is on, a picture of it, pictures one after the other, and another look for it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from fastapi import APIRouter, Body
from starlette.responses import Response, StreamingResponse

from streamer.errors import ServerFullError
from streamer.frame import Frame
from streamer.live.broadcast import Broadcast, Broadcasts
from streamer.photo import encode_jpeg
from streamer.pipeline.change import Change, change
from streamer.pipeline.intake import Intake
from streamer.server.whip import Connections, Name

BOUNDARY = "frame"
MJPEG_MAX = 8  # who take whole pictures at once; viewers by WHEP take far less of the network
PATIENCE_S = 10.0  # without a picture


class Publishers(Connections, Protocol):
    """Every publisher of the server, by name."""

    def change(self, name: str, wanted: Change) -> dict[str, object]: ...
    def active(self) -> dict[str, dict[str, object]]: ...
    def stats(self) -> dict[str, dict[str, object]]: ...


class Watchers(Connections, Protocol):
    """Every viewer of the server."""

    def count(self, name: str) -> int: ...
    def stats(self) -> dict[str, dict[str, object]]: ...


def streams(publishers: Publishers, watchers: Watchers, broadcasts: Broadcasts) -> APIRouter:
    """The routes below /streams."""
    routes = APIRouter(prefix="/streams", tags=["live"])
    jpegs: dict[str, _Jpegs] = {}
    taking: set[object] = set()

    def jpeg_of(broadcast: Broadcast) -> _Jpegs:
        for gone in [name for name in jpegs if name not in publishers.active()]:
            del jpegs[gone]
        return jpegs.setdefault(broadcast.name, _Jpegs())

    @routes.get("")
    async def listing() -> dict[str, dict[str, Any]]:
        """What can be watched, at /watch/NAME and by WHEP at /whep/NAME."""
        return {
            name: {**numbers, "viewers": watchers.count(name), "watch": f"/watch/{name}"}
            for name, numbers in publishers.active().items()
        }

    @routes.get("/{name}.jpg", response_class=Response, responses=_picture("image/jpeg"))
    async def picture(name: Name) -> Response:
        """The newest stylized picture."""
        broadcast = broadcasts.live(name)
        assert broadcast.newest is not None
        jpeg = await jpeg_of(broadcast).of(broadcast.newest)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @routes.get("/{name}.mjpeg", response_class=Response, responses=_picture(_MULTIPART))
    async def pictures(name: Name) -> Response:
        """One JPEG after the other, for players that know nothing better."""
        broadcast = broadcasts.live(name)
        if len(taking) >= MJPEG_MAX:
            raise ServerFullError(f"{MJPEG_MAX} take this already; watch it at /watch/{name}")
        parts = _parts(broadcast, jpeg_of(broadcast), taking)
        return StreamingResponse(parts, media_type=_MULTIPART)

    @routes.patch("/{name}")
    async def alter(name: Name, wanted: dict[str, Any] = _WANTED) -> dict[str, object]:
        """Change its look from the next frame on, as the page does."""
        return publishers.change(name, change(wanted))

    return routes


_MULTIPART = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
_WANTED = Body(
    examples=[{"style": "mosaic", "transition_s": 2}, {"style": {"mosaic": 0.7, "candy": 0.3}}]
)


def _picture(kind: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {kind: {}}}, 404: {"description": "nobody publishes it"}}


class _Jpegs:
    """The newest frame of one stream as a JPEG, made once for all who want it."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._made: asyncio.Future[bytes] | None = None

    async def of(self, frame: Frame) -> bytes:
        if self._made is None or frame is not self._frame:
            self._frame = frame
            self._made = asyncio.ensure_future(asyncio.to_thread(encode_jpeg, frame.image))
        return await asyncio.shield(self._made)


async def _parts(broadcast: Broadcast, jpegs: _Jpegs, taking: set[object]) -> AsyncIterator[bytes]:
    """As fast as they are taken; what comes in between is left out."""
    tap: Intake[Frame] = Intake()
    taking.add(tap)
    try:
        with broadcast.tap(tap):
            while await _there(tap):
                jpeg = await jpegs.of(tap.take())
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                yield head.encode() + b"\r\n\r\n" + jpeg + b"\r\n"
    finally:
        taking.discard(tap)


async def _there(tap: Intake[Frame]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await tap.ready()
    except TimeoutError:
        return False
