"""`streamer node` on this machine: a head and a node, and what they leave."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from streamer.ring.nodes import nodes
from tests.support.pictures import smooth_rgb
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

STREAMER = (sys.executable, "-m", "streamer")
NODE = (*STREAMER, "node")
RAY = (sys.executable, "-m", "ray.scripts.scripts")
START_S = 90.0
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}


class Cluster:
    """Programs of one user, each with a data directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.environment = os.environ | TOKEN | {"TMPDIR": str(home)}

    def start(self, *words: str) -> Path:
        """A node, and what it says."""
        command = (*NODE, *words, "--ip", "127.0.0.1", "--cpus", "1")
        return self.run(self.home / words[0], *command)

    def run(self, log: Path, *command: str) -> Path:
        own = self.environment | {"STREAMER_DATA_DIR": f"{log}-data"}
        with log.open("w") as output:
            self.started.append(subprocess.Popen(command, env=own, stdout=output, stderr=output))
        return log

    def kill(self) -> None:
        """What is left: Ray's own program hangs when the raylet that it waits for has gone."""
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("TMPDIR") == str(self.home):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        for process in self.started:
            process.wait(10)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp"))  # short: sockets lie in it
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        made = Cluster(home)
        stack.callback(made.kill)
        yield made
        for process in reversed(made.started):
            process.send_signal(signal.SIGINT)
            if tuple(process.args)[: len(NODE)] == NODE:  # type: ignore[arg-type]
                process.wait(60)


async def test_an_idle_node_that_is_drained_says_so_and_leaves(cluster: Cluster) -> None:
    head = cluster.start("head", "--port", str(cluster.port))
    await eventually(lambda: "the cluster runs" in head.read_text(), START_S)
    node = cluster.start("join", cluster.address)
    await eventually(lambda: "joined" in node.read_text(), START_S)
    at = ("--ray-address", cluster.address)
    listed = [line.split() for line in cluster.ask(*NODE, "list", *at).splitlines()[1:]]
    assert len(listed) == 2

    answers = [cluster.ask(*NODE, "drain", words[-1], *at) for words in listed]
    assert sum("is the head, without which there is no cluster" in one for one in answers) == 1, (
        answers
    )
    assert sum("takes no new workers; it leaves once it has none" in said for said in answers) == 1
    first, second = cluster.started
    await eventually(lambda: second.poll() is not None, 30)
    assert second.returncode == 0 and "this node was drained and has left" in node.read_text()
    assert first.poll() is None and (cluster.home / "ray/session_latest").exists()

    first.send_signal(signal.SIGINT)
    first.wait(60)
    assert not list(cluster.home.glob("ray/session_*"))


async def test_a_cluster_whose_nodes_have_left_is_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one that `ray start` has started: its head goes on without a node."""
    options = ("--node-ip-address=127.0.0.1", f"--port={cluster.port}", "--num-cpus=1")
    alone = ("--head", "--block", "--include-dashboard=false")
    log = cluster.run(cluster.home / "log", *RAY, "start", *alone, *options)
    await eventually(lambda: "Ray runtime started" in log.read_text(), START_S)
    for name, value in TOKEN.items():
        monkeypatch.setenv(name, value)
    (node,) = nodes(cluster.address)
    why = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=test")
    cluster.ask(*RAY, "drain-node", f"--address={cluster.address}", f"--node-id={node.id}", *why)
    await eventually(lambda: nodes(cluster.address) == [], 30)
    picture = cluster.home / "in.png"
    Image.fromarray(smooth_rgb(32, 32)).save(picture)
    began_at = time.monotonic()
    said = cluster.ask(*STREAMER, "file", str(picture), "--ray-address", cluster.address)
    assert f"all nodes of the Ray cluster {cluster.address} have left" in said
    assert time.monotonic() - began_at < 20  # of which it is told within 10
