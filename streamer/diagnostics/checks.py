"""doctor → **checks** → everything: one check for each thing that `serve` needs of this machine.

A check does the real thing where it can: it binds, sends, encodes, loads, stylizes.
"""

import os
import platform
import shutil
import socket
import ssl
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from streamer import __version__
from streamer.diagnostics import measure
from streamer.engine.stylizer import StylizerSpec
from streamer.errors import ModelError, StreamerError, to_install
from streamer.frame import Style
from streamer.paths import another_streamer
from streamer.ring.setup import cores, gpus
from streamer.server.config import Config
from streamer.server.listen import bind, check_tls
from streamer.server.pages import PAGE
from streamer.styles.catalogue import Catalogue
from streamer.webrtc.codecs import Codec

OLDEST, NEWEST = (3, 11), (3, 14)
REINSTALL = "python -m pip install --force-reinstall"
SHARED = Path("/dev/shm")  # Ray's object store and the ring's slots
SHARED_BYTES = 256 * 2**20
MEMORY_BYTES = 2**30
SOON = timedelta(days=14)
VIDEO = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and how to fix it.

    `note`: it works, or it is needed only for something optional. `fail`: streamer cannot work.
    """

    name: str
    state: Literal["ok", "note", "fail"]
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Finding:
    return Finding(name, "ok", found)


def note(name: str, found: str, fix: str) -> Finding:
    return Finding(name, "note", found, fix)


def fail(name: str, found: str, fix: str) -> Finding:
    return Finding(name, "fail", found, fix)


def python() -> Finding:
    """Ray, ONNX Runtime and PyAV have wheels for these versions."""
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return fail("python", here, "use Python 3.11 to 3.14")
    if not sys.platform.startswith("linux"):
        return note("python", here, "streamer is tested on Linux only")
    return ok("python", here)


def package() -> Finding:
    """Whether this program is alone under its name."""
    if conflict := another_streamer():
        found, _, fix = conflict.partition("; ")
        return fail("package", found, fix)
    return ok("package", f"stylestreamer {__version__}")


def ray_version() -> Finding:
    """Whether Ray is installed; `speeds` starts it."""
    return _installed("ray", "ray")


def _installed(name: str, package: str) -> Finding:
    try:
        return ok(name, version(package))
    except PackageNotFoundError:
        return fail(name, f"{package} is not installed", f"{REINSTALL} {package}")


def onnx() -> Finding:
    """Whether ONNX Runtime loads, and is the only one."""
    try:
        from streamer.engine.onnx_network import engine

        found = engine()
    except ImportError as error:
        return fail("onnx", str(error), f"{REINSTALL} onnxruntime")
    try:
        version("onnxruntime-gpu")
    except PackageNotFoundError:
        return ok("onnx", found)
    fix = "uninstall onnxruntime-gpu, then reinstall onnxruntime; GPUs need --backend torch"
    return note("onnx", f"{found}, with onnxruntime-gpu in the same folder", fix)


def gpu(backend: str) -> Finding:
    """Whether the GPUs are used: nothing may silently fall back to the CPU."""
    count = gpus()
    if backend == "torch":
        return _torch(count)
    if count:
        fix = f"streamer serve --backend torch, after {to_install('torch')}"
        return note("gpu", f"{count} found but not used: --backend {backend} runs on the CPU", fix)
    return ok("gpu", "none; styles run on the CPU")


def _torch(count: int) -> Finding:
    """Stylize one frame on the device that workers would use."""
    device = "cuda" if count else "cpu"
    try:
        catalogue = Catalogue.load()
        stylizer = StylizerSpec("torch", device=device, models=catalogue.models).load()
        stylizer.stylize(measure.sample_image(64, 64), Style(catalogue.parse(catalogue.default)))
    except StreamerError as failure:
        return fail("gpu", str(failure), f"{to_install('torch')}, with a CUDA build of Torch")
    if not count:
        return note(
            "gpu", "none: Torch runs on the CPU", "use --backend onnx, which is faster there"
        )
    return ok("gpu", f"{count} found; Torch {version('torch')} uses CUDA")


def codecs() -> Finding:
    """Encode and decode with the codecs of live streams."""
    times = []
    names: tuple[Codec, ...] = ("VP8", "H264")
    for name in names:
        try:
            times.append(f"{name} {1e3 * measure.coding_s(name, *measure.SIZE):.0f} ms")
        except Exception as error:  # PyAV raises whatever FFmpeg says
            return fail("codecs", f"{name}: {error}", f"{REINSTALL} av")
    return ok("codecs", f"{', '.join(times)} to decode and encode a frame of 1280x720")


def models() -> Finding:
    """Whether every weights file has the SHA-256 that its manifest gives."""
    try:
        catalogue = Catalogue.load()
        for model in catalogue.models:
            model.read()
    except ModelError as failure:
        fix = f"in streamer's folder: {REINSTALL} . ; or: streamer styles remove STYLE"
        return fail("models", str(failure), fix)
    styles = len(list(catalogue)) - 1
    return ok("models", f"{len(catalogue.models)} with {styles} styles; all checksums match")


def page() -> Finding:
    """Whether the web page was built into this installation."""
    if (PAGE / "index.html").is_file():
        return ok("page", "built")
    return fail("page", "not built; browsers get an explanation instead", "make web")


def memory() -> Finding:
    """Cores, free memory, and the shared memory for frames."""
    free = psutil.virtual_memory().available
    found = f"{cores()} cores, {free / 1e9:.1f} GB free"
    if SHARED.is_dir() and shutil.disk_usage(SHARED).free < SHARED_BYTES:
        return fail("memory", f"{found}, {SHARED} is too small", "docker run --shm-size=1g ...")
    if free < MEMORY_BYTES:
        return note("memory", found, "use fewer --workers, or close other programs")
    return ok("memory", found)


def port(config: Config) -> Finding:
    """Whether the server can listen at --host and --port."""
    try:
        with bind(config.host, config.port) as listener:
            return ok("port", f"{config.host}:{listener.getsockname()[1]} is free")
    except StreamerError as failure:
        return fail("port", str(failure), "choose another --port; 0 takes any free one")


def udp(config: Config) -> Finding:
    """Whether a UDP datagram arrives at --host, as media must."""
    host = config.host if config.host not in ("0.0.0.0", "::", "localhost") else "127.0.0.1"
    try:
        number = _datagram(host, config.udp_ports)
    except OSError as error:
        fix = "a firewall or container blocks UDP; choose open ports with --udp-ports"
        return fail("udp", f"a datagram to {host} does not arrive: {error}", fix)
    return ok("udp", f"a datagram to {host}:{number} arrives")


def _datagram(host: str, ports: tuple[int, int] | None) -> int:
    """Send one to a free port and wait for it; returns the port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    low, high = ports or (0, 0)
    with (
        socket.socket(family, socket.SOCK_DGRAM) as to,
        socket.socket(family, socket.SOCK_DGRAM) as by,
    ):
        for number in range(low, high + 1):
            try:
                to.bind((host, number))
                break
            except OSError:
                if number == high:
                    raise
        to.settimeout(2)
        by.sendto(b"streamer", to.getsockname())
        to.recv(64)
        return int(to.getsockname()[1])


def certificate(config: Config) -> Finding:
    """Whether browsers give the camera to this server's page."""
    if config.tls_cert is None:
        if config.loopback:
            return ok("https", "not needed for browsers on this machine")
        fix = "streamer serve --https makes a certificate; or give --tls-cert and --tls-key"
        return note("https", "no certificate: browsers give the camera to https pages only", fix)
    try:
        check_tls(config)
    except StreamerError as failure:
        return fail("https", str(failure), "give a certificate and its private key as PEM files")
    return _expiry(config.tls_cert)


def _expiry(path: Path) -> Finding:
    from cryptography import x509

    last = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    found = f"certificate valid until {last:%Y-%m-%d}, {ssl.OPENSSL_VERSION.split(' (')[0]}"
    if last < datetime.now(UTC):
        return fail("https", found, "it has expired; renew it")
    if last < datetime.now(UTC) + SOON:
        return note("https", found, "it expires soon; renew it")
    return ok("https", found)


def camera() -> Finding:
    """Whether the user may open this machine's cameras."""
    if not sys.platform.startswith("linux"):
        return ok("camera", "the browser asks for permission")
    devices = [device for device in _devices() if not _is_virtual(device)]
    if not devices:
        return ok("camera", "none here; only the browser's machine needs one")
    closed = [device for device in devices if not os.access(f"/dev/{device}", os.R_OK | os.W_OK)]
    if closed:
        fix = "sudo usermod -aG video $USER, then log in again"
        return note("camera", f"no permission to open /dev/{closed[0]}", fix)
    return ok("camera", ", ".join(f"/dev/{device}" for device in devices))


def virtual_camera() -> Finding:
    """Whether streams can be shown to other programs as a virtual camera."""
    if find_spec("pyvirtualcam") is None:
        return note("virtual camera", "not installed", f"{to_install('camera')}, if you need it")
    if not sys.platform.startswith("linux"):
        return ok("virtual camera", "pyvirtualcam is installed")
    virtual = [device for device in _devices() if _is_virtual(device)]
    if not virtual:
        fix = "sudo modprobe v4l2loopback exclusive_caps=1 (Debian: package v4l2loopback-dkms)"
        return note("virtual camera", "no device", fix)
    if not os.access(f"/dev/{virtual[0]}", os.W_OK):
        fix = "sudo usermod -aG video $USER, then log in again"
        return note("virtual camera", f"no permission to write /dev/{virtual[0]}", fix)
    return ok("virtual camera", ", ".join(f"/dev/{device}" for device in virtual))


def _devices() -> list[str]:
    return sorted(device.name for device in VIDEO.glob("video*"))


def _is_virtual(device: str) -> bool:
    """Devices of v4l2loopback are on no bus."""
    return "virtual" in (VIDEO / device).resolve().parts
