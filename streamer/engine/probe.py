"""Which engine and precision this machine runs fastest: measured once, and remembered.

Never by a processor's name: one without AMX emulates bfloat16 and takes hundreds of milliseconds.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from streamer.engine.folded_network import ENGINES, Engine, FoldedNetwork
from streamer.errors import ModelError
from streamer.statistics import Statistics

Open = Callable[[Engine], FoldedNetwork]

WIDTH, HEIGHT = 640, 360
CLEARLY = 1.2  # times as fast an engine has to be to be worth less exact pictures
_MOST_EXACT_FIRST: tuple[Engine, ...] = (
    "openvino-f32",
    "onnxruntime",
    "openvino-bf16",
    "openvino-int8",
)
_RUNS, _HOPELESS = 4, 4.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Milliseconds for one picture of 640x360 by each engine that works here."""

    milliseconds: Mapping[Engine, float]

    @property
    def best(self) -> Engine:
        """The most exact of those that are about as fast as the fastest."""
        fastest = min(self.milliseconds.values())
        return next(
            engine
            for engine in _MOST_EXACT_FIRST
            if self.milliseconds.get(engine, np.inf) <= CLEARLY * fastest
        )


def probe(
    open_network: Open,
    cache: Path,
    threads: int,
    engines: Sequence[Engine] = ENGINES,
    device: str = "CPU",
) -> Probe:
    """What this machine does, from the cache directory or measured now; under 3 s.

    Raises ModelError when no engine can run the network.
    """
    file = _file(cache, threads, device)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):  # workers that start together measure once
            known = _read(file) or measured(open_network).milliseconds
            file.write_text(json.dumps(dict(known)), encoding="utf-8")
    except OSError:  # nowhere to remember it
        known = measured(open_network, engines).milliseconds
    return Probe({engine: known[engine] for engine in engines if engine in known})


def remembered(cache: Path, threads: int, device: str = "CPU") -> Probe | None:
    """What was measured on this machine, if anything was."""
    known = _read(_file(cache, threads, device))
    return Probe(known) if known else None


def _file(cache: Path, threads: int, device: str) -> Path:
    return cache / f"engines-{machine(threads, device)}.json"


def _read(file: Path) -> Mapping[Engine, float]:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {engine: float(saved[engine]) for engine in ENGINES if engine in saved}
    except (OSError, ValueError, TypeError):  # never measured, or half written
        return {}


def measured(open_network: Open, engines: Sequence[Engine] = ENGINES) -> Probe:
    """Time every engine. Raises ModelError when none can run the network."""
    found: dict[Engine, float] = {}
    refusal = ModelError("no engine can run it")
    for engine in engines:
        try:
            found[engine] = _milliseconds(open_network(engine), min(found.values(), default=np.inf))
        except (ModelError, ImportError) as error:
            refusal = error if isinstance(error, ModelError) else refusal
    if not found:
        raise refusal
    return Probe(found)


def machine(threads: int, device: str = "CPU") -> str:
    """A name for this processor, as far as engines see it, with these versions of them."""
    seen = _processor(), _versions(), threads, device
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _processor() -> tuple[str, ...]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    uname = platform.uname()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return uname.machine, uname.processor, *sorted(flags.split()), limit


def _versions() -> list[str]:
    versions = []
    for package in ("openvino", "onnxruntime", "stylestreamer"):
        try:
            versions.append(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            versions.append("")
    return versions


def _milliseconds(network: FoldedNetwork, best: float) -> float:
    """The shortest of a few runs, or the first one of an engine that is out of the question."""
    rng = np.random.default_rng(0)
    whole = HEIGHT - HEIGHT % network.multiple, WIDTH
    half = whole[0] // 2, whole[1] // 2
    y, u, v = (rng.integers(16, 235, size, np.uint8) for size in (whole, half, half))
    weights = None
    if network.styles is not None:
        weights = np.eye(network.styles, dtype=np.float32)[0]
    nothing = np.zeros(network.channels, np.float32)
    times: list[float] = []
    for _ in range(1 + _RUNS):  # the first one compiles
        began = time.perf_counter()
        network.stylize((y, u, v), weights, Statistics(nothing, nothing))
        times.append(1e3 * (time.perf_counter() - began))
        if len(times) == 2 and times[1] > _HOPELESS * best:
            break
    return min(times[1:])
