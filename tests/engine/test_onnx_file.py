"""ONNX files: what is checked before an engine opens one, and what is refused."""

import contextlib
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from streamer.engine.onnx_file import MAX_NODES, inputs_of, make_size_dynamic, parse
from streamer.errors import ModelError
from tests.support.networks import fixed_network, float_tensor, painting_network, planes_network


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
        parse(model.SerializeToString(), "x.onnx")


def test_a_whole_file_passes(tmp_path: Path) -> None:
    parsed = parse(painting_network(tmp_path / "p.onnx").read_bytes(), "x.onnx")
    assert inputs_of(parsed) == {"input1": (1, 3, "h", "w")}


def test_a_fixed_size_is_made_dynamic_and_weights_among_the_inputs_stay(tmp_path: Path) -> None:
    parsed = parse(fixed_network(tmp_path / "f.onnx", 64).read_bytes(), "x.onnx")
    assert inputs_of(parsed) == {"input1": (1, 3, 64, 64)}
    weights = list(parsed.graph.input[1:])
    make_size_dynamic(parsed)
    assert inputs_of(parsed) == {"input1": (1, 3, "height", "width")}
    assert list(parsed.graph.input[1:]) == weights
    assert [d.dim_param for d in parsed.graph.output[0].type.tensor_type.shape.dim][2:] == [
        "height",
        "width",
    ]


def test_too_many_nodes_are_refused_wherever_they_are() -> None:
    nodes = [helper.make_node("Identity", ["c"], ["x"])] * (MAX_NODES // 2 + 1)
    branch = helper.make_graph(nodes, "g", [], [])
    node = helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch)
    model = helper.make_model(helper.make_graph([node], "g", [], []))
    with pytest.raises(ModelError, match="more than"):
        parse(model.SerializeToString(), "x.onnx")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    data = painting_network(tmp_path / "p.onnx").read_bytes()
    for length in (1, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelError):
            parse(data[:length], "x.onnx")


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a Protocol Buffers message."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def test_graphs_in_graphs_without_end_are_refused() -> None:
    """`onnx` itself cannot write such a file: a graph in an attribute (6) of a node (1, 5)."""
    graph = b""
    for _ in range(5000):
        graph = field(1, field(5, field(6, graph)))
    model = helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()
    with pytest.raises(ModelError, match="not an ONNX file"):
        parse(model + field(7, graph), "x.onnx")


def calls(levels: int, times: int) -> bytes:
    """Functions that each call the next one some times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for i in range(levels):
        kind, domain = (f"f{i + 1}", "own") if i < levels - 1 else ("Neg", "")
        names = [f"b{n}" for n in range(times)]
        nodes = [helper.make_node(kind, ["a"], [name], domain=domain) for name in names]
        functions.append(helper.make_function("own", f"f{i}", ["a"], names[-1:], nodes, opsets))
    node = helper.make_node("f0", ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "g", [float_tensor("x", 1)], [float_tensor("y", 1)])
    model = helper.make_model(graph, functions=functions, opset_imports=opsets)
    return bytes(model.SerializeToString())


def test_calls_of_functions_are_counted_as_what_they_unfold_into() -> None:
    assert len(parse(calls(5, 2), "x.onnx").functions) == 5
    with pytest.raises(ModelError, match="runs more than"):
        parse(calls(30, 2), "x.onnx")


def test_functions_that_call_themselves_are_refused() -> None:
    model = onnx.load_model_from_string(calls(3, 1))
    model.functions[2].node[0].op_type, model.functions[2].node[0].domain = "f0", "own"
    with pytest.raises(ModelError, match="call each other without end"):
        parse(model.SerializeToString(), "x.onnx")


def test_what_another_parser_might_know_is_dropped(tmp_path: Path) -> None:
    """Field 900 stands for one of a later version, which may lead to another file."""
    whole = planes_network(tmp_path / "p.onnx").read_bytes()
    known = parse(whole, "x.onnx").SerializeToString()
    unknown = bytes([0xA2, 0x38]) + field(0, b"/etc/passwd")[1:]  # key 900 << 3 | 2
    assert parse(whole + unknown, "x.onnx").SerializeToString() == known
    assert b"passwd" in onnx.load_model_from_string(whole + unknown).SerializeToString()


@given(st.data())
def test_damaged_models_are_read_or_refused(samples: list[bytes], data: st.DataObject) -> None:
    """What is read is canonical, lies in one file, and has a size that can be made dynamic."""
    content = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 40)))
        content[start:end] = data.draw(
            st.one_of(st.binary(max_size=12), st.just(bytes(content[start:end]) * 2))
        )
    with contextlib.suppress(ModelError):
        parsed = parse(bytes(content), "x.onnx")
        canonical = parsed.SerializeToString()
        assert parse(canonical, "x.onnx").SerializeToString() == canonical
        assert not re.search("external_data|EXTERNAL", text_format.MessageToString(parsed))
        make_size_dynamic(parsed)
        inputs_of(parsed)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("samples") / "net.onnx"
    whole = [make(path).read_bytes() for make in (planes_network, painting_network)]
    outside = [
        make().SerializeToString()
        for make in (in_initializer, in_constant, in_branch, in_function, in_sparse)
    ]
    return [*whole, *outside]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        parse(data, "x.onnx")
