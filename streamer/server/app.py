"""The HTTP side: WHIP and WHEP for live streams, one route for photos, and what there is to know.

Knows no WebRTC, no Ray and no model: peers come from the sessions, pictures from the ring.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, UploadFile
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp

from streamer import __version__
from streamer.files.uploads import VideoJobs
from streamer.frame import Image, Style
from streamer.live.broadcast import Broadcasts
from streamer.photo import decode_photo, encode_jpeg
from streamer.server import error_responses as http_errors
from streamer.server.admission import AdmissionLimit
from streamer.server.config import Config
from streamer.server.guard import Guard
from streamer.server.metrics import Metrics, Snapshot
from streamer.server.pages import add_docs, add_page, add_phone, add_watch
from streamer.server.streams import Publishers, Watchers, streams
from streamer.server.styles import Catalogue
from streamer.server.styles import styles as style_routes
from streamer.server.videos import films as film_routes
from streamer.server.whip import require, signalling

PHOTOS_AT_ONCE = 2
PHOTOS_WAITING = 8


class Ring(Protocol):
    """What HTTP needs of `streamer.ring.ring.Ring`."""

    @property
    def ready(self) -> bool: ...
    async def stylize(self, image: Image, style: Style) -> Image: ...
    def stats(self) -> list[dict[str, object]]: ...


@dataclass(frozen=True, slots=True)
class Live:
    """Everyone who publishes or watches."""

    publishers: Publishers
    viewers: Watchers
    broadcasts: Broadcasts


def create_app(
    config: Config,
    ring: Ring,
    live: Live,
    catalogue: Catalogue,
    films: VideoJobs,
    *,
    phone_url: str | None = None,
) -> ASGIApp:
    """The whole HTTP application, behind its guard; `phone_url`: how a phone reaches it."""
    app = FastAPI(
        title="streamer",
        version=__version__,
        summary="Stylize live video with a neural style.",
        docs_url=None,
        redoc_url=None,
    )
    http_errors.install(app)

    def snapshot() -> dict[str, Any]:
        return {
            "version": __version__,
            "ready": ring.ready,
            "workers": ring.stats(),
            "streams": live.publishers.stats(),
            "viewers": live.viewers.stats(),
        }

    metrics = Metrics(snapshot)
    _add_health(app, ring, snapshot, metrics)
    _add_photos(app, config, ring, catalogue, metrics)
    app.include_router(style_routes(catalogue))
    app.include_router(signalling("whip", ring, live.publishers, config.ice_servers))
    app.include_router(signalling("whep", ring, live.viewers, config.ice_servers))
    app.include_router(streams(live.publishers, live.viewers, live.broadcasts))
    app.include_router(film_routes(ring, catalogue, films))
    add_watch(app)
    add_docs(app)
    add_phone(app, phone_url)
    add_page(app)
    return Guard(app, config)


def _add_health(app: FastAPI, ring: Ring, snapshot: Snapshot, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["numbers"])
    async def healthz() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["numbers"])
    async def readyz() -> dict[str, str]:
        """Whether frames can be stylized; 503 until the workers are warm."""
        require(ring)
        return {"status": "ready"}

    @app.get("/stats", tags=["numbers"])
    async def stats() -> Mapping[str, Any]:
        """Workers and live streams, now."""
        return snapshot()

    @app.get("/metrics", tags=["numbers"], response_class=Response)
    async def prometheus() -> Response:
        """The same for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_photos(
    app: FastAPI, config: Config, ring: Ring, catalogue: Catalogue, metrics: Metrics
) -> None:
    photos = AdmissionLimit(PHOTOS_AT_ONCE, PHOTOS_WAITING, "photos")

    @app.post("/stylize/{style}", tags=["photos"], response_class=Response, responses=_JPEG)
    async def stylize(
        style: str,
        image: UploadFile,
        strength: Annotated[float, Query(ge=0, le=1)] = 1.0,
        preserve_color: bool = False,
    ) -> Response:
        """Stylize one photo in its full resolution; `style` may be a blend, `a:0.7,b:0.3`."""
        look = Style(catalogue.parse(style), strength, preserve_color)
        require(ring)
        began_at = time.monotonic()
        async with photos.slot():
            data = await image.read()
            photo = await asyncio.to_thread(decode_photo, data, config.max_photo_pixels)
            jpeg = await asyncio.to_thread(encode_jpeg, await ring.stylize(photo, look))
        metrics.photo_s.observe(time.monotonic() - began_at)
        return Response(jpeg, media_type="image/jpeg")


_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    404: {"description": "no such style; the message names those there are"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not an image"},
}
