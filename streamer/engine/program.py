"""One network for every style and all statistics: the norms' factors and offsets are inputs.

So another style, a blend, or statistics that move cost nothing and need no new compilation. In
8 bits (Jacob et al. 2018) the steps of activations are inputs as well: an activation is multiplied
by the inverse of its step before it is rounded, and the next factor contains the step. Weights are
rounded once for all styles, with one scale for each output channel.

The exact form computes each norm from the picture itself. The greatest values of small squares
before and after a norm show which mean and variance it had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.engine.canonical import NORM, NotFoldableError
from streamer.engine.fold import Norms
from streamer.engine.graph import Array, Graph, attribute, convolves, outputs_axis, outputs_of
from streamer.engine.rounding import of_columns, of_image, rounded
from streamer.engine.separable import COLUMNS, Columns, Within

if TYPE_CHECKING:
    import onnx

Vector = NDArray[np.float32]
Feed = dict[str, Vector]

RANGES = "ranges"
_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_MOVES = {"Pad", "DepthToSpace", "SpaceToDepth"}
_POSITIVE = {"Relu", "Sigmoid"}
_SQUARE = 8  # pixels, or blocks, on a side
_PIXEL = 1 / 255  # the step of the image
# Processors without VNNI add two products of 8 bits in 16 bits: more steps would overflow.
_WEIGHT_STEPS = 63


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution whose result is multiplied and added to by inputs."""

    norm: int | None  # its norm's place; None: there is none, and its own bias is what is added
    channels: int  # of the network as published
    bias: Vector  # for each of its channels here, which may be several for one of those
    source: int | None  # the quantized tensor that it reads
    row: bool = False  # whether it reads the columns of a separated convolution in 8 bits
    together: bool = False  # whether its norm is over several channels, or a channel in blocks

    def step(self, steps: Sequence[float], within: Within | None) -> float:
        """Of what it reads."""
        if self.row and within is not None:
            return within.step
        return 1.0 if self.source is None else steps[self.source]

    def added(self, within: Within | None) -> Array:
        """Its bias, with what was subtracted from columns."""
        return self.bias + within.bias if self.row and within is not None else self.bias


@dataclass(frozen=True, slots=True)
class Program:
    """A network to be compiled, and what is known of its inputs."""

    model: "onnx.ModelProto"
    layers: tuple[Layer, ...]
    tensors: int  # how many are quantized
    exact: bool
    columns: Columns | None = None  # in 8 bits

    def feed(
        self,
        norms: Norms,
        affine: Vector,
        steps: Sequence[float] = (),
        within: Within | None = None,
    ) -> Feed:
        """The inputs beside the image; `within` is what `columns` makes of that.

        `affine` (2, channels) are factors and offsets; the exact form takes the norms' own
        scales and biases in their place. `steps` is a step for each quantized tensor.
        """
        if self.exact:
            affine = np.stack([norms.scale, norms.bias])
        bounds = np.cumsum((0, *norms.sizes))
        feed = {f"inverse{at}": _one(1 / step) for at, step in enumerate(steps)}
        if within is not None:
            feed["narrow"] = _one(1 / within.step)
            feed["shift"] = _row(within.offset)
        for at, layer in enumerate(self.layers):
            step, bias = layer.step(steps, within), layer.added(within)
            if layer.norm is None:
                factor, offset = np.full(bias.size, step), bias
            else:
                mine = affine[:, bounds[layer.norm] : bounds[layer.norm + 1]]
                factor, offset = np.repeat(mine, layer.bias.size // layer.channels, axis=1)
                if self.exact and layer.together:
                    feed[f"step{at}"], feed[f"bias{at}"] = _one(step), _row(bias)
                if not self.exact:
                    offset = offset + factor * bias
                    factor = factor * step
            feed[f"factor{at}"], feed[f"offset{at}"] = _row(factor), _row(offset)
        return feed

    def moments(
        self,
        norms: Norms,
        outputs: Mapping[str, Array],
        steps: Sequence[float] = (),
        within: Within | None = None,
    ) -> tuple[Vector, Vector]:
        """Mean and variance of each channel, from what the exact form gives."""
        found: list[Array] = [np.zeros(0)] * len(norms.sizes)
        for at, layer in enumerate(self.layers):
            if layer.norm is not None:
                x, z = (outputs[f"{name}{at}"][0].astype(float) for name in ("before", "after"))
                x = x * layer.step(steps, within) + layer.added(within)[:, None, None]
                found[layer.norm] = _line(*(v.reshape(layer.channels, -1) for v in (x, z)))
        mean, variance = np.concatenate(found, axis=1).astype(np.float32)
        return mean, variance


def _line(x: Array, z: Array) -> Array:
    """Mean and variance that make z of x, by least squares: (2, channels)."""
    x_mean, z_mean = (v.mean(1, keepdims=True) for v in (x, z))
    spread = ((z - z_mean) ** 2).sum(1)
    deviation = ((x - x_mean) * (z - z_mean)).sum(1) / np.maximum(spread, 1e-12)
    return np.stack([x_mean[:, 0] - deviation * z_mean[:, 0], deviation**2])


def program(model: "onnx.ModelProto", exact: bool = False, int8: bool = False) -> Program:
    """A canonical network with its norms' factors and offsets as inputs.

    Raises NotFoldableError for norms of something else than what a convolution gives.
    """
    graph = Graph(model)
    tensors = quantized_tensors(graph) if int8 else []
    columns = Columns.of(graph) if int8 else None
    norms = [node for node in graph.nodes if node.op_type == NORM]
    layers: list[Layer] = []
    for conv in [node for node in graph.nodes if convolves(graph, node)]:
        path = _norm_after(graph, conv)
        origin = _origin(graph, conv.input[0])
        row = int8 and origin == COLUMNS
        if path or row or origin in tensors:
            norm = next((node for node in path if node.op_type == NORM), None)
            size = outputs_of(graph, conv)
            channels = size if norm is None else graph.constants[norm.input[1]].size
            bias = _taken_bias(graph, conv) if int8 else np.zeros(size, np.float32)
            place = None if norm is None else norms.index(norm)
            source = tensors.index(origin) if origin in tensors else None
            together = int8 and len(path) > 1
            layers.append(Layer(place, channels, bias, source, row, together))
            _put_affine(graph, conv, path, len(layers) - 1, exact)
            if together and exact:
                _put_bias(graph, conv, path, len(layers) - 1)
        if int8:
            _quantize_weight(graph, conv)
    if {*range(len(norms))} - {layer.norm for layer in layers}:
        raise NotFoldableError("it normalizes something else than a picture's channels")
    for at, name in enumerate(tensors):
        _quantize(graph, name, at)
    if int8:
        _quantize_image(graph)
        if columns is not None:
            _quantize_columns(graph, len(columns.bias))
    return Program(graph.model(), tuple(layers), len(tensors), exact, columns)


def ranging(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A canonical network that gives `ranges`: the greatest size of each tensor to quantize."""
    graph, flat = Graph(model), [1]
    shape = graph.constant(flat)
    found = []
    for name in quantized_tensors(graph):
        size = graph.add("ReduceMax", [graph.add("Abs", [name])], keepdims=0)
        found.append(graph.add("Reshape", [size, shape]))
    graph.add("Concat", found, RANGES, axis=0)
    graph.outputs.append(graph.declare(RANGES, [len(found)]))
    return graph.model()


def quantized_tensors(graph: Graph) -> list[str]:
    """What convolutions read, but for the image, which has 8 bits already."""
    image = graph.nodes[0].output[0]
    convs = (
        node for node in graph.nodes if convolves(graph, node) and attribute(node, "group", 1) == 1
    )
    names = (_origin(graph, conv.input[0]) for conv in convs)
    return [name for name in dict.fromkeys(names) if name not in (image, COLUMNS)]


def step(greatest: float, positive: bool) -> float:
    """The step of a tensor whose values reach this size."""
    return max(greatest, 1e-6) / (255 if positive else 127)


def positives(model: "onnx.ModelProto") -> list[bool]:
    """Which of the quantized tensors have no negative values."""
    graph = Graph(model)
    return [_positive(graph, name) for name in quantized_tensors(graph)]


def _positive(graph: Graph, name: str) -> bool:
    made = graph.maker(name)
    if made is not None and made.op_type == "Clip":
        lowest = graph.constants.get(made.input[1]) if made.input[1:] else None
        return lowest is not None and bool(lowest >= 0)
    return made is not None and made.op_type in _POSITIVE


def _origin(graph: Graph, name: str) -> str:
    made = graph.maker(name)
    return _origin(graph, made.input[0]) if made and _moves(graph, made) else name


def _moves(graph: Graph, node: "onnx.NodeProto") -> bool:
    """Whether it gives values that it was given, or zeros."""
    filled = node.input[2] if node.op_type == "Pad" and node.input[2:] else ""
    return node.op_type in _MOVES and not np.any(graph.constants.get(filled, 0))


def _norm_after(graph: Graph, conv: "onnx.NodeProto") -> "list[onnx.NodeProto]":
    """The nodes of the norm that reads a convolution's result, in blocks with those around it."""
    path: list[onnx.NodeProto] = []
    name = conv.output[0]
    while True:
        readers = [node for node in graph.nodes if name in node.input]
        kinds = sorted(node.op_type for node in readers)
        if kinds == [NORM]:
            path += readers
            if len(path) == 1:
                return path
        elif kinds == ["Reshape", "Shape"] and not path:
            path += sorted(readers, key=lambda node: node.op_type, reverse=True)
            readers = path[-1:]
        elif kinds == ["Reshape"] and path and path[-1].op_type == NORM:
            return [*path, *readers]
        else:
            return []
        name = readers[0].output[0]


def _taken_bias(graph: Graph, conv: "onnx.NodeProto") -> Vector:
    """A convolution's bias, which is taken from it."""
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else None
    del conv.input[2:]
    return np.zeros(outputs_of(graph, conv), np.float32) if bias is None else bias


def _put_affine(
    graph: Graph,
    conv: "onnx.NodeProto",
    path: "list[onnx.NodeProto]",
    number: int,
    exact: bool,
) -> None:
    """What follows a convolution, or its norm, is times `factor`, plus `offset`."""
    channels = outputs_of(graph, conv)
    last = path[-1] if path else conv
    result, last.output[0] = last.output[0], f"{last.output[0]}:raw"
    source = last.output[0]
    if path and exact:
        norm = next(node for node in path if node.op_type == NORM)
        size = graph.constants[norm.input[1]].size
        for place, value in ((1, 1), (2, 0)):
            norm.input[place] = graph.constant(np.full(size, value, np.float32))
        sides = [_SQUARE] * 2
        # A deep middle may be smaller than a square.
        pads = [0, 0, _SQUARE - 1, _SQUARE - 1]
        for name, tensor in (("before", conv.output[0]), ("after", source)):
            greatest = graph.add("MaxPool", [tensor], kernel_shape=sides, strides=sides, pads=pads)
            # OpenVINO leaves all that leads to an output without a convolution in 32 bits.
            inputs = [greatest, graph.constant(np.ones((channels, 1, 1, 1), np.float32))]
            graph.add("Conv", inputs, f"{name}{number}", group=channels)
            graph.outputs.append(graph.declare(f"{name}{number}", [1, channels, None, None]))
    elif path:
        last, source = conv, conv.output[0]
        graph.nodes = [node for node in graph.nodes if node not in path]
    at = graph.nodes.index(last) + 1
    scaled = graph.add("Mul", [source, f"factor{number}"], at=at)
    graph.add("Add", [scaled, f"offset{number}"], result, at=at + 1)
    shape = [1, channels, 1, 1]
    graph.inputs += [graph.declare(f"{name}{number}", shape) for name in ("factor", "offset")]


def _put_bias(
    graph: Graph, conv: "onnx.NodeProto", path: "list[onnx.NodeProto]", number: int
) -> None:
    """What a norm over several of a convolution's channels reads is times `step`, plus `bias`.

    A norm of one channel takes out both by itself.
    """
    at = graph.nodes.index(conv) + 1
    scaled = graph.add("Mul", [conv.output[0], f"step{number}"], at=at)
    whole = graph.add("Add", [scaled, f"bias{number}"], at=at + 1)
    for node in path:
        node.input[:] = [whole if name == conv.output[0] else name for name in node.input]
    graph.inputs.append(graph.declare(f"step{number}", [1, 1, 1, 1]))
    graph.inputs.append(graph.declare(f"bias{number}", [1, outputs_of(graph, conv), 1, 1]))


def _quantize_weight(graph: Graph, conv: "onnx.NodeProto") -> None:
    weight: Array = graph.constants[conv.input[1]]
    source, axis = _origin(graph, conv.input[0]), outputs_axis(conv)
    others = tuple({0, 1, 2, 3} - {axis})
    image = source == graph.nodes[0].output[0]
    if image:
        weight = weight / _PIXEL
    scale = np.maximum(np.abs(weight).max(others, keepdims=True), 1e-12) / _WEIGHT_STEPS
    steps = weight / scale
    if attribute(conv, "group", 1) == 1 and (image or source == COLUMNS):
        seen = of_image(*weight.shape[2:]) if image else of_columns(*weight.shape[1::2])
        flat = steps.reshape(len(steps), -1)
        steps = rounded(flat, seen, _WEIGHT_STEPS).reshape(steps.shape)
    steps = np.rint(steps).astype(np.int8)
    parts = (steps, scale.ravel().astype(np.float32), np.zeros(scale.size, np.int8))
    inputs = [graph.constant(value) for value in parts]
    conv.input[1] = graph.add("DequantizeLinear", inputs, at=graph.nodes.index(conv), axis=axis)


def _quantize(graph: Graph, name: str, number: int) -> None:
    """Let convolutions read a tensor in 8 bits, times the input `inverse`."""
    zero = np.uint8(0) if _positive(graph, name) else np.int8(0)
    made = graph.maker(name)
    assert made is not None
    at = graph.nodes.index(made) + 1
    parts = [graph.constant(np.float32(1)), graph.constant(zero)]
    scaled = graph.add("Mul", [name, f"inverse{number}"], at=at)
    whole = graph.add("QuantizeLinear", [scaled, *parts], at=at + 1)
    back = graph.add("DequantizeLinear", [whole, *parts], at=at + 2)
    for node in graph.nodes[at + 3 :]:
        if node.op_type in _CONVOLUTIONS or _moves(graph, node):
            node.input[:] = [back if read == name else read for read in node.input]
    graph.inputs.append(graph.declare(f"inverse{number}", [1, 1, 1, 1]))


def _quantize_image(graph: Graph) -> None:
    """The image's 8 bits again, in the form in which engines understand that they are 8 bits."""
    image = graph.nodes[0].output[0]
    parts = [graph.constant(np.float32(_PIXEL)), graph.constant(np.uint8(0))]
    small = graph.add("Mul", [image, graph.constant(np.float32(_PIXEL))], at=1)
    whole = graph.add("QuantizeLinear", [small, *parts], at=2)
    back = graph.add("DequantizeLinear", [whole, *parts], at=3)
    for node in graph.nodes[4:]:
        node.input[:] = [back if name == image else name for name in node.input]


def _quantize_columns(graph: Graph, count: int) -> None:
    """Let rows read columns in 8 bits, times the input `narrow`, plus the input `shift`."""
    made = graph.maker(COLUMNS)
    assert made is not None
    at = graph.nodes.index(made) + 1
    parts = [graph.constant(np.float32(1)), graph.constant(np.int8(0))]
    scaled = graph.add("Mul", [COLUMNS, "narrow"], at=at)
    shifted = graph.add("Add", [scaled, "shift"], at=at + 1)
    whole = graph.add("QuantizeLinear", [shifted, *parts], at=at + 2)
    back = graph.add("DequantizeLinear", [whole, *parts], at=at + 3)
    for node in graph.nodes[at + 4 :]:
        node.input[:] = [back if name == COLUMNS else name for name in node.input]
    graph.inputs.append(graph.declare("narrow", [1, 1, 1, 1]))
    graph.inputs.append(graph.declare("shift", [1, count, 1, 1]))


def _one(value: float) -> Vector:
    return np.full((1, 1, 1, 1), value, np.float32)


def _row(values: Array) -> Vector:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)
