"""doctor → **ports**: which of Ray's ports are open, and whether other machines reach them.

It is tried, from every address that this machine has beside loopback, rather than looked up.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator

import psutil

from streamer.diagnostics.checks import Finding, fail, note, ok
from streamer.webrtc.ice import own_addresses

CONNECT_S = 2.0
_RAY = ("raylet", "gcs_server")  # of its processes, those that every machine of a cluster has


def ray_ports(cluster: bool) -> Finding:
    """While workers are up: the ports of the Ray that runs for us, or of this machine's cluster.

    Machines of a cluster have to reach each other; `ring.joining` has checked that it demands a
    token.
    """
    processes = _of_a_cluster() if cluster else psutil.Process().children(recursive=True)
    open_ports = dict(listening(processes))
    outside = sorted(one for one in own_addresses() if not ipaddress.ip_address(one).is_loopback)
    reached = sorted(p for p in open_ports if any(answers(address, p) for address in outside))
    named = ", ".join(f"{port} {open_ports[port]}" for port in sorted(open_ports))
    if not reached:
        tried = f"refused at {outside[0]}" if outside else "there is no other address"
        return ok("ray ports", f"{len(open_ports)} on loopback only; {tried}: {named}")
    others = ", ".join(f"{port} {open_ports[port]}" for port in reached)
    if cluster:
        fix = "let only the machines of the cluster reach them; each demands the cluster's token"
        return note("ray ports", f"open to other machines: {others}", fix)
    return fail("ray ports", f"open to other machines: {others}", "close them with a firewall")


def listening(processes: Iterable[psutil.Process]) -> Iterator[tuple[int, str]]:
    """TCP ports that they listen on, with the names of the processes."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for one in process.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN:
                    yield one.laddr.port, process.name()


def answers(address: str, port: int) -> bool:
    """Whether a connection can be made."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=CONNECT_S),
    ):
        return True
    return False


def _of_a_cluster() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["name"]) if one.info["name"] in _RAY]
