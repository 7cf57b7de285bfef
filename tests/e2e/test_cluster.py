"""The ring on several Ray nodes, each a real `ray start` with processes of its own.

Nodes but the first do not see the ring's socket (a mount of their own hides it, where this machine
allows that), so that frames go to them through Ray, as they do between machines.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.support.pictures import smooth_rgb

pytestmark = pytest.mark.e2e

PATIENCE_S = 120.0
RAY = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1")


class Nodes:
    """A cluster of this machine's own, node by node."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.rings = home / "rings"  # where the ring's socket is; hidden from other "machines"
        self.rings.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self.environment = kept | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "f" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start node `number`; the first one is the head."""
        command = [*RAY, "--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
        if self._nodes:
            command = [*_elsewhere(self.rings), *command, f"--address={self.address}"]
        else:
            port = self.address.partition(":")[2]
            command += ["--head", f"--port={port}", "--include-dashboard=false"]
            command += [f"--temp-dir={self.home / 'ray'}"]
        log = self.home / f"node-{number}.log"
        with log.open("w") as output:
            node = self._nodes[number] = subprocess.Popen(
                command,
                env=self.environment | {"NODE": str(number)},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def lose(self, number: int) -> None:
        """As when its power fails: everything of it is gone at once."""
        node = self._nodes.pop(number)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(node.pid).children(recursive=True)
            for process in [*family, psutil.Process(node.pid)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=10)
        node.wait()

    def runs(self, number: int) -> bool:
        """Whether a node is still there."""
        return self._nodes[number].poll() is None

    def stop(self) -> None:
        for number in reversed(list(self._nodes)):
            self.lose(number)


def _elsewhere(hidden: Path) -> list[str]:
    """A command's prefix: the same machine, but for what is in `hidden`."""
    private = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "-"]
    allowed = subprocess.run([*private, "true"], capture_output=True, check=False).returncode == 0
    return private if allowed else []


class Stream:
    """A running tests.support.cluster_driver, and what it has said so far."""

    def __init__(self, nodes: Nodes, workers: int) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.support.cluster_driver",
            nodes.address,
            str(workers),
        ]
        self._errors = nodes.home / "driver.log"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                env=nodes.environment | {"TMPDIR": str(nodes.rings)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.frames: list[tuple[int, int]] = []  # number, node
        self._recent: deque[int] = deque(maxlen=30)

    def until(self, done: Callable[["Stream"], bool]) -> None:
        """Read frames until `done`; the driver never falls silent for long."""
        deadline = time.monotonic() + PATIENCE_S
        assert self._process.stdout is not None
        while not done(self):
            line = self._process.stdout.readline()
            assert line and time.monotonic() < deadline, (self.frames, self._errors.read_text())
            number, node = map(int, line.split())
            self.frames.append((number, node))
            self._recent.append(node)

    @property
    def recent_nodes(self) -> set[int]:
        """Which nodes stylized the last thirty frames."""
        return set(self._recent)

    def end(self) -> dict[str, dict[str, int]]:
        """Let the stream end; its outcome."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        lines = self._process.stdout.read().splitlines()
        assert self._process.wait(PATIENCE_S) == 0, self._errors.read_text()
        told: dict[str, dict[str, int]] = json.loads(lines.pop())
        self.frames += [(int(line.split()[0]), int(line.split()[1])) for line in lines]
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    home = Path(tempfile.mkdtemp(prefix="t-"))  # short: Ray puts sockets there
    nodes = Nodes(home)
    try:
        nodes.start(1)
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(home, ignore_errors=True)


def in_order(stream: Stream) -> bool:
    numbers = [number for number, _ in stream.frames]
    return numbers == sorted(set(numbers))


def test_nodes_share_the_work_join_and_are_lost(nodes: Nodes) -> None:
    """Three workers for two nodes with one CPU each: the third waits for the third node."""
    nodes.start(2)
    stream = Stream(nodes, workers=3)
    try:
        stream.until(lambda s: s.recent_nodes == {1, 2})
        nodes.start(3)
        stream.until(lambda s: s.recent_nodes == {1, 2, 3})
        seen = len(stream.frames)
        nodes.lose(2)
        stream.until(lambda s: s.recent_nodes == {1, 3} and len(s.frames) > seen + 60)
        nodes.start(4)
        stream.until(lambda s: s.recent_nodes == {1, 3, 4})
        told = stream.end()
    finally:
        stream.kill()
    assert in_order(stream)
    dropped = told["dropped"]
    assert dropped["lost"] <= 2, dropped  # what the lost node held: one frame a worker
    assert dropped["skipped"] <= dropped["lost"], dropped  # shown without waiting for Ray's word
    assert dropped["late"] == 0, dropped


def test_serve_joins_a_cluster_and_leaves_it_as_it_was(nodes: Nodes) -> None:
    """A photo is stylized on the cluster; what waits for a node that never comes is no obstacle."""
    command = [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", "0"]
    command += ["--backend", "none", "--workers", "2", "--ray-address", nodes.address]
    log = nodes.home / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=nodes.environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "\nready" not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        url = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        assert url is not None
        photo = BytesIO()
        Image.fromarray(smooth_rgb(64, 48)).save(photo, "PNG")
        stylized = httpx.post(
            f"{url[0]}/stylize/none", files={"image": photo.getvalue()}, timeout=60
        )
        assert stylized.status_code == 200, stylized.text
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()
    assert nodes.runs(1)
