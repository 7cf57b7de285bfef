"""The instance norms of a canonical network as numbers.

With mean and variance given, an instance norm is one factor and one offset a channel.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.engine.canonical import NORM
from streamer.engine.graph import Graph, attribute, convolves

if TYPE_CHECKING:
    import onnx

Vector = NDArray[np.float32]


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


def behind_convolutions(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The network with each norm right behind a convolution, whose factors and offsets are inputs.

    Where there is none, because a norm follows a sum or a function, one that changes nothing is
    put before it. A norm of several channels together reads them as rows.
    """
    graph = Graph(model)
    for norm in [node for node in graph.nodes if node.op_type == NORM]:
        source, channels = norm.input[0], graph.constants[norm.input[1]].size
        made = graph.maker(source)
        if made is not None and made.op_type == "Reshape":
            continue
        if not convolves(graph, made) or graph.readers(source) > 1:
            ones = graph.constant(np.ones((channels, 1, 1, 1), np.float32))
            at = graph.nodes.index(norm)
            norm.input[0] = graph.add("Conv", [source, ones], at=at, group=channels)
    return graph.model()
