"""`streamer serve`: flags to a Config. Nothing heavy is imported before the flags are read."""

import logging
import secrets
from pathlib import Path
from typing import Annotated, cast

import typer

from streamer.engine.backend import Backend
from streamer.server.config import (
    Config,
    is_loopback,
    parse_bitrate,
    parse_height,
    parse_ice_server,
    parse_ports,
    parse_virtual_camera,
)

_DEFAULT = Config()

_REACH = "Who may reach it"
_RING = "Workers"
_PICTURE = "Picture"
_NETWORK = "Media over the network"


def serve(  # noqa: PLR0917 - Typer reads every option from here
    host: Annotated[
        str | None, typer.Option(help="Default 127.0.0.1; any other needs a token.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = _DEFAULT.port,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_TOKEN",
            help="What every request must bring; made and printed when --host needs one.",
            rich_help_panel=_REACH,
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Another web page that may use this server.", rich_help_panel=_REACH),
    ] = None,
    https: Annotated[
        bool,
        typer.Option("--https", help="To phones nearby, own certificate.", rich_help_panel=_REACH),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM; with --tls-key: https.", rich_help_panel=_REACH)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM.", rich_help_panel=_REACH)] = None,
    max_peers: Annotated[
        int, typer.Option(help="More are answered 503.", rich_help_panel=_REACH)
    ] = _DEFAULT.max_peers,
    max_viewers: Annotated[
        int, typer.Option(help="Who watch others' streams, by WHEP.", rich_help_panel=_REACH)
    ] = _DEFAULT.max_viewers,
    max_body_mib: Annotated[
        int, typer.Option(help="Largest photo in MiB.", rich_help_panel=_REACH)
    ] = _DEFAULT.max_body_bytes // 2**20,
    max_photo_megapixels: Annotated[
        int, typer.Option(help="Largest photo in megapixels.", rich_help_panel=_REACH)
    ] = _DEFAULT.max_photo_pixels // 1_000_000,
    max_film_mib: Annotated[
        int, typer.Option(help="Largest film in MiB.", rich_help_panel=_REACH)
    ] = _DEFAULT.max_film_bytes // 2**20,
    backend: Annotated[
        str | None,
        typer.Option(help="onnx (default), torch, or none: pass through.", rich_help_panel=_RING),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Default: one per core or GPU.", rich_help_panel=_RING)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Per worker; default 1.", rich_help_panel=_RING)
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="Default: all, with torch.", rich_help_panel=_RING)
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Join this Ray cluster: auto, or HOST:PORT.", rich_help_panel=_RING),
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="What a stream starts with.", rich_help_panel=_PICTURE)
    ] = None,
    smooth: Annotated[
        float, typer.Option(help="Against flicker, 0 to 0.95.", rich_help_panel=_PICTURE)
    ] = _DEFAULT.smooth,
    height: Annotated[
        str, typer.Option(help="Pixels to stylize at, or auto.", rich_help_panel=_PICTURE)
    ] = "auto",
    fps: Annotated[
        float, typer.Option(help="What auto height aims at.", rich_help_panel=_PICTURE)
    ] = _DEFAULT.target_fps,
    deadline: Annotated[
        float | None,
        typer.Option(help="Seconds after which a frame is let go.", rich_help_panel=_PICTURE),
    ] = None,
    bitrate: Annotated[
        str, typer.Option(help="To start with, bit/s.", rich_help_panel=_NETWORK)
    ] = "2.5M",
    min_bitrate: Annotated[str, typer.Option(rich_help_panel=_NETWORK)] = "300k",
    max_bitrate: Annotated[str, typer.Option(rich_help_panel=_NETWORK)] = "8M",
    ice_server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT; none by default.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    udp_ports: Annotated[
        str | None, typer.Option(metavar="LOW-HIGH", rich_help_panel=_NETWORK)
    ] = None,
    virtual_camera: Annotated[
        str | None,
        typer.Option(metavar="STREAM[@WxH]", help="Show it as a camera of this machine."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page when ready.")] = True,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Serve the web page and WHIP: camera in, stylized stream out.

    [bold]Examples[/bold]

    streamer serve
        this machine only, http://127.0.0.1:8000

    streamer serve --backend torch --gpus 2

    streamer serve --https
        for the phones in the house; prints a QR code with the URL and its token
    """
    host = host or ("0.0.0.0" if https else _DEFAULT.host)
    if https:
        from streamer.server.certificate import ours

        tls_cert, tls_key = ours(tls_cert or tls_key)
    from streamer.diagnostics.saved import recall

    found = recall("live", backend, workers, threads, gpus, ray_address)
    if found:
        size, note = found
        backend, workers, threads, gpus = size.backend, size.workers, size.threads, size.gpus
    config = Config(
        host=host,
        port=port,
        token=token or (None if is_loopback(host) else secrets.token_urlsafe(24)),
        allowed_origins=tuple(allow_origin or ()),
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_peers=max_peers,
        max_viewers=max_viewers,
        max_body_bytes=max_body_mib * 2**20,
        max_photo_pixels=max_photo_megapixels * 1_000_000,
        max_film_bytes=max_film_mib * 2**20,
        open_browser=browser,
        backend=cast(Backend, backend or _DEFAULT.backend),
        workers=workers,
        threads=threads,
        gpus=gpus,
        ray_address=ray_address,
        style=style,
        smooth=smooth,
        height_px=parse_height(height),
        target_fps=fps,
        deadline_s=deadline,
        start_bitrate_bps=parse_bitrate(bitrate),
        min_bitrate_bps=parse_bitrate(min_bitrate),
        max_bitrate_bps=parse_bitrate(max_bitrate),
        ice_servers=tuple(parse_ice_server(server) for server in ice_server or ()),
        udp_ports=parse_ports(udp_ports) if udp_ports else None,
        virtual_camera=parse_virtual_camera(virtual_camera) if virtual_camera else None,
    )
    _log(verbose)
    if found:
        print(note, flush=True)
    from streamer.server.serve import run  # which imports Ray, aiortc and FastAPI

    run(config)


def _log(verbose: bool) -> None:
    """Ours from INFO on, everyone else's from WARNING on."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("streamer").setLevel(logging.DEBUG if verbose else logging.INFO)
