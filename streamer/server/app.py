"""The HTTP application: WHIP, WHEP, streams, photos, videos, styles, tokens, metrics, pages.

Knows no WebRTC, no Ray and no model: see `interfaces`.
"""

from fastapi import FastAPI

from streamer import __version__
from streamer.files.uploads import VideoJobs
from streamer.server import error_responses
from streamer.server.config import Config
from streamer.server.guard import Guard
from streamer.server.interfaces import Catalogue, Live, Ring
from streamer.server.metrics import Metrics, metric_routes
from streamer.server.pages import add_docs, add_page, add_watch
from streamer.server.photos import PhotoFiles, photo_routes
from streamer.server.sharing import sharing_routes
from streamer.server.streams import stream_routes
from streamer.server.styles import style_routes
from streamer.server.videos import video_routes
from streamer.server.whip import signalling_routes


def create_app(
    config: Config,
    ring: Ring,
    live: Live,
    catalogue: Catalogue,
    videos: VideoJobs,
    *,
    photo_files: PhotoFiles,
    phone_url: str | None = None,
) -> Guard:
    """The application behind its guard; `phone_url` is the page as a phone reaches it."""
    app = FastAPI(
        title="streamer",
        version=__version__,
        summary="Stylize live video with a neural style.",
        docs_url=None,
        redoc_url=None,
    )
    error_responses.install(app)
    metrics = Metrics(ring, live)
    for routes in (
        metric_routes(ring, metrics),
        photo_routes(
            config.max_photo_pixels, photo_files, ring, catalogue, metrics.photo_s.observe
        ),
        style_routes(catalogue),
        signalling_routes("whip", ring, live.publishers, config.ice_servers),
        signalling_routes("whep", ring, live.viewers, config.ice_servers),
        stream_routes(live),
        video_routes(ring, catalogue, videos),
        sharing_routes(closed=config.token is not None, phone_url=phone_url),
    ):
        app.include_router(routes)
    add_watch(app, config.root_path)
    add_docs(app)
    add_page(app, config.root_path)
    return Guard(app, config, (live.publishers.end_of, live.viewers.end_of))
