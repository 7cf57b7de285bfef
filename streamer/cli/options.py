"""Options that several commands share, and the parsers of their texts.

Parsers raise UsageError.
"""

import re
from importlib.util import find_spec
from typing import Annotated, Literal
from urllib.parse import unquote

import typer

from streamer.cli import completion
from streamer.engine.backend import Backend, Device
from streamer.errors import ModelError, UsageError, to_install
from streamer.look import Brush
from streamer.ring.setup import Setup
from streamer.webrtc.ice_server import IceServer

WORKERS_PANEL = "Workers"

BackendOption = Annotated[
    Backend | None,
    typer.Option(
        "--backend",
        help="Engine that runs the styles. auto: the fastest here; none: frames pass unchanged. "
        "Default: what `streamer bench` found best, else auto.",
        rich_help_panel=WORKERS_PANEL,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=1024,
        help="Number of worker processes. Default: one per CPU core or GPU.",
        rich_help_panel=WORKERS_PANEL,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=1024,
        help="CPU threads of each worker. Default: 1.",
        rich_help_panel=WORKERS_PANEL,
    ),
]
GpusOption = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        min=0,
        max=1024,
        help="Number of GPUs to use, with --backend torch. Default: all.",
        rich_help_panel=WORKERS_PANEL,
    ),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option(
        "--device",
        help="Where the networks run: gpu and npu are Intel's, by OpenVINO; cuda is an NVIDIA GPU, "
        "by Torch. auto, the default: the processor, or cuda with --backend torch.",
        rich_help_panel=WORKERS_PANEL,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Ray cluster to join: auto, or HOST:PORT; insecure: before it for one without a "
        "token. Default: start a Ray for this command.",
        rich_help_panel=WORKERS_PANEL,
    ),
]

LOOK_PANEL = "Look"
StyleOption = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--style",
        help="Style, or a blend such as a:0.7,b:0.3. Default: the first of `streamer styles list`.",
        autocompletion=completion.styles,
        rich_help_panel=LOOK_PANEL,
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="How strongly to stylize: 0 keeps the original.",
        rich_help_panel=LOOK_PANEL,
    ),
]
SmoothOption = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.95,
        help="Reduce flicker: weight of the previous frame where nothing moves.",
        rich_help_panel=LOOK_PANEL,
    ),
]
ToneOption = Annotated[
    str,
    typer.Option(
        "--tone",
        metavar="TONE",
        help="Colours and contrast of a style: own follows the picture, steady stays the same for "
        "every picture, calm (0.25) and half (0.5) lie between; or a number from 0 to 1.",
        rich_help_panel=LOOK_PANEL,
    ),
]
BrushOption = Annotated[
    Brush | None,
    typer.Option(
        "--brush",
        help="Size of the strokes: fine, medium and bold stylize at 720, 540 and 360 lines. The "
        "result keeps the size of the original.",
        rich_help_panel=LOOK_PANEL,
    ),
]
CalmOption = Annotated[
    bool,
    typer.Option(
        "--calm/--no-calm",
        help="Remove the camera's noise before stylizing, so that still things stand still.",
        rich_help_panel=LOOK_PANEL,
    ),
]

_STREAM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ICE_URL = re.compile(r"(?P<scheme>stun|stuns|turn|turns):(?:(?P<user>.+)@)?(?P<rest>[^@]+)")
_BITRATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKmM]?)", re.ASCII)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
_TURN_FORM = "turn:USER:PASSWORD@HOST:PORT (and stun: without a user)"


def choose_setup(  # noqa: PLR0917 - the options as they come
    use: Literal["live", "file"],
    backend: Backend | None,
    workers: int | None,
    threads: int | None,
    gpus: int | None,
    ray_address: str | None,
    device: Device | None = None,
) -> tuple[Setup, str]:
    """The workers to start, and a line that says so when `streamer bench` chose them, else "".

    What `streamer bench` found best counts only when none of the options is given. Raises
    UsageError.
    """
    from streamer.diagnostics.saved import load_saved
    from streamer.ring.setup import check_device, resolve

    here = ray_address is None  # else the workers may be where it is installed
    if here:
        check_installed(backend)
    found = load_saved(use, backend, workers, threads, gpus, ray_address, device)
    found = found or (resolve(backend or "auto", workers, threads, gpus, device or "auto"), "")
    if here:
        check_device(device or "auto", gpus or 0)
    return found


def check_installed(backend: Backend | None) -> None:
    """Raises ModelError, before anything is started, for an engine that is not installed."""
    if backend == "torch" and find_spec("torch") is None:
        raise ModelError(f"--backend torch needs PyTorch; {to_install('torch')}")


def parse_ice_server(text: str, secret: str | None = None) -> IceServer:
    """`stun:host:port` or `turn:user:password@host:port?transport=udp`.

    User and password may be percent-encoded, in case they contain a colon or an at sign. With
    `secret`, which is shared with the TURN server, it takes neither.
    """
    found = _ICE_URL.fullmatch(text)
    if found is None:
        raise UsageError(f"--ice-server {text!r} is neither stun:HOST:PORT nor {_TURN_FORM}")
    username, _, credential = (found["user"] or "").partition(":")
    is_turn = found["scheme"].startswith("turn")
    url = f"{found['scheme']}:{found['rest']}"
    if is_turn and secret and not found["user"]:
        return IceServer(url, secret=secret)
    if is_turn != bool(username and credential):
        raise UsageError(f"--ice-server {found['scheme']}:{found['rest']}: write {_TURN_FORM}")
    return IceServer(url, unquote(username), unquote(credential)) if is_turn else IceServer(url)


def parse_ports(text: str) -> tuple[int, int]:
    """A range such as `40000-40100`, both included."""
    low, dash, high = text.partition("-")
    if not (dash and low.isdecimal() and high.isdecimal()):
        raise UsageError(f"--udp-ports {text!r} is not a range such as 40000-40100")
    return int(low), int(high)


def parse_height(text: str) -> int | Literal["auto"]:
    """`auto`, or pixels."""
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise UsageError(f"--height {text!r} is neither auto nor a number of pixels")
    return int(text)


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Such as `1280x720`; both sides are even and from 16 to 4096."""
    width, cross, height = text.partition("x")
    sides = [int(side) for side in (width, height) if side.isdecimal()]
    if not cross or len(sides) != 2 or any(side % 2 or not 16 <= side <= 4096 for side in sides):
        raise UsageError(f"{option} {text!r} is not a size such as 1280x720, with even sides")
    return sides[0], sides[1]


def parse_virtual_camera(text: str) -> tuple[str, int, int]:
    """Name, width and height of a stream's name or `page@1920x1080`."""
    name, _, size = text.partition("@")
    return check_stream(name), *parse_size(size or "1280x720", f"--virtual-camera {name}@WxH:")


def check_stream(name: str) -> str:
    """The name of a stream."""
    if not _STREAM.fullmatch(name):
        raise UsageError(f"{name!r} is not the name of a stream, such as page")
    return name


def parse_bitrate(text: str) -> int:
    """Bits per second from `800k`, `2.5M` or `2500000`."""
    found = _BITRATE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a bitrate such as 800k or 2.5M")
    return int(float(found["number"]) * _UNITS[found["unit"].lower()])
