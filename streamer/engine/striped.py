"""The first layers of a network in stripes of some rows, so that caches hold what is between them.

With 32 channels at full size it is 29 MB for 640x360, which would go to memory and back.
"""

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from streamer.engine.graph import Graph, attribute, margins

if TYPE_CHECKING:
    import onnx

_PIXELS, _MOST = 40_000, 8  # of a stripe at least, about; stripes, each of which is compiled
_OF_EACH_VALUE = {"Add", "Mul", "Relu", "LeakyRelu", "QuantizeLinear", "DequantizeLinear"}


def striped(model: "onnx.ModelProto", width: int, height: int) -> "onnx.ModelProto":
    """The same network for pictures of this size; as it is when it begins in another way."""
    graph = Graph(model)
    pads = [at for at, node in enumerate(graph.nodes) if node.op_type == "Pad"][:2]
    count = min(_MOST, round(width * height / _PIXELS))
    if len(pads) < 2 or count < 2:
        return model
    start, end = pads[0] + 1, pads[1]
    tail = graph.nodes[end:]
    layers = [node for node in graph.nodes[start:end] if node.input[0] not in graph.constants]
    pad, result = graph.nodes[pads[0]], tail[0].input[0]
    source, margin = pad.output[0], graph.constants.get(pad.input[1])
    made = {name for node in layers for name in node.output}
    chain = all(len(({source} | made).intersection(node.input)) == 1 for node in layers)
    alone = made & {name for node in tail for name in node.input} == {result}
    known = {node.op_type for node in layers} <= {"Conv", *_OF_EACH_VALUE}
    sizes = [_rows_of(graph, node) for node in layers if node.op_type == "Conv"]
    convolutions = [size for size in sizes if size is not None]
    if not (chain and alone and known) or margin is None or len(convolutions) < len(sizes):
        return model
    rows = height + int(margin[2] + margin[6])
    for kernel, stride in convolutions:
        rows = (rows - kernel) // stride + 1
    graph.nodes = [node for node in graph.nodes[:end] if node not in layers]
    parts = list[str]()
    for first, last in pairwise(rows * part // count for part in range(count + 1)):
        top, bottom = first, last
        for kernel, stride in reversed(convolutions):
            top, bottom = top * stride, (bottom - 1) * stride + kernel
        bounds = [graph.constant([value]) for value in (top, bottom, 2)]
        names = {source: graph.add("Slice", [source, *bounds])}
        for node in layers:
            names |= {name: f"{name}:{len(parts)}" for name in node.output}
            graph.nodes.append(_renamed(node, names))
        parts.append(names[result])
    graph.add("Concat", parts, result, axis=2)
    graph.nodes += tail
    return graph.model()


def _renamed(node: "onnx.NodeProto", names: Mapping[str, str]) -> "onnx.NodeProto":
    one = copy.deepcopy(node)
    one.name = ""
    for tensors in (one.input, one.output):
        tensors[:] = [names.get(name, name) for name in tensors]
    return one


def _rows_of(graph: Graph, conv: "onnx.NodeProto") -> tuple[int, int] | None:
    """Kernel and stride of a convolution along a column; None with margins or dilations."""
    made = graph.maker(conv.input[1])
    weight = graph.constants.get(conv.input[1] if made is None else made.input[0])
    if weight is None or margins(conv) != {0} or {*attribute(conv, "dilations", [1])} != {1}:
        return None
    return int(weight.shape[2]), int(attribute(conv, "strides", [1, 1])[0])
