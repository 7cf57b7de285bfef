"""`streamer serve`: flags to a Config. Nothing heavy is imported before the flags are read."""

import json
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamer.cli.options import (
    WORKERS_PANEL,
    BackendOption,
    BrushOption,
    CalmOption,
    DeviceOption,
    GpusOption,
    RayAddressOption,
    SmoothOption,
    StyleOption,
    ThreadsOption,
    ToneOption,
    WorkersOption,
    choose_setup,
    parse_bitrate,
    parse_height,
    parse_ice_server,
    parse_ports,
    parse_virtual_camera,
)
from streamer.cli.pulling import PullOption, check_style
from streamer.look import DEFAULT_TONE, parse_tone
from streamer.server.config import Config, is_loopback

_DEFAULT = Config()

_ACCESS = "Access"
_VIDEO = "Video"
_NETWORK = "Media over the network"


def serve(  # noqa: PLR0917 - Typer reads every option from here
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; any but 127.0.0.1 needs a token."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")
    ] = _DEFAULT.port,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_TOKEN",
            help="Token that every request must carry. Better given by the variable: other users "
            "can see command lines. Default: generated and printed when --host needs one.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Web page that may also use this server, such as https://example.org; repeatable.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    embed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Web page that may show /watch/NAME in a frame; repeatable.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Where a reverse proxy has this server, such as /paint.",
            rich_help_panel=_ACCESS,
        ),
    ] = "",
    https: Annotated[
        bool,
        typer.Option(
            "--https",
            help="HTTPS with a self-signed certificate, listening on the LAN.",
            rich_help_panel=_ACCESS,
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="PEM file of the certificate for HTTPS.", rich_help_panel=_ACCESS),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(help="PEM file of the certificate's private key.", rich_help_panel=_ACCESS),
    ] = None,
    max_peers: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Publishers at once; more get 503.", rich_help_panel=_ACCESS
        ),
    ] = _DEFAULT.max_peers,
    max_viewers: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, help="WHEP viewers at once; more get 503.", rich_help_panel=_ACCESS
        ),
    ] = _DEFAULT.max_viewers,
    max_body_mib: Annotated[
        int, typer.Option(min=1, help="Largest photo upload in MiB.", rich_help_panel=_ACCESS)
    ] = _DEFAULT.max_body_bytes // 2**20,
    max_photo_megapixels: Annotated[
        int, typer.Option(min=1, help="Largest photo in megapixels.", rich_help_panel=_ACCESS)
    ] = _DEFAULT.max_photo_pixels // 1_000_000,
    max_video_mib: Annotated[
        int, typer.Option(min=1, help="Largest video upload in MiB.", rich_help_panel=_ACCESS)
    ] = _DEFAULT.max_video_bytes // 2**20,
    backend: BackendOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = None,
    ray_address: RayAddressOption = None,
    peer_processes: Annotated[
        int,
        typer.Option(
            min=0,
            max=1024,
            help="Processes that receive, decode, encode and send live streams; 0: the server's "
            "own does, which is enough for about four. Use two at least.",
            rich_help_panel=WORKERS_PANEL,
        ),
    ] = _DEFAULT.peer_processes,
    style: StyleOption = None,
    pull: PullOption = False,
    smooth: SmoothOption = _DEFAULT.smooth,
    tone: ToneOption = DEFAULT_TONE,
    brush: BrushOption = None,
    calm: CalmOption = _DEFAULT.calm,
    height: Annotated[
        str,
        typer.Option(
            help="Lines to stylize at (of an upright picture, its width), or auto: those of "
            "--brush, or fewer where they cannot hold --fps.",
            rich_help_panel=_VIDEO,
        ),
    ] = "auto",
    fps: Annotated[
        float,
        typer.Option(
            min=1, max=240, help="Frame rate that --height auto keeps.", rich_help_panel=_VIDEO
        ),
    ] = _DEFAULT.target_fps,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=0.02,
            max=10,
            help="Age in seconds at which a frame is dropped. Default: from the workers' speed.",
            rich_help_panel=_VIDEO,
        ),
    ] = None,
    bitrate: Annotated[
        str | None,
        typer.Option(
            help="Bit rate that the stylized stream starts with, such as 800k or 2.5M. "
            "Default: 1M, or the highest where only this machine can connect.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    min_bitrate: Annotated[
        str,
        typer.Option(help="Lowest bit rate of the stylized stream.", rich_help_panel=_NETWORK),
    ] = "100k",
    max_bitrate: Annotated[
        str,
        typer.Option(help="Highest bit rate of the stylized stream.", rich_help_panel=_NETWORK),
    ] = "16M",
    ice_server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="STUN or TURN server, stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT; repeatable. "
            "Default: none.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    turn_secret: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_TURN_SECRET",
            help="Secret shared with a TURN server (coturn: static-auth-secret), from which "
            "credentials for a day are made; --ice-server turn:HOST:PORT then needs no user.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    udp_ports: Annotated[
        str | None,
        typer.Option(
            metavar="LOW-HIGH",
            help="UDP ports for media, such as 40000-40100. Default: any.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    virtual_camera: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM[@WxH]",
            help="Show this live stream on the machine's virtual camera.",
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option(help="Open the page in a browser once the workers are ready.")
    ] = True,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option(help="How to log: lines for people, or JSON lines for programs."),
    ] = "text",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log debug messages, too.")
    ] = False,
) -> None:
    """Serve the web page, WHIP and WHEP: camera in, stylized stream out.

    [bold]Examples[/bold]

    streamer serve
        for this machine only, at http://127.0.0.1:8000

    streamer serve --backend torch --gpus 2

    streamer serve --https
        for phones on the LAN; prints a QR code with the URL and its token
    """
    host = host or ("0.0.0.0" if https else _DEFAULT.host)
    if https:
        from streamer.server.certificate import ours

        tls_cert, tls_key = ours(tls_cert or tls_key)
    check_style(style, pull)
    setup, note = choose_setup("live", backend, workers, threads, gpus, ray_address, device)
    config = Config(
        host=host,
        port=port,
        token=token or (None if is_loopback(host) else secrets.token_urlsafe(24)),
        allowed_origins=tuple(allow_origin or ()),
        embed_origins=tuple(embed or ()),
        root_path=root_path.rstrip("/"),
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_peers=max_peers,
        max_viewers=max_viewers,
        max_body_bytes=max_body_mib * 2**20,
        max_photo_pixels=max_photo_megapixels * 1_000_000,
        max_video_bytes=max_video_mib * 2**20,
        open_browser=browser,
        setup=setup,
        ray_address=ray_address,
        peer_processes=peer_processes,
        style=style,
        smooth=smooth,
        tone=parse_tone(tone),
        brush=brush or _DEFAULT.brush,
        calm=calm,
        height_px=parse_height(height),
        target_fps=fps,
        deadline_s=deadline,
        start_bitrate_bps=None if bitrate is None else parse_bitrate(bitrate),
        min_bitrate_bps=parse_bitrate(min_bitrate),
        max_bitrate_bps=parse_bitrate(max_bitrate),
        ice_servers=tuple(parse_ice_server(server, turn_secret) for server in ice_server or ()),
        udp_ports=parse_ports(udp_ports) if udp_ports else None,
        virtual_camera=parse_virtual_camera(virtual_camera) if virtual_camera else None,
    )
    _log(verbose, log_format)
    if note:
        print(note, flush=True)
    from streamer.server.serve import run  # which imports Ray, aiortc and FastAPI

    run(config)


def _log(verbose: bool, log_format: Literal["text", "json"]) -> None:
    """Ours from INFO on, that of libraries from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("streamer").setLevel(logging.DEBUG if verbose else logging.INFO)


class JsonLines(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, message, and the exception, if any."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().removeprefix("x ").removeprefix("- "),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)
