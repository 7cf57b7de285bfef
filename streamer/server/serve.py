"""`streamer serve`: starts port, ring, sessions and HTTP in this order, and stops them in reverse.

The port is bound before anything else, and answers /healthz while the workers load.
"""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from streamer import ending, temporary
from streamer.errors import MediaError
from streamer.files.uploads import VideoJobs
from streamer.frame import Style
from streamer.library.live import LiveCatalogue
from streamer.live.broadcast import Broadcasts
from streamer.live.pictures import Pictures
from streamer.live.place import Settings
from streamer.live.placement import Placement
from streamer.live.session import Defaults
from streamer.live.sessions import Sessions
from streamer.live.viewers import Viewers
from streamer.paths import data_dir, written_whole
from streamer.ring.ring import Ring
from streamer.ring.start import ring_of
from streamer.server import browser, qr
from streamer.server.app import create_app
from streamer.server.config import Config
from streamer.server.guard import Guard
from streamer.server.http_server import serving
from streamer.server.interfaces import Live
from streamer.server.listen import bind, check_tls, notify_ready, urls
from streamer.server.photos import PhotoFiles
from streamer.styles.catalogue import Catalogue
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.options import PeerOptions

log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Serve until a signal says to stop. Raises StreamerError, and Stopped with code 0."""
    check_tls(config)
    with bind(config.host, config.port) as listener:
        ending.run(_serve(config, listener), code=0)


async def _serve(config: Config, listener: socket.socket) -> None:
    began_at = time.monotonic()
    broadcasts = Broadcasts()
    addresses = urls(config, listener.getsockname()[1])
    ring, placement, closing, app = _assemble(config, broadcasts, addresses)
    async with (
        _camera(config, broadcasts),
        app.revoking.running(),
        serving(config, app, listener) as http,
    ):
        with _announced(config, addresses):
            async with ring, closing:
                if placement is not None:
                    await placement.start()
                gc.collect()
                gc.freeze()  # all this stays; collecting it again took 0.3 s each time
                notify_ready()
                print(f"ready in {time.monotonic() - began_at:.1f} s; Ctrl-C stops", flush=True)
                if config.open_browser and has_display():
                    closing.enter_context(browser.opened(addresses[0]))
                failed = asyncio.create_task(ring.failed.wait())
                await asyncio.wait({http, failed}, return_when=asyncio.FIRST_COMPLETED)
                failed.cancel()
                if ring.failure is not None:  # without workers there is nothing to serve
                    raise ring.failure


def _assemble(
    config: Config, broadcasts: Broadcasts, addresses: list[str]
) -> tuple[Ring, Placement | None, contextlib.AsyncExitStack, Guard]:
    """Everything, connected and not yet started."""
    catalogue = Catalogue.load()
    here = config.ray_address is None
    blend = catalogue.parse_live(config.style or catalogue.default)
    style = Style(blend, smooth=config.smooth, tone=config.tone)

    ring = ring_of(
        config.setup,
        catalogue,
        style,
        address=config.ray_address,
        follow_catalogue=here,
        shared=config.peer_processes > 0,
    )
    styles = LiveCatalogue(catalogue, max_pixels=config.max_photo_pixels, here=here)
    settings = Settings(
        peer_options(config),
        Defaults(style, config.height_px, config.target_fps, config.deadline_s, config.brush),
        catalogue,
        config.setup.depth,
        config.max_peers,
        config.max_viewers,
        here,
    )
    placement = Placement(ring, config.peer_processes, settings) if config.peer_processes else None
    if placement is not None:
        live = Live(placement, placement.viewers, placement, placement.processes)
        parts = [placement.aclose]
    else:
        viewers = Viewers(broadcasts, settings.options, config.max_viewers)
        sessions = Sessions(
            ring,
            styles.parse,
            options=settings.options,
            defaults=settings.defaults,
            max_peers=config.max_peers,
            broadcasts=broadcasts,
        )
        live = Live(sessions, viewers, Pictures(broadcasts))
        parts = [sessions.aclose, viewers.aclose]
    videos = VideoJobs(lambda: ring.open(live=False))
    photo_files = PhotoFiles()
    photo_files.start()
    phone = _for_phones(config, addresses)
    app = create_app(
        config,
        ring,
        live,
        styles,
        videos,
        photo_files=photo_files,
        phone_url=phone and phone.partition("?")[0],
    )
    closing = contextlib.AsyncExitStack()
    for close in (*parts, videos.aclose, photo_files.aclose):
        closing.push_async_callback(close)
    return ring, placement, closing, app


def _for_phones(config: Config, addresses: list[str]) -> str | None:
    """The page's address for other machines; None when their browsers would give no camera."""
    return addresses[-1] if config.scheme == "https" and not config.loopback else None


def _bitrate(config: Config) -> Bitrate:
    """Starts carefully, except on loopback, where there is no path to find out about."""
    bounds = Bitrate(min=config.min_bitrate_bps, max=config.max_bitrate_bps)
    careful_bps = bounds.max if config.loopback else bounds.bound(bounds.start)
    return replace(bounds, start=config.start_bitrate_bps or careful_bps)


def peer_options(config: Config) -> PeerOptions:
    """The same for every connection."""
    return PeerOptions(
        bitrate=_bitrate(config),
        ice_servers=config.ice_servers,
        loopback=config.loopback,
        calm=config.calm,
        udp_ports=config.udp_ports and range(config.udp_ports[0], config.udp_ports[1] + 1),
    )


@contextlib.asynccontextmanager
async def _camera(config: Config, broadcasts: Broadcasts) -> AsyncIterator[None]:
    """Inside, the virtual camera shows the stream of --virtual-camera, if any."""
    if config.virtual_camera is None:
        yield
        return
    from streamer.camera.virtual import VirtualCamera

    name, width, height = config.virtual_camera

    async def show() -> None:
        try:
            await broadcasts.of(name).forward_to(camera)
        except MediaError as failure:
            log.error("x %s", failure)
        except Exception:
            log.exception("x the virtual camera shows nothing any more")

    title = f"waiting for {name}"
    with VirtualCamera(width, height, config.target_fps, title=title) as camera:
        print(f"the virtual camera {camera.device} shows the stream {name}", flush=True)
        showing = asyncio.create_task(show())
        try:
            yield
        finally:
            showing.cancel()


@contextlib.contextmanager
def _announced(config: Config, addresses: list[str]) -> Iterator[None]:
    """Says where the server is. The token is for a terminal; a journal is read by others."""
    terminal = sys.stdout.isatty()
    for address in addresses:
        print(f"streamer at {address if terminal else address.partition('?')[0]}", flush=True)
    if (phone := _for_phones(config, addresses)) is not None and terminal:
        print(f"{qr.terminal(phone)}scan it with a phone on this network", flush=True)
    elif phone is None and not config.loopback:
        log.warning("browsers on other machines give no camera to http pages: add --https")
    with contextlib.ExitStack() as stack:
        if config.token is not None and not terminal:
            stack.enter_context(_token_file(config.token))
        setup = config.setup
        threads = f"{setup.threads} CPU thread{'s' * (setup.threads > 1)} each"
        on = f"{setup.gpus} GPUs" if setup.gpus else threads
        print(f"starting Ray and {setup.workers} {setup.backend} workers, {on} ...", flush=True)
        yield


@contextlib.contextmanager
def _token_file(token: str) -> Iterator[None]:
    """Inside, the token is in a file that only this user can read."""
    path = data_dir() / f"token-{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with written_whole(path, 0o600) as file:
            file.write(f"{token}\n".encode())
        print(f"the token is in {path}", flush=True)
    except OSError as failure:
        log.warning("x cannot write the token to %s: %s", path, failure.strerror)
    with temporary.used(path):
        yield


def has_display() -> bool:
    """Whether a browser window could appear."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
