"""Plain forms of a canonical network, to compare the fast ones with."""

import numpy as np
import onnx
from numpy.typing import NDArray

from streamer.engine.canonical import NORM
from streamer.engine.fold import norms
from streamer.engine.graph import Graph

Vector = NDArray[np.float32]

MOMENTS = "moments"


def folded(model: onnx.ModelProto, affine: Vector) -> onnx.ModelProto:
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


def measuring(model: onnx.ModelProto) -> onnx.ModelProto:
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
