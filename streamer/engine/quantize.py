"""Post-training quantization to 8 bits: where the steps go, and how large they are.

Weights: symmetric, one scale for each output channel. Activations: unsigned with a zero point,
one scale a tensor, from the ranges that pictures showed (Jacob et al. 2018). Steps are written as
QuantizeLinear and DequantizeLinear, which every engine reads.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from streamer.engine.graph import Array, Graph

if TYPE_CHECKING:
    import onnx

Range = tuple[float, float]

RANGES = "ranges"
_PASSES = {"Pad", "Resize", "DepthToSpace"}  # give values that they were given


def quantized_tensors(model: "onnx.ModelProto") -> list[str]:
    """What is brought to 8 bits: what convolutions read, and both sides of a sum they make."""
    graph, found = Graph(model), dict[str, None]()
    for node in graph.nodes:
        if node.op_type == "Conv":
            found[_origin(graph, node.input[0])] = None
        elif node.op_type == "Add" and not set(node.input) & graph.constants.keys():
            found |= dict.fromkeys(_origin(graph, name) for name in node.input)
    return list(found)


def ranging(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The network with another output, `ranges` (2, tensors): the least and greatest values."""
    graph, rows = Graph(model), list[str]()
    names = quantized_tensors(model)
    flat = graph.constant([1])
    for kind in ("ReduceMin", "ReduceMax"):
        values = (graph.add(kind, [name], keepdims=0) for name in names)
        rows.append(graph.add("Concat", [graph.add("Reshape", [v, flat]) for v in values], axis=0))
    shape = graph.constant([2, len(names)])
    both = graph.add("Concat", rows, axis=0)
    graph.add("Reshape", [both, shape], RANGES)
    graph.outputs.append(graph.declare(RANGES, [2, len(names)]))
    return graph.model()


def quantized(model: "onnx.ModelProto", ranges: Mapping[str, Range]) -> "onnx.ModelProto":
    """The network in 8 bits; `ranges` of `quantized_tensors` by name."""
    graph = Graph(model)
    for node in [node for node in graph.nodes if node.op_type == "Conv"]:
        node.input[1] = _weight(graph, node.input[1], graph.nodes.index(node))
    for name in quantized_tensors(model):
        scale, zero = _step(ranges[name])
        parts = [graph.constant(np.float32(scale)), graph.constant(np.uint8(zero))]
        made = graph.maker(name)
        at = 0 if made is None else graph.nodes.index(made) + 1
        whole = graph.add("QuantizeLinear", [name, *parts], at=at)
        back = graph.add("DequantizeLinear", [whole, *parts], at=at + 1)
        for node in graph.nodes[at + 2 :]:
            node.input[:] = [back if i == name else i for i in node.input]
    return graph.model()


def _step(limits: Range) -> tuple[float, int]:
    low, high = min(limits[0], 0.0), max(limits[1], 0.0, limits[0] + 1e-6)
    scale = (high - low) / 255
    return scale, round(-low / scale)


def _weight(graph: Graph, name: str, at: int) -> str:
    weight: Array = graph.constants[name]
    axes = tuple(range(1, weight.ndim))
    scale = np.maximum(np.abs(weight).max(axes), 1e-12) / 127
    steps = np.rint(weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
    zeros = np.zeros(len(scale), np.int8)
    parts = [graph.constant(v) for v in (steps, scale.astype(np.float32), zeros)]
    return graph.add("DequantizeLinear", parts, at=at, axis=0)


def _origin(graph: Graph, name: str) -> str:
    made = graph.maker(name)
    return _origin(graph, made.input[0]) if made and made.op_type in _PASSES else name
