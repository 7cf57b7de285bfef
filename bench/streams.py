"""What one stream more costs: 1, 4 and 8 publishers, in the server's process or in several.

    python -m bench.streams                              frames pass unchanged: the media alone
    python -m bench.streams --style mosaic --fps 15 --size 640x360
    python -m bench.streams --processes 0 1 2 --streams 1 4

For each case: frame rates and latency of the streams (median, worst), and the CPU time that each
part took, in cores: the front door, the processes that carry streams, the workers, Ray, and apart
from these the publishers, which run in processes of their own.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil

from bench.live import server
from tests.support.rtc_client import RtcClient

CLIENTS_EACH = 2  # of a publisher's process: one process alone would be what is measured
SETTLE_S = 6.0


async def publish(url: str, first: int, count: int, size: tuple[int, int], fps: float) -> None:
    """Publish until standard input ends."""
    async with (
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        contextlib.AsyncExitStack() as s,
    ):
        for number in range(first, first + count):
            client = RtcClient(*size, fps=fps)
            s.push_async_callback(client.close)
            sdp = {"Content-Type": "application/sdp"}
            answer = await http.post(f"/whip/s{number}", content=await client.offer(), headers=sdp)
            answer.raise_for_status()
            await client.accept(answer.text)
        print("publishing", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.contextmanager
def publishers(url: str, count: int, size: str, fps: float) -> Iterator[list[psutil.Process]]:
    """Processes that publish `count` streams, all connected."""
    started = []
    for first in range(0, count, CLIENTS_EACH):
        some = min(CLIENTS_EACH, count - first)
        command = [sys.executable, "-m", "bench.streams", "--publish", url, str(first), str(some)]
        started.append(
            subprocess.Popen(
                [*command, "--size", size, "--fps", str(fps)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("publishing")
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.communicate()


def cpu_s(processes: list[psutil.Process]) -> float:
    """User and system time so far."""
    used = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def parts(front: psutil.Process, url: str) -> dict[str, list[psutil.Process]]:
    """The server's processes by what they do."""
    stats = httpx.get(f"{url}/stats", timeout=10).json()
    carrying = {one["pid"] for one in stats["processes"]}
    working = {one["about"]["pid"] for one in stats["workers"]}
    found: dict[str, list[psutil.Process]] = {
        "front": [front],
        "peers": [],
        "workers": [],
        "ray": [],
    }
    for child in front.children(recursive=True):
        kind = "peers" if child.pid in carrying else "workers" if child.pid in working else "ray"
        found[kind].append(child)
    return found


def measure(count: int, processes: int, options: argparse.Namespace) -> dict[str, float]:
    """One case."""
    backend = ["--backend", "none"] if options.style is None else ["--style", options.style]
    flags = [*backend, "--max-peers", "16", "--peer-processes", str(processes), "--workers", "2"]
    with server(*flags) as (url, front), publishers(url, count, options.size, options.fps) as them:
        time.sleep(SETTLE_S)
        groups = parts(front, url) | {"publishers": them}
        before, began = {name: cpu_s(group) for name, group in groups.items()}, time.monotonic()
        time.sleep(options.seconds)
        passed = time.monotonic() - began
        used = {name: (cpu_s(group) - before[name]) / passed for name, group in groups.items()}
        streams = httpx.get(f"{url}/stats", timeout=10).json()["streams"].values()
    out = [stream["out_fps"] for stream in streams]
    latency = [stream["latency_ms"]["p50"] for stream in streams]
    served = sum(used.values()) - used["publishers"]
    return {
        "fps": statistics.median(out), "worst_fps": min(out),
        "in_fps": statistics.median(stream["in_fps"] for stream in streams),
        "latency_ms": statistics.median(latency), "worst_ms": max(latency),
        **used, "server": served, "server_each": served / count,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--publish", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--processes", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--style", help="Default: frames pass unchanged.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, _, height = options.size.partition("x")
    if options.publish:
        url, first, count = options.publish
        asyncio.run(publish(url, int(first), int(count), (int(width), int(height)), options.fps))
        return
    for count in options.streams:
        for processes in options.processes:
            row = {
                name: round(value, 2) for name, value in measure(count, processes, options).items()
            }
            head = {"streams": count, "processes": processes}
            print(json.dumps(head | row) if options.json else f"{head} {row}", flush=True)


if __name__ == "__main__":
    main()
