"""Attacks on a running server, each with an ordinary live stream beside it that should not notice.

    python -m bench.attacks                     all of them, `none`, 640x360 at 30 fps
    python -m bench.attacks --only scans photo  those whose names contain one of the words
    python -m bench.attacks --seconds 10        each for at least so long

For each: frames per second of the stream and its longest gap while it lasted, the memory of the
server's process when it was over, and what the attacker got. The first line is without any attack:
on a machine that does other work, the others are to be read beside it. A line that is not HELD
ends in exit code 1. `docs/threats.md` has the table.
"""

import argparse
import asyncio
import itertools
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from bench import hostile_files, hostile_peers, hostile_wire  # noqa: F401 - fill ATTACKS
from bench.hostile import ATTACKS, Attack, Target
from tests.support.rtc_client import RtcClient

ADMIN = "0123456789abcdef0123456789abcdef"
ENOUGH_FPS, LONGEST_GAP_S, LOGGED_BYTES = 28.0, 0.5, 20_000


@contextmanager
def server(home: Path, *options: str) -> Iterator[Target]:
    """A running `streamer serve` with a token for each role."""
    environment = {"STREAMER_DATA_DIR": str(home), "STREAMER_TOKEN": ADMIN}
    tokens = {"admin": ADMIN}
    for role in ("watch", "publish"):
        made = subprocess.run(
            [sys.executable, "-m", "streamer", "token", "add", "--role", role],
            env={**dict(psutil.Process().environ()), **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        tokens[role] = made.stdout.split()[-1]
    out = (home / "out").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", "0", *options],
        env={**dict(psutil.Process().environ()), **environment},
        stdout=out, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        while "ready in" not in (said := (home / "out").read_text()):
            if process.poll() is not None:
                raise SystemExit(said)
            time.sleep(0.1)
        found = re.search(r"http://([\d.]+):(\d+)", said)
        assert found is not None
        yield Target(found[1], int(found[2]), tokens, psutil.Process(process.pid), home)
    finally:
        if (code := process.poll()) is not None:
            print(f"the server ended with {code}: {(home / 'out').read_text()[-4000:]}")
        process.send_signal(signal.SIGINT)
        process.wait(30)
        out.close()


class Beside:
    """An ordinary stream in a process of its own; `arrived`: when its frames came back."""

    def __init__(self, target: Target) -> None:
        self.arrived: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.attacks", "--beside", target.url, ADMIN],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.arrived.append(float(line))

    def between(self, began: float, ended: float) -> tuple[float, float]:
        """Frames per second, and the longest gap in seconds."""
        inside = [at for at in self.arrived if began <= at <= ended]
        edges = [began, *inside, ended]
        gaps = [after - before for before, after in itertools.pairwise(edges)]
        return len(inside) / (ended - began), max(gaps)

    def close(self) -> None:
        self._process.communicate("")


async def publish(url: str, token: str) -> None:
    """A stream until standard input ends; a line for each frame that comes back."""
    client = RtcClient(640, 360, 30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    async with httpx.AsyncClient(base_url=url, timeout=20, headers=headers) as http:
        answer = await http.post("/whip/beside", content=await client.offer())
        answer.raise_for_status()
        await client.accept(answer.text)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        told = 0
        while not ended.done():
            await asyncio.sleep(0.05)
            for arrival in client.arrivals[told:]:
                print(arrival.at, flush=True)
            told = len(client.arrivals)
        await http.delete(answer.headers["Location"])
    await client.close()


def run(attack: Attack, target: Target, beside: Beside, seconds: float) -> bool:
    """One row of the table; whether all held."""
    attack.make()
    time.sleep(1.0)  # until what that took is over
    before = target.log_bytes()
    began = time.monotonic()
    try:
        got = attack.run(target, began + seconds)
    except (httpx.TransportError, OSError) as error:
        got = f"no answer: {type(error).__name__}"
    rest = began + seconds - time.monotonic()
    if rest > 0:
        time.sleep(rest)
    ended = time.monotonic()
    time.sleep(0.2)  # for frames on their way
    fps, gap_s = beside.between(began, ended)
    logged = target.log_bytes() - before
    held = fps >= ENOUGH_FPS and gap_s <= LONGEST_GAP_S and logged < LOGGED_BYTES
    memory = target.process.memory_info().rss / 2**20
    print(
        f"| {attack.who} | {attack.name} | {fps:.1f} | {gap_s:.2f} | {memory:.0f} | {logged} "
        f"| {got} | {'HELD' if held else 'FELL'} |",
        flush=True,
    )
    return held


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="words of names")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--backend", default="none")
    parser.add_argument("--beside", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.beside:
        asyncio.run(publish(*given.beside))
        return 0
    chosen = [one for one in ATTACKS if any(word in one.name for word in given.only)]
    chosen.insert(0, Attack("none at all", "-", lambda target, end: ""))
    with (
        tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as home,
        server(Path(home), "--backend", given.backend) as target,
    ):
        beside = Beside(target)
        while len(beside.arrived) < 90:
            time.sleep(0.1)
        print("| who | attack | fps | gap s | MiB | log bytes | what it got | |")
        print("|---|---|---|---|---|---|---|---|")
        held = [run(one, target, beside, given.seconds) for one in chosen]
        beside.close()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
