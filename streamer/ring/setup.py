"""command line → **setup** → start: how many workers, with how many threads or GPUs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.engine.backend import Backend
from streamer.errors import UsageError

GPU_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """A ring: `workers` with `threads` CPU threads each, or with one of `gpus` GPUs each."""

    backend: Backend
    workers: int
    threads: int = 1
    gpus: int = 0

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where each worker's networks run."""
        return "cuda" if self.gpus else "cpu"

    @property
    def depth(self) -> int:
        """Frames that may wait at one worker: a GPU stylizes them together, a CPU one by one."""
        return GPU_DEPTH if self.gpus else 1

    def __str__(self) -> str:
        flags = f"--backend {self.backend} --workers {self.workers} --threads {self.threads}"
        return f"{flags} --gpus {self.gpus}" if self.gpus else flags


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> int:
    """NVIDIA devices of this machine; importing Torch just to count them takes seconds."""
    return sum(device.name[6:].isdecimal() for device in Path("/dev").glob("nvidia[0-9]*"))


def resolve(
    backend: Backend, workers: int | None, threads: int | None, gpu_count: int | None
) -> Setup:
    """What is not given comes from the machine: one worker per core or GPU, of one thread.

    Raises UsageError for GPUs with a backend that cannot use them.
    """
    if gpu_count and backend != "torch":
        raise UsageError(f"--gpus needs --backend torch; {backend} runs on the CPU")
    each = threads or 1
    used = (gpus() if gpu_count is None else gpu_count) if backend == "torch" else 0
    return Setup(backend, workers or used or max(1, cores() // each), each, used)
