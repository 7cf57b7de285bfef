"""`streamer node` → **nodes** → Ray: makes this machine a node of a cluster.

Ray's own programs do the work, in processes of their own.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from streamer import temporary
from streamer.errors import RingError, UsageError
from streamer.paths import data_dir, written_whole
from streamer.ring.joining import PORT, checked, token_file
from streamer.ring.own_ray import NICENESS

START_S = 60.0
END_S = 15.0
LOOK_S = 0.5  # between looks at a node
TOLD_S = 3.0  # Ray's program tells of a raylet that broke, but not of one that has left
STARTED = "Ray runtime started"
_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_LIST = """
import json, sys
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient
client = GcsClient(address=canonicalize_bootstrap_address_or_die(sys.argv[1]))
print(json.dumps([
    [node.node_id.hex(), node.node_manager_hostname, node.node_manager_address,
     dict(node.resources_total), node.is_head_node]
    for node in client.get_all_node_info().values() if node.state == 0
]))
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster."""

    id: str
    host: str
    address: str
    cpus: float
    gpus: float
    head: bool


def make_token() -> Path | None:
    """The file of a new token for clusters; None when this user has one already."""
    file = token_file()
    if file.exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return None
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with written_whole(file, 0o600) as target:
        target.write(secrets.token_hex(32).encode())
    return file


def run_head(options: list[str], started: Callable[[], None], port: int = PORT) -> bool:
    """Be the head of a new cluster until a signal comes; True: it was drained. Raises RingError."""
    own = ["--head", f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    return _run([*own, *options], started)


def run_node(address: str, options: list[str], started: Callable[[], None]) -> bool:
    """Be a node of the cluster at `address` until a signal comes; True: it was drained.

    Raises what `checked` raises.
    """
    return _run([f"--address={checked(address)}", *options], started)


def leave() -> int:
    """End the node that `streamer node` runs on this machine for this user; its process id.

    Raises UsageError when there is none.
    """
    try:
        process = psutil.Process(int(_pid_file().read_text()))
        ours = "node" in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        ours = False
    if not ours:
        raise UsageError("this machine is no node of a cluster, by `streamer node` at least")
    process.send_signal(signal.SIGTERM)
    process.wait(END_S + 5)
    return int(process.pid)


def nodes(address: str) -> list[Node]:
    """The nodes of a cluster. Raises what `checked` raises."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST, checked(address)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RingError(f"the cluster does not list its nodes: {_last_line(done.stderr)}")
    return [
        Node(id_, host, at, has.get("CPU", 0.0), has.get("GPU", 0.0), head)
        for id_, host, at, has, head in json.loads(done.stdout.splitlines()[-1])
    ]


def drain(address: str, name: str) -> Node:
    """Have a node, by host name, address or id, take no new work, and leave once it has none.

    Raises UsageError, for the head, too; RingError.
    """
    there = nodes(address)
    found = [node for node in there if name in (node.id[: len(name)], node.host, node.address)]
    if len(found) != 1:
        names = ", ".join(f"{node.host} ({node.address})" for node in there)
        what = "several nodes are called" if found else "there is no node"
        raise UsageError(f"{what} {name}; there are: {names}")
    if found[0].head:
        raise UsageError(f"{name} is the head, without which there is no cluster; Ctrl-C ends it")
    why = ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=streamer node drain"]
    command = [*_RAY, "drain-node", f"--address={checked(address)}", f"--node-id={found[0].id}"]
    done = subprocess.run([*command, *why], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RingError(f"{name} cannot be drained: {_last_line(done.stderr or done.stdout)}")
    return found[0]


def _run(options: list[str], started: Callable[[], None]) -> bool:
    signal.signal(signal.SIGTERM, _interrupt)
    adopted: list[Path] = []
    with tempfile.TemporaryFile("w+") as told:
        node = subprocess.Popen(
            [*_RAY, "start", "--block", *options],
            stdout=told,
            stderr=told,
            start_new_session=True,  # so that Ctrl-C reaches us first
            env=os.environ | NICENESS | {"RAY_AUTH_MODE": "token"},
        )
        try:
            deadline = time.monotonic() + START_S
            while STARTED not in (text := _whole(told)):
                if node.poll() is not None or time.monotonic() > deadline:
                    raise RingError(f"Ray does not start here: {_last_line(text)}")
                time.sleep(0.1)
            raylet, session = _raylet(node.pid)
            adopted = _adopt(session, node.pid)
            _pid_file().parent.mkdir(parents=True, exist_ok=True)
            _pid_file().write_text(str(os.getpid()))
            started()
            if code := _end_of(node, raylet):
                raise RingError(f"the node ended: {_last_line(_whole(told))}")
            return code is None
        except KeyboardInterrupt:
            return False
        finally:
            _end(node)
            _pid_file().unlink(missing_ok=True)
            for one in adopted:
                temporary.remove(one)


def _raylet(pid: int) -> tuple[psutil.Process, Path]:
    """The process by which Ray is on this node, and the folder of its session."""
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            given = dict(word.split("=", 1) for word in process.cmdline() if "=" in word)
            if "--raylet_socket_name" in given:
                return process, Path(given["--session_dir"]).resolve()
    raise RingError("Ray does not start here: its raylet is gone")


def _end_of(node: "subprocess.Popen[bytes]", raylet: psutil.Process) -> int | None:
    """Wait for the exit code of Ray's program; None when its raylet has left the cluster."""
    while node.poll() is None:
        if not _runs(raylet):
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(TOLD_S)
            break
        time.sleep(LOOK_S)
    return node.returncode


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _adopt(session: Path, node: int) -> list[Path]:
    """What goes with us of Ray's in the temporary folder: nothing that another node here uses."""
    family = {one.pid for one in psutil.Process(node).children(recursive=True)}
    users = {
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if f"--session_dir={session}" in (one.info["cmdline"] or ())
    }
    latest = session.with_name("session_latest")
    made = [one for one in (session, latest) if one.resolve() == session and users <= family]
    for one in made:
        temporary.adopt(one)
    return made


def _end(node: "subprocess.Popen[bytes]") -> None:
    """It and what it started."""
    try:
        family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=END_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _pid_file() -> Path:
    return data_dir() / "node.pid"


def _whole(told: IO[str]) -> str:
    told.seek(0)
    return told.read()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"
