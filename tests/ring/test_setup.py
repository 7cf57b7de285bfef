"""How many workers, where the command line does not say."""

import math
import os
from pathlib import Path
from typing import Any

import pytest

from streamer.api.ring import Ring
from streamer.cli.options import choose_setup
from streamer.engine import openvino_engine, torch_network
from streamer.engine.backend import Backend, Device
from streamer.errors import UsageError
from streamer.ring import setup as ring_setup
from streamer.ring.setup import Setup, check_device, quota, resolve


@pytest.mark.parametrize(
    ("given", "made", "depth"),
    [
        (("onnx", None, None, None), Setup("onnx", 8, 1, 0), 1),
        (("onnx", None, 2, None), Setup("onnx", 4, 2, 0), 1),
        (("onnx", None, 16, None), Setup("onnx", 1, 16, 0), 1),
        (("onnx", 3, 2, None), Setup("onnx", 3, 2, 0), 1),
        (("torch", None, None, None), Setup("torch", 2, 1, 2), 8),
        (("torch", None, None, 0), Setup("torch", 8, 1, 0), 1),
        (("torch", None, None, 1), Setup("torch", 1, 1, 1), 8),
    ],
)
def test_workers_fit_the_machine(
    given: tuple[Backend, int | None, int | None, int | None],
    made: Setup,
    depth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_setup, "cores", lambda: 8)
    monkeypatch.setattr(ring_setup, "gpus", lambda: 2)
    assert resolve(*given) == made
    assert made.depth == depth


def test_gpus_need_torch() -> None:
    with pytest.raises(UsageError, match="--backend torch"):
        resolve("onnx", None, None, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("foo", None, None, None), "backend 'foo' is none of auto, openvino, onnx, torch, none"),
        (("auto", None, None, None, "tpu"), "device 'tpu' is none of auto, cpu, gpu, npu, cuda"),
        (("auto", 0, None, None), "workers must be 1 or more, not 0"),
        (("auto", None, -1, None), "threads must be 1 or more, not -1"),
        (("torch", None, None, -1), "gpus must be 0 or more, not -1"),
    ],
)
def test_wrong_arguments_of_a_program_are_said(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve(*given)


@pytest.mark.parametrize(
    ("backend", "device", "made", "place"),
    [
        ("auto", "auto", Setup("auto", 8), "cpu"),
        ("auto", "cpu", Setup("auto", 8), "cpu"),
        ("torch", "cpu", Setup("torch", 8), "cpu"),
        ("auto", "cuda", Setup("torch", 2, 1, 2), "cuda"),
        ("auto", "gpu", Setup("openvino", 1, device="gpu"), "gpu"),
        ("openvino", "npu", Setup("openvino", 1, device="npu"), "npu"),
    ],
)
def test_a_device_brings_its_engine_and_its_workers(
    backend: Backend,
    device: Device,
    made: Setup,
    place: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_setup, "cores", lambda: 8)
    monkeypatch.setattr(ring_setup, "gpus", lambda: 2)
    found = resolve(backend, None, None, None, device)
    assert (found, found.place) == (made, place)
    assert ("--device" in str(found)) == (place in ("gpu", "npu"))


@pytest.mark.parametrize(
    ("backend", "gpus", "device"),
    [
        ("onnx", None, "gpu"),
        ("torch", None, "npu"),
        ("openvino", None, "cuda"),
        ("torch", 0, "cuda"),
        ("torch", 1, "cpu"),
        ("auto", 1, "gpu"),
    ],
)
def test_what_contradicts_a_device_is_refused(
    backend: Backend, gpus: int | None, device: Device
) -> None:
    with pytest.raises(UsageError, match=f"--device {device}"):
        resolve(backend, None, None, gpus, device)


@pytest.mark.parametrize("device", ["gpu", "npu", "cuda"])
def test_a_device_that_is_not_there_is_said(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "devices", lambda: frozenset({"cpu"}))
    monkeypatch.setattr(ring_setup, "gpus", lambda: 0)
    with pytest.raises(UsageError, match=f"--device {device}: "):
        check_device(device)
    for always in ("auto", "cpu"):
        check_device(always)


def test_a_device_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "devices", lambda: frozenset({"cpu", "gpu", "npu"}))
    monkeypatch.setattr(ring_setup, "gpus", lambda: 1)
    for device in ("gpu", "npu", "cuda"):
        check_device(device)


@pytest.mark.parametrize(
    ("groups", "files", "granted"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2.0),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000"}, 3.0),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, math.inf),
        (
            "2:cpuacct,cpu:/docker/1\n1:cpuset:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            0.5,
        ),
        (
            "2:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            math.inf,
        ),
        ("0::/\n", {}, math.inf),
    ],
)
def test_the_quota_of_control_groups(
    groups: str, files: dict[str, str], granted: float, tmp_path: Path
) -> None:
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(text)
    assert quota(tmp_path / "groups", tmp_path / "fs") == granted
    assert quota(tmp_path / "none", tmp_path / "fs") == math.inf


def test_a_container_with_two_of_many_cores_has_two_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for granted, workers in ((2.0, 2), (1.5, 2), (0.2, 1), (math.inf, 64)):
        monkeypatch.setattr(ring_setup, "quota", lambda now=granted: now)
        assert resolve("onnx", None, None, None).workers == workers


def test_gpus_that_are_not_there_are_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of those that are no devices, as in WSL, Torch knows."""
    monkeypatch.setattr(ring_setup, "gpus", lambda: 0)
    monkeypatch.setattr(torch_network, "gpus", lambda: 1)
    check_device("auto", 1)
    with pytest.raises(UsageError, match="--gpus 2: Torch finds only 1 NVIDIA GPU"):
        check_device("auto", 2)
    monkeypatch.setattr(torch_network, "gpus", lambda: 0)
    with pytest.raises(UsageError, match="--gpus 1: Torch finds no NVIDIA GPU here"):
        choose_setup("file", "torch", None, None, 1, None)
    with pytest.raises(UsageError, match="--gpus 1: Torch finds no NVIDIA GPU here"):
        Ring(backend="torch", gpus=1)
    assert choose_setup("file", "torch", None, None, 1, "head:6379")[0].gpus == 1
