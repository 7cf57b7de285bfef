"""doctor → **doctor_machine** → finding: ports, certificates, memory and cameras of this host."""

import os
import shutil
import socket
import ssl
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import psutil

from streamer.diagnostics.finding import Finding, fail, note, ok
from streamer.errors import StreamerError
from streamer.ring.setup import cores
from streamer.server.config import Config
from streamer.server.listen import bind, check_tls

SHARED = Path("/dev/shm")  # Ray's object store and the ring's slots
SHARED_BYTES = 256 * 2**20
MEMORY_BYTES = 2**30
SOON = timedelta(days=14)
VIDEO = Path("/sys/class/video4linux")


def memory() -> Finding:
    """Cores, free memory, and the shared memory that frames travel in."""
    free = psutil.virtual_memory().available
    found = f"{cores()} cores, {free / 1e9:.1f} GB free"
    if SHARED.is_dir() and shutil.disk_usage(SHARED).free < SHARED_BYTES:
        return fail("memory", f"{found}, {SHARED} is too small", "docker run --shm-size=1g ...")
    if free < MEMORY_BYTES:
        return note("memory", found, "take fewer --workers, or close other programs")
    return ok("memory", found)


def port(config: Config) -> Finding:
    """Whether the server can listen where it was told to."""
    try:
        with bind(config.host, config.port) as listener:
            return ok("port", f"{config.host}:{listener.getsockname()[1]} is free")
    except StreamerError as failure:
        return fail("port", str(failure), "streamer doctor --port 0 finds a free one")


def udp(config: Config) -> Finding:
    """Whether a datagram reaches this host's own address, as media have to."""
    host = config.host if config.host not in ("0.0.0.0", "::", "localhost") else "127.0.0.1"
    try:
        number = _datagram(host, config.udp_ports)
    except OSError as error:
        fix = "a firewall or container keeps UDP from this host; choose ports with --udp-ports"
        return fail("udp", f"no datagram arrives at {host}: {error}", fix)
    return ok("udp", f"a datagram to {host}:{number} arrives")


def _datagram(host: str, ports: tuple[int, int] | None) -> int:
    """Send one to a free port, wait for it; returns the port."""
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
    """Whether browsers will give the camera to this server's page."""
    if config.tls_cert is None:
        if config.loopback:
            return ok("https", "not needed: browsers trust this machine itself")
        fix = "streamer serve --https makes one; or bring --tls-cert and --tls-key"
        return note("https", "none: browsers give the camera to https pages only", fix)
    try:
        check_tls(config)
    except StreamerError as failure:
        return fail("https", str(failure), "give a PEM certificate and the key it was made with")
    return _expiry(config.tls_cert)


def _expiry(path: Path) -> Finding:
    from cryptography import x509

    last = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    found = f"certificate until {last:%Y-%m-%d}, {ssl.OPENSSL_VERSION.split(' (')[0]}"
    if last < datetime.now(UTC):
        return fail("https", found, "it has expired: make another")
    if last < datetime.now(UTC) + SOON:
        return note("https", found, "it expires soon: make another")
    return ok("https", found)


def camera() -> Finding:
    """The cameras of this machine, and whether its user may open them."""
    if not sys.platform.startswith("linux"):
        return ok("camera", "the browser asks for it")
    devices = [device for device in _devices() if not _is_virtual(device)]
    if not devices:
        return ok("camera", "none on this machine; the browser's machine is what counts")
    closed = [device for device in devices if not os.access(f"/dev/{device}", os.R_OK | os.W_OK)]
    if closed:
        fix = "sudo usermod -aG video $USER, then log in again"
        return note("camera", f"/dev/{closed[0]} is not yours to open", fix)
    return ok("camera", ", ".join(f"/dev/{device}" for device in devices))


def virtual_camera() -> Finding:
    """What is needed to hand the stylized picture to other programs as a camera."""
    if find_spec("pyvirtualcam") is None:
        return note("virtual camera", "not installed", "pip install 'streamer[camera]', if wanted")
    if not sys.platform.startswith("linux"):
        return ok("virtual camera", "pyvirtualcam is installed")
    virtual = [device for device in _devices() if _is_virtual(device)]
    if not virtual:
        fix = "sudo modprobe v4l2loopback exclusive_caps=1 (Debian: v4l2loopback-dkms)"
        return note("virtual camera", "no device", fix)
    if not os.access(f"/dev/{virtual[0]}", os.W_OK):
        fix = "sudo usermod -aG video $USER, then log in again"
        return note("virtual camera", f"/dev/{virtual[0]} is not yours to write", fix)
    return ok("virtual camera", ", ".join(f"/dev/{device}" for device in virtual))


def _devices() -> list[str]:
    return sorted(device.name for device in VIDEO.glob("video*"))


def _is_virtual(device: str) -> bool:
    """A device of v4l2loopback hangs on no bus."""
    return "virtual" in (VIDEO / device).resolve().parts
