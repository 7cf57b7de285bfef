"""What this machine offers: a port to listen on, addresses, cores, a display."""

import errno
import os
import socket
import ssl
import sys

from streamer.errors import StreamerError, UsageError
from streamer.ring.setup import Setup, setup
from streamer.server.config import Config


def bind(host: str, port: int) -> socket.socket:
    """Listen on `port`. Raises StreamerError, in words, when that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            raise StreamerError(f"port {port} is taken; choose another with --port") from None
        if failure.errno == errno.EACCES:
            raise UsageError(f"--port {port} is for the administrator; take 1024 or more") from None
        raise UsageError(f"--host {host} is no address of this machine") from None


def check_tls(config: Config) -> None:
    """Raise UsageError when certificate and key are none, or do not belong together."""
    if config.tls_cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            config.tls_cert, config.tls_key
        )
    except (OSError, ssl.SSLError) as failure:
        raise UsageError(f"--tls-cert and --tls-key are no certificate: {failure}") from None


def ring_size(config: Config) -> Setup:
    """As asked, the rest from the machine."""
    return setup(config.backend, config.workers, config.threads, config.gpus)


def urls(config: Config, port: int) -> list[str]:
    """Where the server is reached, the nearest first."""
    query = f"?token={config.token}" if config.token else ""
    hosts = [config.host]
    if config.host in ("0.0.0.0", "::"):
        hosts = ["127.0.0.1", *_own_address()]
    bracketed = [f"[{host}]" if ":" in host else host for host in hosts]
    return [f"{config.scheme}://{host}:{port}/{query}" for host in bracketed]


def own_addresses() -> list[str]:
    """Loopback, and this machine's address on its network."""
    return ["127.0.0.1", "::1", *_own_address()]


def _own_address() -> list[str]:
    """This machine's address on its network: connecting UDP picks one and sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:  # no network
            return []
        return [str(probe.getsockname()[0])]


def has_display() -> bool:
    """Whether a browser window could appear."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
