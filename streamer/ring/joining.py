"""cluster, `streamer node` → **joining**: whether a Ray cluster can be joined, before Ray tries.

Ray itself retries for minutes, in words of its own. So the port is tried first, and then two small
processes ask the cluster with a deadline: one with our token, one with a wrong token.
"""

import contextlib
import json
import logging
import os
import platform
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from streamer.errors import RingError, UsageError

log = logging.getLogger(__name__)

INSECURE = "insecure:"  # before the address of a cluster that has no token, and may be joined
PORT = 6379  # of the head, unless it was started with another
CONNECT_S = 3.0
ANSWER_S = 7.0  # of which importing Ray takes one or two
PRIVATE = "/streamer-"  # in the session folder of a Ray that `streamer serve` started for itself
_STRANGER = 3  # exit code: the cluster knows another token
_ASK = f"""
import json, sys
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    client = GcsClient(address=canonicalize_bootstrap_address_or_die(sys.argv[1]))
    told = client.internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster")
    alive = sum(node.state == 0 for node in client.get_all_node_info().values())
except AuthenticationError:
    sys.exit({_STRANGER})
print(json.dumps(json.loads(told or b"{{}}") | {{"alive": alive}}))
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """What has to be the same on every machine of a cluster."""

    ray: str
    python: str

    def __str__(self) -> str:
        return f"Ray {self.ray} on Python {self.python}"


OURS = Versions(version("ray"), platform.python_version())


def checked(address: str, *, alive: bool = False) -> str:
    """HOST:PORT of a cluster that may be joined, of `auto` or HOST[:PORT]; says within 10 s if not.

    `alive`: it must have a node, or Ray would wait for one.

    Whoever reaches a cluster without token authentication can run programs on all its machines,
    so one that takes a wrong token is refused, unless `insecure:` comes before the address. Raises
    UsageError for that, RingError for a cluster that does not answer, that has another token or
    other versions.
    """
    insecure, plain = address.startswith(INSECURE), address.removeprefix(INSECURE)
    plain = _of_this_machine() if plain == "auto" else _with_port(plain)
    _try_port(plain)
    known = has_token()
    if known:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    until = time.monotonic() + ANSWER_S
    asked = [_ask(plain, dict(os.environ)), _ask(plain, _other_token())]
    (ours, told), (others, _) = (_answer(one, until) for one in asked)
    if ours == _STRANGER:
        cure = "has another token" if known else "has a token, and none is set here"
        raise RingError(
            f"the Ray cluster {plain} does not let us in: it {cure} (put the head's token into "
            "RAY_AUTH_TOKEN or ~/.ray/auth_token)"
        )
    if ours != 0:
        raise RingError(
            f"what listens at {plain} does not answer as a Ray cluster does (of this version, "
            f"{OURS}); is it the port of a head?"
        )
    runs = Versions(told.get("ray_version", OURS.ray), told.get("python_version", OURS.python))
    if runs != OURS:
        raise RingError(f"the cluster {plain} runs {runs}, this is {OURS}: they must be the same")
    if alive and told.get("alive") == 0:
        cure = f"`streamer node join {plain}` first"
        raise RingError(f"all nodes of the Ray cluster {plain} have left; {cure}")
    if insecure:
        log.warning("x the Ray cluster %s is joined, whether it has a token or not", plain)
    elif others == 0:
        raise UsageError(
            f"the Ray cluster {plain} has no token, so everybody who reaches it can run programs "
            f"there; see docs/cluster.md, or use --ray-address {INSECURE}{plain}"
        )
    elif others != _STRANGER:
        raise RingError(f"the Ray cluster {plain} did not say in time whether it needs a token")
    return plain


def token_file() -> Path:
    """Where Ray looks for a token that no variable gives."""
    return Path.home() / ".ray" / "auth_token"


def has_token() -> bool:
    """Whether this user has a token for clusters."""
    return bool({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()) or (
        token_file().exists()
    )


def local_clusters() -> tuple[list[str], int]:
    """Addresses of the Ray clusters that this machine is a node of; how many others are private."""
    found: dict[str, None] = {}
    private = 0
    for process in psutil.process_iter(["cmdline"]):
        options = [word for word in process.info["cmdline"] or () if word.startswith("--")]
        if not any(word.startswith("--raylet_socket_name=") for word in options):
            continue
        given = dict(word.split("=", 1) for word in options if "=" in word)
        if PRIVATE in given.get("--session_dir", ""):
            private += 1
        elif address := given.get("--gcs-address"):
            found[address] = None
    return list(found), private


def _of_this_machine() -> str:
    """The address that `auto` means. Raises RingError."""
    if given := os.environ.get("RAY_ADDRESS"):
        return _with_port(given)
    found, private = local_clusters()
    if len(found) == 1:
        return found[0]
    if found:
        raise RingError(f"several Ray clusters run here; give one of {', '.join(found)}")
    others = "; the Ray that another streamer started for itself cannot be joined"
    raise RingError(
        "no Ray cluster runs on this machine: start one with `streamer node head`, or give the "
        f"address of one{others if private else ''}"
    )


def _with_port(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{address!r} is not the address of a cluster; write HOST:PORT or auto")
    return f"{host}:{port}"


def _try_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError as error:
        reason = "it does not answer" if isinstance(error, TimeoutError) else error.strerror
        raise RingError(
            f"no Ray cluster can be reached at {address}: {reason or error} (is the head running, "
            "and does a firewall let its ports through?)"
        ) from None


def _other_token() -> dict[str, str]:
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    kept = {key: value for key, value in os.environ.items() if key != "RAY_AUTH_TOKEN_PATH"}
    return kept | wrong


def _ask(address: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _ASK, address],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answer(asked: "subprocess.Popen[str]", until: float) -> tuple[int | None, dict[str, Any]]:
    """The exit code, None when there was none in time; what the cluster says of itself."""
    with asked:
        try:
            text, _ = asked.communicate(timeout=max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            asked.kill()
            return None, {}
    with contextlib.suppress(ValueError, IndexError):
        return asked.returncode, dict(json.loads(text.splitlines()[-1]))
    return asked.returncode, {}
