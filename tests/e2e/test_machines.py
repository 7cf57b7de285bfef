"""Two machines, as two network namespaces: one serves, the other has the package and the token.

The second machine has streamer at another path, a /tmp of its own, and none of the models.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

import streamer
from tests.support.pictures import smooth_rgb
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PACKAGE = Path(streamer.__file__).parent
START_S, LOST_S = 120.0, 60.0
SERVER, NODE = "10.78.0.1", "10.78.0.2"
PORT = 9720
STREAMER = (sys.executable, "-m", "streamer")


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False)


@dataclass
class Machines:
    """Two of them, by name `head` and `node`, on one cable."""

    home: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = {one: f"st{os.getpid()}{one}" for one in ("head", "node")}
        for name in self.names.values():
            self._ip("netns", "add", name)
        self._ip(
            *("link", "add", "st0", "netns", self.names["head"]),
            *("type", "veth", "peer", "name", "st1", "netns", self.names["node"]),
        )
        for one, link, address in (("head", "st0", SERVER), ("node", "st1", NODE)):
            (self.home / one / ".ray").mkdir(parents=True)
            self._ip("-n", self.names[one], "addr", "add", f"{address}/24", "dev", link)
            for up in (link, "lo"):
                self._ip("-n", self.names[one], "link", "set", up, "up")
        shutil.copytree(PACKAGE, self.home / "node" / "elsewhere" / "streamer")

    def _ip(self, *words: str) -> None:
        done = run("ip", *words)
        if done.returncode != 0:
            pytest.skip(f"no network namespaces here: {done.stderr.strip()}")

    def command(self, machine: str, *words: str) -> list[str]:
        """A command as run on a machine."""
        there = ["ip", "netns", "exec", self.names[machine], "env"]
        there += ["-u", "STREAMER_DATA_DIR", "-u", "STREAMER_CACHE_DIR"]
        there += [f"HOME={self.home / machine}"]
        if machine == "node":
            hidden = (PACKAGE.parent / "models", PACKAGE, Path("/tmp"))
            mounts = " && ".join(f"mount -t tmpfs none '{path}'" for path in hidden)
            there += [f"PYTHONPATH={self.home / 'node' / 'elsewhere'}"]
            there += ["unshare", "--mount", "sh", "-c", f'cd / && {mounts} && exec "$@"', "-"]
        return [*there, *words]

    def start(self, machine: str, *words: str) -> Path:
        """Start it; what it says is in the file."""
        log = self.home / f"{len(self.started)}.log"
        with log.open("w") as output:
            command = self.command(machine, *words)
            self.started.append(subprocess.Popen(command, stdout=output, stderr=output))
        return log

    def ask(self, machine: str, *words: str) -> str:
        done = run(*self.command(machine, *words))
        return done.stdout + done.stderr

    def close(self) -> None:
        for process in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            process.wait(60)
        for name in self.names.values():
            run("ip", "netns", "delete", name)


@pytest.fixture
def machines() -> Iterator[Machines]:
    home = Path(tempfile.mkdtemp(prefix="m-", dir="/var/tmp"))  # not /tmp: the node hides it
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        two = Machines(home)
        stack.callback(two.close)
        yield two


async def test_a_node_needs_only_the_package_and_the_token(machines: Machines) -> None:
    head = machines.start("head", *STREAMER, "node", "head", "--ip", SERVER, "--cpus", "0")
    await eventually(lambda: "the cluster runs" in head.read_text(), START_S)
    refused = machines.ask("node", *STREAMER, "node", "join", SERVER)
    assert "does not let us in: it has a token, and none is set here" in refused
    shutil.copy(machines.home / "head/.ray/auth_token", machines.home / "node/.ray/auth_token")

    log = machines.start(
        "head", *STREAMER, *("serve", "--no-browser", "--workers", "1", "--port", str(PORT)),
        *("--ray-address", "auto"),
    )  # fmt: skip
    await eventually(
        lambda: "workers wait: the cluster has no free CPU" in log.read_text(), START_S
    )
    ready = ("curl", "-s", f"127.0.0.1:{PORT}/readyz")
    assert "no free CPU" in machines.ask("head", *ready)
    node = machines.start("node", *STREAMER, "node", "join", SERVER, "--ip", NODE, "--cpus", "1")
    await eventually(lambda: "\nready" in log.read_text(), START_S)
    assert f"joined {SERVER}" in node.read_text()

    asked = (*STREAMER, "status", f"http://127.0.0.1:{PORT}", "--json")
    assert f'"address": "{NODE}"' in machines.ask("head", *asked)
    stylized = machines.home / "stylized.jpg"
    Image.fromarray(smooth_rgb(320, 180)).save(machines.home / "photo.png")
    machines.ask(
        "head", "curl", "-s", "-F", f"image=@{machines.home / 'photo.png'}",
        f"127.0.0.1:{PORT}/stylize/mosaic", "-o", str(stylized),
    )  # fmt: skip
    with Image.open(stylized) as image:
        assert image.size == (320, 180)

    assert "takes no new workers" in machines.ask("head", *STREAMER, "node", "drain", NODE)
    assert "left: process" in machines.ask("node", *STREAMER, "node", "leave")
    told = [""]

    def waits() -> bool:
        told[0] = machines.ask("head", *asked)
        return '"waits_for": "the cluster has no free CPU' in told[0]

    try:
        await eventually(waits, LOST_S)
    except AssertionError:
        raise AssertionError(f"{told[0]}\n{log.read_text()}") from None
    assert NODE not in machines.ask("head", *STREAMER, "node", "list")
