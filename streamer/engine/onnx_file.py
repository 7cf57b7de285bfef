"""A model's bytes → **onnx_file** → onnx_network, torch_graph: what is checked is what runs.

The `onnx` package alone reads what a stranger wrote. Engines are handed the parsed model, or the
bytes that it was serialized to again, so that no second parser can find another meaning in them.
"""

from collections.abc import Iterable

import onnx
from google.protobuf.message import DecodeError, Message

from streamer.errors import ModelError, first_line
from streamer.styles.model import LAYOUTS, ModelFile

MAX_NODES = 20_000  # to run; `multistyle26` has 709
MAX_PARTS = 200_000  # nodes, attributes, weights, shapes ...
_MAX_CALLS = 32
Shape = tuple[int | str, ...]  # a name, perhaps empty, for a dimension of any size


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """The model in the bytes of an ONNX file, checked; `name` is what errors call it.

    Raises ModelError when the bytes are no valid ONNX model, when a tensor's values lie in another
    file (whose path a stranger chose), and when it has more than MAX_PARTS or runs more than
    MAX_NODES, calls of its own functions included.
    """
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:  # nested too deeply, too
        raise ModelError(f"{name} is not an ONNX file, or is damaged") from None
    model.DiscardUnknownFields()  # which another parser might know
    _check_parts(model, name)
    if _Unfolded(model, name).nodes > MAX_NODES:
        raise ModelError(f"{name} runs more than {MAX_NODES} nodes")
    try:
        onnx.checker.check_model(model.SerializeToString())
    except Exception as error:  # ValidationError, and what its C++ raises
        raise ModelError(f"{name} is not a valid ONNX model: {first_line(error)}") from None
    return model


def _check_parts(model: onnx.ModelProto, name: str) -> None:
    """Look at every message, however deep in attributes, subgraphs and functions it lies."""
    count, messages = 0, [model]
    while messages:
        message = messages.pop()
        if isinstance(message, onnx.TensorProto) and (
            message.data_location != onnx.TensorProto.DEFAULT or message.external_data
        ):
            raise ModelError(f"{name} keeps its weights in other files, which is refused")
        for field, value in message.ListFields():
            if field.message_type is not None:
                parts = [value] if isinstance(value, Message) else value
                count += len(parts)
                if count > MAX_PARTS:
                    raise ModelError(f"{name} has more than {MAX_PARTS} nodes, weights and shapes")
                messages.extend(parts)


class _Unfolded:
    """Counts nodes as an engine does, which replaces each call by the nodes of the function."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self._name = name
        self._functions = {(f.domain, f.name, f.overload): f.node for f in model.functions}
        self._sizes: dict[tuple[str, str, str], int] = {}
        self.nodes = self._count(model.graph.node, 0)

    def _count(self, nodes: Iterable[onnx.NodeProto], calls: int) -> int:
        if calls > _MAX_CALLS:
            raise ModelError(f"{self._name} has functions that call each other without end")
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type, node.overload)
            if called in self._functions and called not in self._sizes:
                self._sizes[called] = self._count(self._functions[called], calls + 1)
            total += self._sizes.get(called, 1)
            for attribute in node.attribute:
                total += sum(self._count(g.node, calls) for g in (attribute.g, *attribute.graphs))
        return total


def inputs_of(model: onnx.ModelProto) -> dict[str, Shape]:
    """Name and shape of each input; weights that are listed as inputs are left out."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param
            for dim in value.type.tensor_type.shape.dim
        )
        for value in model.graph.input
        if value.name not in weights
    }


def styles_of(parsed: onnx.ModelProto, model: ModelFile) -> int:
    """How many style weights a network takes, 1 for none; raises ModelError for other inputs."""
    layout, shapes = LAYOUTS[model.layout], list(inputs_of(parsed).values())
    styles = shapes[-1][0] if layout.blends and shapes and shapes[-1] else 1
    if len(shapes) != 1 + layout.blends + (model.layout == "i420") or not isinstance(styles, int):
        raise ModelError(f"model {model.name} does not have the inputs of layout {model.layout}")
    return styles


def make_size_dynamic(model: onnx.ModelProto) -> None:
    """Let inputs and outputs of four dimensions have any height and width.

    Drops the shapes noted in between. Whether the network can do it shows when it runs.
    """
    graph, inputs = model.graph, inputs_of(model)
    for value in (*(i for i in graph.input if i.name in inputs), *graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4:
            dims[2].dim_param, dims[3].dim_param = "height", "width"
    del graph.value_info[:]
