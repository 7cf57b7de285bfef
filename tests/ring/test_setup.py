"""How many workers, where the command line does not say."""

import pytest

from streamer.engine.backend import Backend
from streamer.errors import UsageError
from streamer.ring import setup as ring_setup
from streamer.ring.setup import Setup, resolve


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
