"""Files are read in a process that is limited; what it finds or refuses comes back."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamer.errors import MediaError, ModelError, StreamerError, UsageError
from streamer.library import add
from streamer.library.add import read_in_process
from streamer.library.read import read
from tests.support.networks import blending_network, float_tensor, negative_network, save


def single(nodes: list[onnx.NodeProto], path: Path, **constants: np.ndarray) -> Path:
    """A network of one image, x to y."""
    sides = (1, 3, "h", "w")
    return save(path, nodes, [float_tensor("x", *sides)], [float_tensor("y", *sides)], constants)


def endless_network(path: Path) -> Path:
    """A loop of 2**62 turns."""
    image = float_tensor("a", 1, 3, "h", "w"), float_tensor("b", 1, 3, "h", "w")
    condition = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("c", "d")]
    turn = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    nodes = [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Neg", ["a"], ["b"])]
    body = helper.make_graph(
        nodes, "body", [turn, condition[0], image[0]], [condition[1], image[1]]
    )
    loop = helper.make_node("Loop", ["turns", "on", "x"], ["y"], body=body)
    return single([loop], path, turns=np.array(2**62), on=np.array(True))


def large_network(path: Path) -> Path:
    """Takes 8 GB for a moment."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    return single(nodes, path, shape=np.array([2000, 1000, 1000]))


def test_what_is_read_in_a_process_is_what_is_read_here(tmp_path: Path) -> None:
    path = blending_network(tmp_path / "own.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"styles": "mosaic,night", "license": "CC0-1.0"})
    onnx.save(model, path)
    assert read_in_process(path, "own") == read(path, "own")
    single = negative_network(tmp_path / "-n.onnx")
    assert read_in_process(single, "n", "0..1") == read(single, "n", "0..1")


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("nowhere.onnx", None, UsageError),
        ("letter.onnx", b"Dear Sir or Madam", ModelError),
        ("letter.jpg", b"Dear Sir or Madam", MediaError),
        ("letter.txt", b"Dear Sir or Madam", UsageError),
    ],
)
def test_what_is_refused_there_is_refused_here(
    tmp_path: Path, file: str, content: bytes | None, error: type[StreamerError]
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(error) as there:
        read_in_process(tmp_path / file, "letter")
    with pytest.raises(error) as here:
        read(tmp_path / file, "letter")
    assert str(there.value) == str(here.value)


def test_a_network_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(add, "LIMITS", replace(add.LIMITS, cpu_s=4.0))
    with pytest.raises(ModelError, match=r"endless\.onnx is refused: .* 4 s of processor time"):
        read_in_process(endless_network(tmp_path / "endless.onnx"), "endless")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_network_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"large\.onnx (is refused|cannot stylize)"):
        read_in_process(large_network(tmp_path / "large.onnx"), "large")
