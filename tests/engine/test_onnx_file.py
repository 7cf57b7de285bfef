"""What is known of an ONNX file before an engine opens it."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from streamer.engine.onnx_file import refuse_external_data
from streamer.errors import ModelError
from tests.support.networks import painting_network


def external() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def graph_with(tensor: TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "g", [], [], [tensor])


def in_initializer() -> onnx.ModelProto:
    return helper.make_model(graph_with(external()))


def in_constant() -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["c"], value=external())
    return helper.make_model(helper.make_graph([node], "g", [], []))


def in_branch() -> onnx.ModelProto:
    branch = graph_with(external())
    node = helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch)
    return helper.make_model(helper.make_graph([node], "g", [], []))


def in_function() -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["c"], value=external())
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "f", [], ["c"], [node], opsets)
    return helper.make_model(helper.make_graph([], "g", [], []), functions=[function])


def in_sparse() -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.graph.sparse_initializer.add().values.CopyFrom(external())
    return model


@pytest.mark.parametrize("make", [in_initializer, in_constant, in_branch, in_function, in_sparse])
def test_data_in_another_file_is_found_wherever_it_hides(make: object) -> None:
    model = make()  # type: ignore[operator]
    with pytest.raises(ModelError, match="other files"):
        refuse_external_data(model.SerializeToString())


def test_a_whole_file_passes(tmp_path: Path) -> None:
    refuse_external_data(painting_network(tmp_path / "p.onnx").read_bytes())


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    data = painting_network(tmp_path / "p.onnx").read_bytes()
    for length in (1, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelError):
            refuse_external_data(data[:length])


def test_graphs_in_graphs_without_end_are_refused() -> None:
    graph = graph_with(numpy_helper.from_array(np.zeros(1, np.float32), "w"))
    for _ in range(30):
        node = helper.make_node("If", ["c"], ["x"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    with pytest.raises(ModelError, match="too deeply"):
        refuse_external_data(helper.make_model(graph).SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        refuse_external_data(data)
