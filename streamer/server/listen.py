"""The port to listen on, and the addresses at which it is reached."""

import contextlib
import errno
import os
import socket
import ssl

from streamer.errors import StreamerError, UsageError
from streamer.server.config import Config, is_loopback

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


def bind(host: str, port: int) -> socket.socket:
    """Listen on `port`, or take the socket that systemd listens on already.

    Raises StreamerError for a taken port, UsageError for an impossible one.
    """
    if (inherited := _inherited()) is not None:
        return _checked(inherited, host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            raise StreamerError(f"port {port} is taken; choose another with --port") from None
        if failure.errno == errno.EACCES:
            raise UsageError(f"port {port} needs root; use 1024 or above") from None
        raise UsageError(f"--host {host} is not an address of this machine") from None


def _inherited() -> socket.socket | None:
    """The socket of a systemd socket unit, sd_listen_fds(3); the first one."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) < 1:
        return None
    return socket.socket(fileno=FIRST_DESCRIPTOR)


def _checked(inherited: socket.socket, host: str) -> socket.socket:
    """What others can reach needs a token, which depends on --host."""
    name = inherited.getsockname()
    if inherited.family not in (socket.AF_INET, socket.AF_INET6):
        why = "the socket of systemd must be a TCP port"
    elif is_loopback(host) and not is_loopback(name[0]):
        why = f"systemd listens on {name[0]}, so start with --host {name[0]} and a token"
    else:
        return inherited
    inherited.close()
    raise UsageError(why)


def notify_ready() -> None:
    """Tell systemd, if it is waiting, that the server is ready: sd_notify(3)."""
    if not (address := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to, contextlib.suppress(OSError):
        to.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)


def check_tls(config: Config) -> None:
    """Raise UsageError unless certificate and key can be read and belong together."""
    if config.tls_cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            config.tls_cert, config.tls_key
        )
    except (OSError, ssl.SSLError) as failure:
        raise UsageError(f"cannot use --tls-cert and --tls-key: {failure}") from None


def urls(config: Config, port: int) -> list[str]:
    """Where the server is reached: first on this machine, then on the network."""
    query = f"?token={config.token}" if config.token else ""
    hosts = [config.host]
    if config.host in ("0.0.0.0", "::"):
        hosts = ["127.0.0.1", *network_addresses()]
    bracketed = [f"[{host}]" if ":" in host else host for host in hosts]
    return [f"{config.scheme}://{host}:{port}{config.root_path}/{query}" for host in bracketed]


def network_addresses() -> list[str]:
    """This machine's address on its network, if any: connecting UDP picks one, sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [str(probe.getsockname()[0])]
