"""What `streamer serve` was asked to do: one frozen value, checked once.

Only the command line and the server see it; everything else takes keyword arguments.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import unquote, urlsplit

from streamer.engine.backend import Backend
from streamer.errors import UsageError
from streamer.webrtc.ice_server import IceServer

BACKENDS: tuple[Backend, ...] = get_args(Backend)

MIN_TOKEN_CHARACTERS = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_STREAM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ICE_URL = re.compile(r"(?P<scheme>stun|stuns|turn|turns):(?:(?P<user>.+)@)?(?P<rest>[^@]+)")
_BITRATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKmM]?)")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class Config:
    """Every option of the server; raises UsageError when made of values that cannot be."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    token: str | None = None
    allowed_origins: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_peers: int = 4
    max_viewers: int = 50
    max_body_bytes: int = 32 * 2**20
    max_photo_pixels: int = 50_000_000
    max_film_bytes: int = 2 * 2**30
    open_browser: bool = True

    backend: Backend = "onnx"
    workers: int | None = None  # None: from the machine
    threads: int | None = None
    gpus: int | None = None
    ray_address: str | None = None

    style: str | None = None  # None: the catalogue's first
    smooth: float = 0.0
    height_px: int | Literal["auto"] = "auto"
    target_fps: float = 30.0
    deadline_s: float | None = None  # None: follows what the workers need

    start_bitrate_bps: int = 2_500_000
    min_bitrate_bps: int = 300_000
    max_bitrate_bps: int = 8_000_000
    ice_servers: tuple[IceServer, ...] = ()
    udp_ports: tuple[int, int] | None = None

    virtual_camera: tuple[str, int, int] | None = None  # the stream it shows; width, height

    def __post_init__(self) -> None:
        self._check_http()
        self._check_ring()
        self._check_picture()

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
        if self.token is not None:
            check_token(self.token)
        elif not self.loopback:
            raise UsageError(f"--host {self.host} is open to others, so it needs a --token")
        for origin in self.allowed_origins:
            _check_origin(origin)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key go together: give both or neither")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise UsageError(f"there is no file {path}")

    def _check_ring(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(f"--backend {self.backend} is none of {', '.join(BACKENDS)}")
        if self.workers is not None:
            _within("--workers", self.workers, 1, 1024)
        if self.threads is not None:
            _within("--threads", self.threads, 1, 1024)
        if self.gpus is not None:
            _within("--gpus", self.gpus, 0, 1024)
        if self.gpus and self.backend != "torch":
            raise UsageError(f"--gpus needs --backend torch; {self.backend} runs on the CPU")

    def _check_picture(self) -> None:
        if self.height_px != "auto":
            _within("--height", self.height_px, 16, 4320)
        _within("--smooth", self.smooth, 0, 0.95)
        _within("--fps", self.target_fps, 1, 240)
        if self.deadline_s is not None:
            _within("--deadline", self.deadline_s, 0.02, 10)
        if not 0 < self.min_bitrate_bps <= self.start_bitrate_bps <= self.max_bitrate_bps:
            raise UsageError("the bitrates must rise: --min-bitrate, --bitrate, --max-bitrate")
        if self.udp_ports is not None:
            low, high = self.udp_ports
            if not 1024 <= low <= high <= 65535:
                raise UsageError(f"--udp-ports {low}-{high} must lie within 1024-65535, low first")


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> None:
    """Refuse a token that a header or cookie cannot carry, or that is quickly guessed."""
    if not _TOKEN.fullmatch(token):
        raise UsageError("a --token is made of letters, digits and . _ ~ + / - only")
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise UsageError(
            f"a --token needs at least {MIN_TOKEN_CHARACTERS} characters; "
            "leave it out and one is made for you"
        )


def parse_ice_server(text: str) -> IceServer:
    """Read `stun:host:port` or `turn:user:password@host:port?transport=udp`.

    User and password may be percent-encoded, for those that hold a colon or an at sign.
    """
    found = _ICE_URL.fullmatch(text)
    if found is None:
        raise UsageError(f"--ice-server {text!r} is neither stun:HOST:PORT nor {_TURN_FORM}")
    username, _, credential = (found["user"] or "").partition(":")
    is_turn = found["scheme"].startswith("turn")
    if is_turn != bool(username and credential):
        raise UsageError(f"--ice-server {found['scheme']}:{found['rest']}: write {_TURN_FORM}")
    url = f"{found['scheme']}:{found['rest']}"
    return IceServer(url, unquote(username), unquote(credential)) if is_turn else IceServer(url)


_TURN_FORM = "turn:USER:PASSWORD@HOST:PORT (and stun: without a user)"


def parse_ports(text: str) -> tuple[int, int]:
    """Read a range of ports such as `40000-40100`."""
    low, dash, high = text.partition("-")
    if not (dash and low.isdecimal() and high.isdecimal()):
        raise UsageError(f"--udp-ports {text!r} is no range such as 40000-40100")
    return int(low), int(high)


def parse_height(text: str) -> int | Literal["auto"]:
    """Read `auto` or a number of pixels."""
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise UsageError(f"--height {text!r} is neither auto nor a number of pixels")
    return int(text)


def parse_size(text: str) -> tuple[int, int]:
    """Read `1280x720`; both are even and from 16 to 4096."""
    width, cross, height = text.partition("x")
    sides = [int(side) for side in (width, height) if side.isdecimal()]
    if not cross or len(sides) != 2 or any(side % 2 or not 16 <= side <= 4096 for side in sides):
        raise UsageError(f"--size {text!r} is no size such as 1280x720, of even sides")
    return sides[0], sides[1]


def parse_virtual_camera(text: str) -> tuple[str, int, int]:
    """Read a stream's name, or `page@1920x1080`."""
    name, _, size = text.partition("@")
    if not _STREAM.fullmatch(name):
        raise UsageError(f"--virtual-camera {text!r} is no stream's name, such as page")
    return name, *parse_size(size or "1280x720")


def parse_bitrate(text: str) -> int:
    """Read bits per second: `800k`, `2.5M` or `2500000`."""
    found = _BITRATE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no bitrate such as 800k or 2.5M")
    return int(float(found["number"]) * _UNITS[found["unit"].lower()])


def _check_origin(origin: str) -> None:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
        raise UsageError(f"--allow-origin {origin!r} is no origin such as https://example.org")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value:g} must lie within {low:g} and {high:g}")
