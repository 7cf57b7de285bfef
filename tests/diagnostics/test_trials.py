"""Which rings are tried, and which of them is called the best."""

import pytest

from streamer.cli import bench as bench_cli
from streamer.diagnostics.measure import Speed
from streamer.diagnostics.trials import Trial, best_file, best_live, candidates
from streamer.errors import StreamerError, UsageError
from streamer.ring.setup import Setup


def test_rings_fit_the_cores() -> None:
    found = candidates(["onnx"], 8, 0)
    assert [(one.workers, one.threads) for one in found] == [(8, 1), (4, 2), (2, 4), (1, 8), (7, 1)]
    assert candidates(["onnx"], 1, 0) == [Setup("onnx", 1)]
    assert all(one.workers * one.threads <= 6 for one in candidates(["onnx", "torch"], 6, 0))


def test_gpus_are_for_torch() -> None:
    found = candidates(["onnx", "torch"], 2, 4)
    assert [one for one in found if one.gpus] == [Setup("torch", 1, 1, 1), Setup("torch", 4, 1, 4)]


MANY = Trial(Setup("onnx", 8, 1), Speed(40.0, 0.200))
FEW = Trial(Setup("onnx", 4, 2), Speed(39.0, 0.100))
ONE = Trial(Setup("onnx", 1, 8), Speed(32.0, 0.031))
BROKEN = Trial(Setup("torch", 8, 1), None, "no Torch here")


def test_files_want_frames_and_among_equals_low_latency() -> None:
    assert best_file([MANY, ONE, BROKEN]) == MANY.setup
    assert best_file([MANY, FEW, ONE, BROKEN]) == FEW.setup


def test_live_streams_want_their_rate_and_then_little_latency() -> None:
    assert best_live([MANY, FEW, ONE, BROKEN], 30) == ONE.setup
    assert best_live([MANY, FEW, ONE, BROKEN], 35) == FEW.setup
    assert best_live([MANY, FEW, ONE, BROKEN], 60) == FEW.setup


def test_where_nothing_works_the_reason_is_said_once() -> None:
    with pytest.raises(StreamerError, match=r"no ring works on this machine: no Torch here$"):
        best_file([BROKEN, BROKEN])


@pytest.mark.parametrize(
    ("text", "engines"),
    [("onnx", ["onnx"]), ("torch,auto", ["auto", "torch"]), ("onnx,torch", ["onnx", "torch"])],
)
def test_backends_are_named_with_commas(text: str, engines: list[str]) -> None:
    assert bench_cli._engines(text) == engines


@pytest.mark.parametrize("text", ["none", "onnx,", "onnx, torch", "cuda"])
def test_other_backends_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be of auto, onnx and torch"):
        bench_cli._engines(text)
