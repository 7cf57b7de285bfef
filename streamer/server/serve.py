"""`streamer serve`, put together: port → ring → sessions → HTTP, and apart again in that order.

The port is bound before anything is started, and answers /healthz while the workers load.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import uvicorn
from starlette.types import ASGIApp

from streamer.errors import MediaError
from streamer.files.uploads import FilmJobs
from streamer.frame import Style
from streamer.library.live import LiveCatalogue
from streamer.live.broadcast import Broadcasts
from streamer.live.session import Defaults
from streamer.live.sessions import Sessions
from streamer.live.viewers import Viewers
from streamer.ring.ring import Ring
from streamer.ring.start import ring_of
from streamer.server import qr
from streamer.server.app import Live, create_app
from streamer.server.config import Config
from streamer.server.listen import bind, check_tls, has_display, ring_size, urls
from streamer.styles.catalogue import Catalogue
from streamer.webrtc.codecs import Bitrate
from streamer.webrtc.peer import IceServer, PeerOptions

log = logging.getLogger(__name__)

CLOSING_S = 2  # for answers under way when the server stops
PATIENCE_S = 30.0  # for all of stopping; a Ray that is just starting cannot be interrupted
CONNECTIONS = 512  # more HTTP connections than this are turned away


def run(config: Config) -> None:
    """Serve until SIGINT or SIGTERM."""
    check_tls(config)
    with bind(config.host, config.port) as listener, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(config, listener))


async def serve(config: Config, listener: socket.socket) -> None:
    """Serve on `listener` until a signal; a second signal ends the process at once."""
    work = asyncio.create_task(_serve(config, listener))
    _on_signal(work.cancel)
    await asyncio.wait({work})
    if not work.cancelled():
        work.result()


async def _serve(config: Config, listener: socket.socket) -> None:
    began_at = time.monotonic()
    broadcasts = Broadcasts()
    addresses = urls(config, listener.getsockname()[1])
    ring, closing, app = _assemble(config, broadcasts, addresses)
    async with _camera(config, broadcasts), _http(config, app, listener) as http:
        _announce(config, addresses)
        async with ring, closing:
            gc.collect()
            gc.freeze()  # what is here stays: to look through it again took 0.3 s each time
            print(f"ready in {time.monotonic() - began_at:.1f} s; Ctrl-C stops", flush=True)
            if config.open_browser and has_display():
                await asyncio.to_thread(webbrowser.open, addresses[0])
            await asyncio.wait({http})


def _assemble(
    config: Config, broadcasts: Broadcasts, addresses: list[str]
) -> tuple[Ring, contextlib.AsyncExitStack, ASGIApp]:
    """Everything, wired and not yet started."""
    catalogue = Catalogue.load()
    size, here = ring_size(config), config.ray_address is None
    style = Style(catalogue.parse_live(config.style or catalogue.default), smooth=config.smooth)

    ring = ring_of(size, catalogue, style, address=config.ray_address, follow_catalogue=here)
    options = peer_options(config)
    styles = LiveCatalogue(catalogue, max_pixels=config.max_photo_pixels, here=here)
    viewers = Viewers(broadcasts, options, config.max_viewers)
    sessions = Sessions(
        ring,
        styles.parse,
        options=options,
        defaults=Defaults(style, config.height_px, config.target_fps, config.deadline_s),
        max_peers=config.max_peers,
        broadcasts=broadcasts,
    )
    films = FilmJobs(lambda: ring.open(live=False))
    app = create_app(
        config,
        ring,
        Live(sessions, viewers, broadcasts),
        styles,
        films,
        phone_url=_for_phones(config, addresses),
    )
    closing = contextlib.AsyncExitStack()
    for part in (sessions, viewers, films):
        closing.push_async_callback(part.aclose)
    return ring, closing, app


def _for_phones(config: Config, addresses: list[str]) -> str | None:
    """The address of the page for other machines; None when they would get no camera there."""
    return addresses[-1] if config.scheme == "https" and not config.loopback else None


def peer_options(config: Config) -> PeerOptions:
    """How the server treats every connection."""
    return PeerOptions(
        bitrate=Bitrate(config.start_bitrate_bps, config.min_bitrate_bps, config.max_bitrate_bps),
        ice_servers=tuple(
            IceServer((server.url,), server.username, server.credential)
            for server in config.ice_servers
        ),
        loopback=config.loopback,
        udp_ports=config.udp_ports and range(config.udp_ports[0], config.udp_ports[1] + 1),
    )


@contextlib.asynccontextmanager
async def _camera(config: Config, broadcasts: Broadcasts) -> AsyncIterator[None]:
    """Inside, the virtual camera shows the stream it was asked to, if any."""
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

    title = f"waiting for {name}"
    with VirtualCamera(width, height, config.target_fps, title=title) as camera:
        print(f"{name} is shown on the virtual camera {camera.device}", flush=True)
        showing = asyncio.create_task(show())
        try:
            yield
        finally:
            showing.cancel()


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone: `serve` stops more than HTTP, and in its own order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _http(
    config: Config, app: ASGIApp, listener: socket.socket
) -> AsyncIterator[asyncio.Task[None]]:
    """Answer HTTP inside; the task ends early only when Uvicorn fails."""
    server = _Uvicorn(
        uvicorn.Config(
            app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=CLOSING_S,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
        )
    )
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield task
    finally:
        server.should_exit = True
        await task


def _on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` in the loop at the first signal; at the second, or when that hangs, just end.

    For the rest of the process: Ray goes on stopping after the loop has.
    """
    loop = asyncio.get_running_loop()
    patience = threading.Timer(PATIENCE_S, _end, (1,))
    patience.daemon = True

    def handle(number: int, _: object) -> None:
        if patience.is_alive():
            _end(128 + number)
        patience.start()
        loop.call_soon_threadsafe(stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _end(code: int) -> None:
    """End at once, and all we started: Ray's helpers would look for us a while longer."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(code)


def _announce(config: Config, addresses: list[str]) -> None:
    print("\n".join(f"streamer at {address}" for address in addresses), flush=True)
    if (phone := _for_phones(config, addresses)) is not None:
        print(f"{qr.terminal(phone)}scan it with a phone in this network", flush=True)
    elif not config.loopback:
        log.warning("browsers give the camera to https pages only: add --https")
    size = ring_size(config)
    threads = f"{size.threads} CPU thread{'s' * (size.threads > 1)} each"
    on = f"{size.gpus} GPUs" if size.gpus else threads
    print(f"starting Ray and {size.workers} {config.backend} workers, {on} ...", flush=True)
