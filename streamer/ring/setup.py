"""command line → **setup** → start: how many workers, with how many threads or GPUs."""

import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from streamer.engine.backend import Backend, Device
from streamer.errors import UsageError

GPU_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Setup:
    """A ring: `workers` with `threads` CPU threads each, or with one of `gpus` GPUs each."""

    backend: Backend
    workers: int
    threads: int = 1
    gpus: int = 0
    device: Device = "auto"

    @property
    def place(self) -> Device:
        """Where each worker's networks run; never `auto`."""
        if self.gpus:
            return "cuda"
        return self.device if self.device in ("gpu", "npu") else "cpu"

    @property
    def depth(self) -> int:
        """Frames that may wait at one worker: a GPU stylizes them together, a CPU one by one."""
        return GPU_DEPTH if self.gpus else 1

    def __str__(self) -> str:
        flags = f"--backend {self.backend} --workers {self.workers} --threads {self.threads}"
        if self.place in ("gpu", "npu"):
            return f"{flags} --device {self.place}"
        return f"{flags} --gpus {self.gpus}" if self.gpus else flags


def cores() -> int:
    """CPU cores this process may use: those of its affinity, within its control groups' quota.

    A container that may use 2 of 64 cores sees all of them.
    """
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(allowed, quota())))


def quota(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """CPUs that control groups grant to this process, by version 2 or 1; infinite without any."""
    least = math.inf
    with contextlib.suppress(OSError):  # not Linux
        for line in groups.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            base = root / "cpu" if controllers else root
            # Each group has its own. In a container the path may be one of the host.
            group = base / path.lstrip("/")
            for folder in (group, *group.parents):
                with contextlib.suppress(OSError, ValueError):  # not there; "max": no limit
                    text = " ".join((folder / name).read_text(encoding="ascii") for name in names)
                    granted, period = map(int, text.split())
                    least = min(least, granted / period) if granted > 0 else least
                if folder == base:
                    break
    return least


def gpus() -> int:
    """NVIDIA devices of this machine; importing Torch just to count them takes seconds."""
    return sum(device.name[6:].isdecimal() for device in Path("/dev").glob("nvidia[0-9]*"))


def check_device(device: Device, gpu_count: int = 0) -> None:
    """Raises UsageError for one that this machine does not have, and for more GPUs than it has."""
    if device == "cuda" and not gpus():
        raise UsageError("--device cuda: this machine has no NVIDIA GPU; without --device, the CPU")
    if gpu_count > gpus():  # or they are no devices of /dev, as in WSL
        from streamer.engine.torch_network import gpus as usable

        if gpu_count > (found := usable()):
            has = f"only {found} NVIDIA GPUs" if found else "no NVIDIA GPU"
            raise UsageError(f"--gpus {gpu_count}: Torch finds {has} here; --gpus 0 uses the CPU")
    if device in ("gpu", "npu"):
        try:
            from streamer.engine.openvino_engine import devices
        except ImportError:
            raise UsageError(f"--device {device} needs OpenVINO: pip install openvino") from None
        if device not in (there := devices()):
            has = ", ".join(sorted(there)) or "none"
            hint = "is its driver installed?"
            raise UsageError(f"--device {device}: OpenVINO finds only {has} here; {hint}")


def resolve(
    backend: Backend,
    workers: int | None,
    threads: int | None,
    gpu_count: int | None,
    device: Device = "auto",
) -> Setup:
    """What is not given comes from the machine: one worker per core or GPU, of one thread.

    On OpenVINO's other devices it is one worker. Raises UsageError for a backend that cannot use
    the device, and for what no type checker kept a program from giving.
    """
    for name, value, known in (("backend", backend, Backend), ("device", device, Device)):
        if value not in get_args(known):
            raise UsageError(f"{name} {value!r} is none of {', '.join(get_args(known))}")
    counts = ("workers", workers, 1), ("threads", threads, 1), ("gpus", gpu_count, 0)
    for name, count, least in counts:
        if count is not None and count < least:
            raise UsageError(f"{name} must be {least} or more, not {count}")
    if device in ("gpu", "npu"):
        if backend not in ("auto", "openvino") or gpu_count:
            raise UsageError(f"--device {device} needs --backend openvino, and no --gpus")
        return Setup("openvino", workers or 1, threads or 1, 0, device)
    if device == "cuda":
        if backend not in ("auto", "torch") or gpu_count == 0:
            raise UsageError("--device cuda needs --backend torch, and not --gpus 0")
        backend = "torch"
    if device == "cpu":
        if gpu_count:
            raise UsageError("--device cpu and --gpus exclude each other")
        gpu_count = 0
    if gpu_count and backend != "torch":
        raise UsageError(f"--gpus needs --backend torch; {backend} runs on the CPU")
    each = threads or 1
    used = (gpus() if gpu_count is None else gpu_count) if backend == "torch" else 0
    return Setup(backend, workers or used or max(1, cores() // each), each, used)
