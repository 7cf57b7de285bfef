"""command line → **tuning** → ring: how many workers with how many threads, on what.

As asked; where nothing was asked, as `streamer bench` found best on this machine; else one
worker a core or GPU.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import StreamerError
from streamer.styles.manifest import user_data

Engine = Literal["onnx", "torch", "none"]
Use = Literal["live", "film"]
GPU_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """A ring: `workers` with `threads` CPU threads each, or with one of `gpus` GPUs each."""

    backend: Engine
    workers: int
    threads: int = 1
    gpus: int = 0

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where each worker's networks run."""
        return "cuda" if self.gpus else "cpu"

    @property
    def depth(self) -> int:
        """Frames that may wait at one worker: a GPU paints them together, a CPU one by one."""
        return GPU_DEPTH if self.gpus else 1

    def __str__(self) -> str:
        flags = f"--backend {self.backend} --workers {self.workers} --threads {self.threads}"
        return f"{flags} --gpus {self.gpus}" if self.gpus else flags


@dataclass(frozen=True, slots=True)
class Tuned:
    """What `streamer bench` found, and for which machine."""

    live: Setup
    film: Setup
    date: str
    cores: int
    gpus: int


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> int:
    """NVIDIA devices of this machine; importing Torch just to count them takes seconds."""
    return sum(device.name[6:].isdecimal() for device in Path("/dev").glob("nvidia[0-9]*"))


def setup(backend: Engine, workers: int | None, threads: int | None, gpu: int | None) -> Setup:
    """As asked, the rest from the machine."""
    each = threads or 1
    used = (gpus() if gpu is None else gpu) if backend == "torch" else 0
    return Setup(backend, workers or used or max(1, cores() // each), each, used)


def recall(use: Use, *asked: object) -> tuple[Setup, str] | None:
    """What the bench found best, and a line that says so; None when anything was `asked` for."""
    if any(one is not None for one in asked):
        return None
    tuned = load()
    if tuned is None:
        return None
    best = tuned.live if use == "live" else tuned.film
    return best, f"as `streamer bench` found best on {tuned.date}: {best}"


def place() -> Path:
    """The file in which findings are kept."""
    return user_data().parent / "bench.json"


def load() -> Tuned | None:
    """The findings for this machine, if there are any; those of another machine do not count."""
    try:
        told = json.loads(place().read_text(encoding="utf-8"))
        live, film = Setup(**told.pop("live")), Setup(**told.pop("film"))
        tuned = Tuned(live, film, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return tuned if (tuned.cores, tuned.gpus) == (cores(), gpus()) else None


def save(live: Setup, film: Setup, date: str) -> Path:
    """Keep findings; returns where. Raises StreamerError."""
    tuned, path = Tuned(live, film, date, cores(), gpus()), place()
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(tuned), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise StreamerError(f"cannot write {path}: {error.strerror}") from None
    return path


def forget() -> bool:
    """Remove the findings; whether there were any."""
    there = place().exists()
    place().unlink(missing_ok=True)
    return there
