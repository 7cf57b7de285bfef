"""The options of `streamer serve`: one frozen value, checked once.

Only the command line, the doctor and the server see it; other parts take keyword arguments.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from streamer.errors import UsageError
from streamer.look import DEFAULT_TONE, LIVE_SMOOTH, TONES, Brush
from streamer.ring.setup import Setup
from streamer.server.origin import parse_origin
from streamer.webrtc.ice_server import IceServer

MIN_TOKEN_CHARACTERS = 16
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True)
class Config:
    """Raises UsageError for values that are impossible, each by the name of its option."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free port
    token: str | None = None
    allowed_origins: tuple[str, ...] = ()
    embed_origins: tuple[str, ...] = ()  # pages that may show /watch/NAME in a frame
    root_path: str = ""  # where a reverse proxy has the server, such as /paint
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_peers: int = 4
    max_viewers: int = 50
    max_body_bytes: int = 32 * 2**20
    max_photo_pixels: int = 50_000_000
    max_video_bytes: int = 2 * 2**30
    open_browser: bool = True

    setup: Setup = field(default_factory=lambda: Setup("auto", 1))
    ray_address: str | None = None
    peer_processes: int = 0  # that carry live streams; 0: the server's own does

    style: str | None = None  # None: the catalogue's first
    smooth: float = LIVE_SMOOTH
    tone: float = TONES[DEFAULT_TONE]
    brush: Brush = "medium"
    calm: bool = True
    height_px: int | Literal["auto"] = "auto"
    target_fps: float = 30.0
    deadline_s: float | None = None  # None: follows what the workers need

    start_bitrate_bps: int | None = None  # None: by the path
    min_bitrate_bps: int = 100_000
    max_bitrate_bps: int = 16_000_000
    ice_servers: tuple[IceServer, ...] = ()
    udp_ports: tuple[int, int] | None = None

    virtual_camera: tuple[str, int, int] | None = None  # the stream it shows; width, height

    def __post_init__(self) -> None:
        self._check_http()
        self._check_video()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"

    def _check_http(self) -> None:
        _within("--port", self.port, 0, 65535)
        _within("--max-peers", self.max_peers, 1, 10_000)
        _within("--max-viewers", self.max_viewers, 0, 10_000)
        _within("--peer-processes", self.peer_processes, 0, 1024)
        if self.peer_processes and self.virtual_camera:
            raise UsageError("--virtual-camera needs --peer-processes 0: it shows what comes here")
        if self.token is not None:
            check_token(self.token)
        elif not self.loopback:
            raise UsageError(
                f"--host {self.host} can be reached from other machines, so it needs a --token"
            )
        for origin in self.allowed_origins:
            _check_origin("--allow-origin", origin)
            self._check_public(origin)
        for origin in self.embed_origins:
            _check_origin("--embed", origin)
        if self.root_path and not _ROOT_PATH.fullmatch(self.root_path):
            raise UsageError(f"--root-path {self.root_path!r} is not a path such as /paint")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("give both --tls-cert and --tls-key, or neither")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise UsageError(f"no such file: {path}")

    def _check_public(self, origin: str) -> None:
        """A page that others open lets them all in: by a reverse proxy, or by their browsers."""
        parsed = parse_origin(origin)
        if self.token is None and parsed is not None and not is_loopback(parsed.host):
            raise UsageError(
                f"--allow-origin {origin} is a page that others can open, so it needs a --token"
            )

    def _check_video(self) -> None:
        if self.height_px != "auto":
            _within("--height", self.height_px, 16, 4320)
        _within("--smooth", self.smooth, 0, 0.95)
        _within("--tone", self.tone, 0, 1)
        _within("--fps", self.target_fps, 1, 240)
        if self.deadline_s is not None:
            _within("--deadline", self.deadline_s, 0.02, 10)
        start_bps = self.start_bitrate_bps
        if start_bps is None:
            start_bps = self.min_bitrate_bps
        if not 0 < self.min_bitrate_bps <= start_bps <= self.max_bitrate_bps:
            raise UsageError(
                "--min-bitrate, --bitrate and --max-bitrate must be in ascending order"
            )
        if self.udp_ports is not None:
            low, high = self.udp_ports
            if not 1024 <= low <= high <= 65535:
                raise UsageError(
                    f"--udp-ports {low}-{high} must lie within 1024-65535, the lower one first"
                )


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> None:
    """Raise UsageError for a token that no header or cookie can carry, or that is too short."""
    if not _TOKEN.fullmatch(token):
        raise UsageError("a --token may have letters, digits and . _ ~ + / - only")
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise UsageError(
            f"a --token needs at least {MIN_TOKEN_CHARACTERS} characters; "
            "without --token, one is generated"
        )


def _check_origin(option: str, origin: str) -> None:
    if parse_origin(origin) is None:
        raise UsageError(f"{option} {origin!r} is not an origin such as https://example.org")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value:g} must be between {low:g} and {high:g}")
