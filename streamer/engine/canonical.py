"""Whatever way its exporter wrote them: a network's instance norms as one node each.

A graph is evaluated symbolically. Whatever is computed from a tensor and from its means over the
picture with elementwise operators stays a polynomial in that tensor, channel by channel. Once
something else reads it, it is compared with the instance norm of Ulyanov et al. 2016,
`(x - mean) / sqrt(variance + epsilon) * scale + bias`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.engine.graph import (
    Graph,
    attribute,
    compute_constants,
    convolves,
    modern,
    set_attribute,
)
from streamer.engine.onnx_file import parse
from streamer.errors import ModelError

if TYPE_CHECKING:
    import onnx

Values = NDArray[np.float64]

IMAGE, STYLIZED = "image", "stylized"
NORM = "InstanceNormalization"

# A tensor's mean and variance as taken here, three times over: two solve the norm's equation for
# scale, bias and epsilon, the third shows whether it is an instance norm at all.
_MEAN, _VARIANCE = np.array([[0.0], [1.0], [0.7]]), np.array([[1.0], [4.0], [2.3]])


class NotFoldableError(ModelError):
    """A network that has no instance norms, or whose use of them is not understood."""


def canonical(data: bytes, weights: NDArray[np.float32] | None = None) -> "onnx.ModelProto":
    """The network with each norm as one InstanceNormalization, and all constants computed.

    `weights` are the shares of its styles, for a network with a second input. The result takes
    `image` (1, 3, height, width) and gives `stylized`. Raises NotFoldableError, ModelError.
    """
    model = modern(parse(data, "the network"))
    graph = Graph(model)
    if len(graph.inputs) != 1 + (weights is not None) or len(graph.outputs) != 1:
        raise NotFoldableError("its inputs are not one picture and the weights of its styles")
    if weights is not None:
        graph.constants[graph.inputs[1].name] = weights
    compute_constants(graph)
    _channels_first(graph)
    _explicit_margins(graph)
    try:
        return _Reader(graph, _channels(model, graph)).read()
    except ValueError:  # arrays that are not one value a channel
        raise NotFoldableError("it computes with something else than channels") from None


def style_count(data: bytes) -> int | None:
    """How many weights a network takes; None without an input for them. Raises ModelError."""
    inputs = Graph(parse(data, "the network")).inputs
    return int(inputs[1].type.tensor_type.shape.dim[0].dim_value) if len(inputs) > 1 else None


def image_pad(graph: Graph, node: "onnx.NodeProto") -> "onnx.NodeProto | None":
    """What gives the image a margin of its own pixels, where a node reads it with one."""
    made = graph.maker(node.input[0])
    if made is None or made.op_type != "Pad" or made.input[0] != IMAGE:
        return None
    return None if attribute(made, "mode", b"constant") == b"constant" else made


def _channels_first(graph: Graph) -> None:
    """Drop what brings a picture's channels to the end and back, as TensorFlow's exporters do."""
    first: dict[str, str] = {}  # a tensor with its channels last → the same with them first
    same: dict[str, str] = {}
    for node in list(graph.nodes):
        node.input[:] = [same.get(name, name) for name in node.input]
        source, moved = node.input[0] if node.input else "", attribute(node, "perm")
        if moved == [0, 2, 3, 1]:
            first[node.output[0]] = source
        elif moved == [0, 3, 1, 2] and source in first:
            same[node.output[0]] = first[source]
        elif node.op_type == "Pad" and source in first and node.input[1] in graph.constants:
            before, after = graph.constants[node.input[1]].reshape(2, 4)[:, [0, 3, 1, 2]]
            inputs = [first[source], graph.constant(np.concatenate([before, after]))]
            at, mode = graph.nodes.index(node), attribute(node, "mode", b"constant")
            first[node.output[0]] = graph.add("Pad", [*inputs, *node.input[2:]], at=at, mode=mode)
        elif (
            node.op_type == "Resize"
            and len(node.input) == 3
            and (graph.constants.get(node.input[2], np.zeros(1)) == 1).all()
        ):
            same[node.output[0]] = source
    for output in graph.outputs:
        output.name = same.get(output.name, output.name)


def _explicit_margins(graph: Graph) -> None:
    """Write out the margins that an exporter left to the engine, where no size changes them.

    OpenVINO takes another one than ONNX says for transposed convolutions.
    """
    for node in (node for node in graph.nodes if convolves(graph, node)):
        how, sides = attribute(node, "auto_pad", b""), graph.constants[node.input[1]].shape[2:]
        strides = np.array(attribute(node, "strides", [1, 1]))
        enlarges = node.op_type == "ConvTranspose"
        if how not in (b"SAME_UPPER", b"SAME_LOWER"):
            continue
        reach = (np.array(sides) - 1) * attribute(node, "dilations", [1, 1]) + 1
        margin = reach - strides + attribute(node, "output_padding", [0, 0])
        if (margin < 0).any() or not (enlarges or (strides == 1).all()):
            continue
        less, more = margin // 2, margin - margin // 2
        first, last = (less, more) if how == b"SAME_UPPER" else (more, less)
        set_attribute(node, "auto_pad", "NOTSET")
        set_attribute(node, "pads", [*first.tolist(), *last.tolist()])


def _channels(model: "onnx.ModelProto", graph: Graph) -> dict[str, int]:
    """How many channels each picture-like tensor of 32-bit floats has, where it is known."""
    from onnx import TensorProto, shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for value in [*inferred.value_info, *graph.inputs]:
        tensor = value.type.tensor_type
        if tensor.elem_type == TensorProto.FLOAT and len(tensor.shape.dim) == 4:
            found[value.name] = int(tensor.shape.dim[1].dim_value)
    for node in graph.nodes:
        if node.op_type == "Conv" and node.input[1] in graph.constants:
            found[node.output[0]] = graph.constants[node.input[1]].shape[0]
    return {name: channels for name, channels in found.items() if channels > 0}


@dataclass(frozen=True, slots=True)
class _Polynomial:
    """`terms[0] + terms[1] x + terms[2] x²` in a tensor x, each (3 statistics, channels or 1)."""

    tensor: str
    terms: tuple[Values, Values, Values]
    normed: bool = False  # whether a mean of the tensor is in it
    joined: bool = False  # whether its rows are joined to one: (1, channels, pixels)

    @property
    def fixed(self) -> bool:
        """Whether it has one value a channel, the same all over the picture."""
        return not (self.terms[1].any() or self.terms[2].any())


_ZERO, _ONE = np.zeros((3, 1)), np.ones((3, 1))
_SAME_VALUES = {"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Expand", "Identity"}
_OF_ONE: Mapping[str, Callable[[Values], Values]] = {
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Abs": np.abs,
    "Neg": np.negative,
    "Relu": lambda x: np.maximum(x, 0),
}
_OF_TWO: Mapping[str, Callable[[Values, Values], Values]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
}


class _Reader:
    def __init__(self, graph: Graph, channels: Mapping[str, int]) -> None:
        self._graph, self._channels = graph, dict(channels)
        self._known: dict[str, _Polynomial] = {}
        self._written: dict[str, str] = {}  # a polynomial's name → the tensor that has its values

    def read(self) -> "onnx.ModelProto":
        graph = self._graph
        nodes, graph.nodes = graph.nodes, []
        for node in nodes:
            found = self._symbolic(node)
            if found is None:
                self._keep(node)
            else:
                self._known[node.output[0]] = found
        names = {graph.inputs[0].name: IMAGE, self._write(graph.outputs[0].name): STYLIZED}
        names = {name: f"{name}:" for name in (IMAGE, STYLIZED)} | names
        for node in graph.nodes:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        shape: list[int | str | None] = [1, 3, "height", "width"]
        graph.inputs, graph.outputs = (
            [graph.declare(IMAGE, shape)],
            [graph.declare(STYLIZED, shape)],
        )
        if not any(node.op_type == NORM for node in graph.nodes):
            raise NotFoldableError("it has no instance norms")
        return graph.model()

    def _keep(self, node: "onnx.NodeProto") -> None:
        """Write a node as it is, with what it reads written before it."""
        if any(attribute.type in (5, 10) for attribute in node.attribute):
            raise NotFoldableError("it has branches or loops")
        node.input[:] = [self._write(name) for name in node.input]
        self._graph.nodes.append(node)

    def _symbolic(self, node: "onnx.NodeProto") -> _Polynomial | None:
        """What a node gives as a polynomial, if it can be understood as one."""
        kind, x = node.op_type, self._lift(node.input[0])
        if kind in ("ReduceMean", "GlobalAveragePool"):
            whole = x is not None and (kind == "GlobalAveragePool" or self._over_picture(node, x))
            return self._mean(x) if whole and x is not None else None
        if kind in (NORM, "MeanVarianceNormalization", "BatchNormalization"):
            return None if x is None else self._norm(node, x)
        if kind in _SAME_VALUES:
            return None if x is None else self._reshaped(node, x)
        if kind in _OF_ONE and x is not None and x.fixed and x.normed:
            return replace(x, terms=(_OF_ONE[kind](x.terms[0]), _ZERO, _ZERO))
        if kind in _OF_TWO and len(node.input) == 2:
            return self._arithmetic(kind, *(self._operand(name) for name in node.input))
        return None

    def _lift(self, name: str) -> _Polynomial | None:
        """A tensor as a polynomial in itself, unless it is one in another already."""
        if name in self._known:
            return self._known[name]
        return _Polynomial(name, (_ZERO, _ONE, _ZERO)) if name in self._channels else None

    def _operand(self, name: str) -> "_Polynomial | Values | None":
        constant = self._graph.constants.get(name)
        if constant is None:
            return self._lift(name)
        # One value a channel: (channels, 1, 1), with any number of ones before, or a single one.
        return None if np.sum(np.array(constant.shape) > 1) > 1 else constant.reshape(1, -1)

    def _mean(self, x: _Polynomial) -> _Polynomial:
        free, linear, square = x.terms
        value = free + linear * _MEAN + square * (_VARIANCE + _MEAN**2)
        return _Polynomial(x.tensor, (value, _ZERO, _ZERO), normed=True)

    def _over_picture(self, node: "onnx.NodeProto", x: _Polynomial) -> bool:
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            axes = self._graph.constants.get(node.input[1], np.array([])).tolist()
        return sorted(axes or ()) in ([[2], [-1]] if x.joined else [[2, 3], [-2, -1]])

    def _reshaped(self, node: "onnx.NodeProto", x: _Polynomial) -> _Polynomial | None:
        """The same values, if they still have their channels in the second place.

        One value a channel may take any shape. A picture may have its rows joined to one, as
        exporters do before a norm, and be brought back.
        """
        if node.op_type == "Identity" or (x.fixed and x.normed):
            return x
        if node.op_type != "Reshape":
            return None
        shape = self._graph.constants.get(node.input[1])
        if shape is None:
            return replace(x, joined=False) if x.normed else None
        if len(shape) not in (3, 4) or shape[1] not in (0, self._channels[x.tensor]):
            return None
        return replace(x, joined=len(shape) == 3)

    def _norm(self, node: "onnx.NodeProto", x: _Polynomial) -> _Polynomial | None:
        """A norm that is one node, of a tensor that may have been shifted and scaled before."""
        by, plus = np.ones((1, 1)), np.zeros((1, 1))
        if node.op_type == "MeanVarianceNormalization":
            if sorted(attribute(node, "axes", [0, 2, 3])) not in ([2, 3], [0, 2, 3]):
                return None
        elif any(name not in self._graph.constants for name in node.input[1:]):
            return None
        else:
            by, plus = (
                self._graph.constants[name].astype(float).reshape(1, -1) for name in node.input[1:3]
            )
        epsilon = attribute(node, "epsilon", 0 if node.op_type.startswith("Mean") else 1e-5)
        mean = self._mean(x).terms[0]
        variance = self._mean(_times(x, x)).terms[0] - mean**2
        normed = True
        if node.op_type == "BatchNormalization" and not attribute(node, "training_mode", 0):
            stored = (self._graph.constants[name] for name in node.input[3:5])
            mean, variance = (value.astype(float).reshape(1, -1) for value in stored)
            normed = x.normed
        factor = by / np.sqrt(variance + epsilon)
        free, linear, _ = x.terms
        terms = (free - mean) * factor + plus, linear * factor, _ZERO
        return _Polynomial(x.tensor, terms, normed, x.joined)

    def _arithmetic(
        self, kind: str, a: "_Polynomial | Values | None", b: "_Polynomial | Values | None"
    ) -> _Polynomial | None:
        if a is None or b is None:
            return None
        known = [x for x in (a, b) if isinstance(x, _Polynomial)]
        tensor, normed = known[0].tensor, any(x.normed for x in known)
        if any(x.tensor != tensor for x in known):
            return None
        x, y = (
            v if isinstance(v, _Polynomial) else _Polynomial(tensor, (v * _ONE, _ZERO, _ZERO))
            for v in (a, b)
        )
        with np.errstate(all="ignore"):
            if x.fixed and y.fixed:
                terms = (_OF_TWO[kind](x.terms[0], y.terms[0]), _ZERO, _ZERO)
            elif kind in ("Add", "Sub"):
                pairs = zip(x.terms, y.terms, strict=True)
                free, linear, square = (_OF_TWO[kind](*pair) for pair in pairs)
                terms = free, linear, square
            elif kind == "Mul" and not (x.terms[2].any() or y.terms[2].any()):
                if not (x.fixed or y.fixed) and not _same(x, y):
                    return None
                terms = _times(x, y).terms
            elif kind == "Mul" and (x.fixed or y.fixed):
                fixed, other = (x, y) if x.fixed else (y, x)
                free, linear, square = (fixed.terms[0] * term for term in other.terms)
                terms = free, linear, square
            elif kind == "Div" and y.fixed:
                free, linear, square = (term / y.terms[0] for term in x.terms)
                terms = free, linear, square
            elif kind == "Pow" and y.fixed and (y.terms[0] == 2).all() and not x.terms[2].any():
                terms = _times(x, x).terms
            else:
                return None
        joined = any(v.joined and not v.fixed for v in (x, y))
        return _Polynomial(tensor, terms, normed, joined)

    def _write(self, name: str) -> str:
        """The tensor that holds a polynomial's values, computed by new nodes if need be."""
        if name not in self._known:
            return name
        if name not in self._written:
            self._written[name] = self._nodes_for(self._known[name])
        return self._written[name]

    def _nodes_for(self, x: _Polynomial) -> str:
        graph, channels = self._graph, self._channels[x.tensor]
        free, linear, square = (np.broadcast_to(term, (3, channels)) for term in x.terms)
        if square.any():
            raise NotFoldableError("it uses the square of a tensor beside its norms")
        if x.normed:
            scale, bias, epsilon = _solve(free, linear)
            inputs = [x.tensor, *(graph.constant(v.astype(np.float32)) for v in (scale, bias))]
            return graph.add(NORM, inputs, epsilon=epsilon)
        result = x.tensor
        for kind, row, nothing in (("Mul", linear[0], 1), ("Add", free[0], 0)):
            if (row != nothing).any():
                value = graph.constant(row.astype(np.float32).reshape(1, -1, 1, 1))
                result = graph.add(kind, [result, value])
        return result


def _same(x: _Polynomial, y: _Polynomial) -> bool:
    return all(np.array_equal(a * _ONE, b * _ONE) for a, b in zip(x.terms, y.terms, strict=True))


def _times(x: _Polynomial, y: _Polynomial) -> _Polynomial:
    """The product of two that are linear at most."""
    (a, b, _), (c, d, _) = x.terms, y.terms
    return _Polynomial(x.tensor, (a * c, a * d + b * c, b * d), x.normed or y.normed)


def _solve(free: Values, linear: Values) -> tuple[Values, Values, float]:
    """Scale, bias and epsilon of the norm that gives `linear x + free`. Raises NotFoldableError.

    With f = scale / sqrt(variance + epsilon), 1 / f² is linear in the variance.
    """
    with np.errstate(all="ignore"):
        rise = (linear[1] ** -2 - linear[0] ** -2) / (_VARIANCE[1] - _VARIANCE[0])
        scale = np.sign(linear[0]) * rise**-0.5
        epsilons = linear[0] ** -2 * scale**2 - _VARIANCE[0]
        used = linear[0] != 0
        scale[~used] = 0
        epsilon = float(np.median(epsilons[used])) if used.any() else 1e-5
        bias = free[0] + linear[0] * _MEAN[0]
        wanted = scale / np.sqrt(_VARIANCE + epsilon)
    right = np.allclose(linear, wanted, rtol=1e-5) and np.allclose(
        free, bias - _MEAN * wanted, rtol=1e-5, atol=1e-6
    )
    if not (right and np.isfinite(scale).all() and epsilon >= -1e-9):
        raise NotFoldableError("it normalizes in a way that is not known")
    return scale, bias, max(epsilon, 0.0)
