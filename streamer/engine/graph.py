"""ONNX graphs to be edited: constants by name, nodes in order, what nobody reads dropped."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]

OPSET = 17


def modern(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model in the operators that are looked for here, where it is older and can be put so."""
    from onnx import version_converter

    if all(o.version >= OPSET for o in model.opset_import if o.domain in ("", "ai.onnx")):
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception:  # it raises whatever its C++ code throws
        return model


def attribute(node: "onnx.NodeProto", name: str, otherwise: Any = None) -> Any:
    """An attribute's value as Python has it."""
    from onnx import helper

    found = next((a for a in node.attribute if a.name == name), None)
    return otherwise if found is None else helper.get_attribute_value(found)


def plain_weight(
    graph: "Graph", node: "onnx.NodeProto | None", stride: int = 1, zeros: int = 0
) -> Array | None:
    """Of a square convolution without groups or dilations, with this stride and margin of zeros.

    None for any other node.
    """
    weight = None if node is None else graph.constants.get(node.input[1] if node.input[1:] else "")
    if node is None or node.op_type != "Conv" or weight is None:
        return None
    wanted = {"strides": stride, "dilations": 1, "group": 1}
    same = all({*np.ravel(attribute(node, name, 1))} == {value} for name, value in wanted.items())
    fitting = margins(node) == {zeros} and len({*weight.shape[2:]}) == 1
    return weight if same and fitting else None


def margins(conv: "onnx.NodeProto") -> set[int | None]:
    """How many zeros a convolution adds, at any border; None among them: as the engine likes."""
    left = attribute(conv, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    return {None} if left else {*attribute(conv, "pads", [0])}


def convolves(graph: "Graph", node: "onnx.NodeProto | None") -> bool:
    """Whether a node is a convolution of pictures, with constant weights for each output."""
    if node is None or node.op_type not in ("Conv", "ConvTranspose"):
        return False
    weight = graph.constants.get(node.input[1], np.zeros(0))
    grouped = node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1
    return len(weight.shape) == len("oihw") and not grouped


def outputs_axis(conv: "onnx.NodeProto") -> int:
    """Of a convolution's outputs in its weight."""
    return 1 if conv.op_type == "ConvTranspose" else 0


def outputs_of(graph: "Graph", conv: "onnx.NodeProto") -> int:
    """How many channels a convolution gives."""
    return int(graph.constants[conv.input[1]].shape[outputs_axis(conv)])


def set_attribute(node: "onnx.NodeProto", name: str, value: Any) -> None:
    """Give an attribute this value, whether the node has it already or not."""
    from onnx import helper

    others = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*others, helper.make_attribute(name, value)])


class Graph:
    """A model's graph to be changed: `nodes` in order of computation, `constants` by name."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        from onnx import numpy_helper

        graph = model.graph
        self.nodes = [copy.deepcopy(node) for node in graph.node]
        self.constants: dict[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        declared = (copy.deepcopy(value) for value in graph.input)
        self.inputs = [value for value in declared if value.name not in self.constants]
        self.outputs = [copy.deepcopy(value) for value in graph.output]
        self.opsets, self.ir_version = model.opset_import, model.ir_version
        self._count = 0
        self._taken = {name for node in self.nodes for name in node.output} | set(self.constants)

    def constant(self, value: Any) -> str:
        """The name of a new constant; Python's numbers become 64-bit integers."""
        name = self._name("value")
        self.constants[name] = np.asarray(value)
        return name

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str = "",
        at: int | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node at the end, or before the node at a place; the name of what it gives."""
        from onnx import helper

        output = output or self._name(kind)
        node = helper.make_node(kind, list(inputs), [output], **attributes)
        self.nodes.insert(len(self.nodes) if at is None else at, node)
        return output

    def maker(self, name: str) -> "onnx.NodeProto | None":
        """The node that computes a tensor."""
        return next((node for node in self.nodes if name in node.output), None)

    def readers(self, name: str) -> int:
        """How often a tensor is read, the graph's outputs counted."""
        inside: int = sum(list(node.input).count(name) for node in self.nodes)
        outside: int = sum(output.name == name for output in self.outputs)
        return inside + outside

    def only_reader(self, name: str) -> "onnx.NodeProto | None":
        """The node that reads a tensor, where one does and the graph does not give it."""
        if self.readers(name) != 1:
            return None
        return next((node for node in self.nodes if name in node.input), None)

    def set_input(self, node: "onnx.NodeProto", place: int, value: Array) -> None:
        """Give a node a constant of its own."""
        name = self.constant(value.astype(np.float32))
        if len(node.input) == place:
            node.input.append(name)
        else:
            node.input[place] = name

    def declare(self, name: str, shape: Sequence[int | str | None]) -> "onnx.ValueInfoProto":
        """What an input or output of 32-bit floats is declared as."""
        from onnx import TensorProto, helper

        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    def model(self) -> "onnx.ModelProto":
        """The graph as a model, without what no output needs."""
        from onnx import helper, numpy_helper

        wanted, kept = {output.name for output in self.outputs}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
        tensors = [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in self.constants.items()
            if name in wanted
        ]
        graph = helper.make_graph(kept[::-1], "network", self.inputs, self.outputs, tensors)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=self.ir_version)

    def _name(self, kind: str) -> str:
        """One that no tensor has yet."""
        self._count += 1
        name = f"{kind.lower()}:{self._count}"
        return self._name(kind) if name in self._taken else name


def compute_constants(graph: Graph) -> None:
    """Run every node that needs constants only, and keep what it gives as constants."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    known, fixed, rest = set(graph.constants), list["onnx.NodeProto"](), list["onnx.NodeProto"]()
    for node in graph.nodes:
        if known.issuperset(name for name in node.input if name):
            fixed.append(node)
            known.update(node.output)
        else:
            rest.append(node)
    given = [name for node in fixed for name in node.output if name]
    tensors = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    outputs = [helper.make_empty_tensor_value_info(name) for name in given]
    piece = helper.make_graph(fixed, "constants", [], outputs, tensors)
    model = helper.make_model(piece, opset_imports=graph.opsets, ir_version=graph.ir_version)
    values = ReferenceEvaluator(model).run(None, {})
    graph.constants.update(zip(given, map(np.asarray, values), strict=True))
    graph.nodes = rest
