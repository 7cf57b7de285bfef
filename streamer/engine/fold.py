"""Instance norms of a canonical network: counted, measured, and folded into its convolutions.

With mean and variance given, an instance norm is one factor and one offset a channel, and the
convolution before it takes both in. What is left are convolutions with bias.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.engine.canonical import NORM
from streamer.engine.graph import Graph, attribute

if TYPE_CHECKING:
    import onnx

Vector = NDArray[np.float32]

MOMENTS = "moments"


@dataclass(frozen=True, slots=True)
class Norms:
    """The scales, biases and epsilons of all norms of a network, one after the other.

    Statistics come in the same order: a mean and a variance for each channel.
    """

    sizes: tuple[int, ...]
    scale: Vector
    bias: Vector
    epsilon: Vector

    @property
    def channels(self) -> int:
        return sum(self.sizes)

    def affine(self, mean: Vector, variance: Vector) -> Vector:
        """Each channel's factor and offset, (2, channels), for these statistics."""
        factor = self.scale / np.sqrt(variance + self.epsilon)
        return np.stack([factor, self.bias - mean * factor]).astype(np.float32)


def norms(model: "onnx.ModelProto") -> Norms:
    """The norms of a canonical network, in the order of their computation."""
    graph = Graph(model)
    found = [node for node in graph.nodes if node.op_type == NORM]
    scale, bias = ([graph.constants[node.input[place]] for node in found] for place in (1, 2))
    sizes = tuple(values.size for values in scale)
    epsilon = np.repeat([attribute(node, "epsilon", 1e-5) for node in found], sizes)
    return Norms(sizes, np.concatenate(scale), np.concatenate(bias), epsilon.astype(np.float32))


def folded(model: "onnx.ModelProto", affine: Vector) -> "onnx.ModelProto":
    """A canonical network with factors and offsets, (2, channels), in place of its norms."""
    graph, at = Graph(model), 0
    for node in [node for node in graph.nodes if node.op_type == NORM]:
        channels = graph.constants[node.input[1]].size
        factor, offset = affine[:, at : at + channels]
        at += channels
        before = graph.maker(node.input[0])
        place = graph.nodes.index(node)
        graph.nodes.remove(node)
        if before is not None and before.op_type == "Conv" and not graph.readers(node.input[0]):
            weight = graph.constants[before.input[1]]
            bias = graph.constants[before.input[2]] if len(before.input) > 2 else 0
            graph.set_input(before, 1, weight * factor.reshape(-1, 1, 1, 1))
            graph.set_input(before, 2, bias * factor + offset)
            before.output[0] = node.output[0]
        else:
            by, plus = (graph.constant(v.reshape(1, -1, 1, 1)) for v in (factor, offset))
            scaled = graph.add("Mul", [node.input[0], by], at=place)
            graph.add("Add", [scaled, plus], node.output[0], at=place + 1)
    return graph.model()


def measuring(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A canonical network that gives `moments` too: (2, channels), means and variances."""
    graph = Graph(model)
    rows: list[list[str]] = [[], []]
    flat = graph.constant([1, -1])
    for node in [node for node in graph.nodes if node.op_type == NORM]:
        mean = graph.add("GlobalAveragePool", [node.input[0]])
        off = graph.add("Sub", [node.input[0], mean])
        variance = graph.add("GlobalAveragePool", [graph.add("Mul", [off, off])])
        for row, values in zip(rows, (mean, variance), strict=True):
            row.append(graph.add("Reshape", [values, flat]))
    graph.add("Concat", [graph.add("Concat", row, axis=1) for row in rows], MOMENTS, axis=0)
    graph.outputs.append(graph.declare(MOMENTS, [2, norms(model).channels]))
    return graph.model()
