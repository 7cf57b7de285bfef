"""The last layers of a network at the size of its middle ones, with more channels instead.

Networks of this family end in `enlarge twice, convolve` with few channels at full size, where
processors reach a fraction of their speed. A picture of c channels is as well one of c x b x b
channels at a b-th of its height and width (Shi et al. 2016), and a convolution of the one is a
convolution of the other, with the same weights at other places. Enlarging by repetition is then
no work at all.

The margin that each layer reflects from its own input is here computed from the repeated edge of
the middle layers' result: pixels nearer to the border than the last kernels reach differ a little.
"""

from typing import TYPE_CHECKING

import numpy as np

from streamer.engine.canonical import NORM, STYLIZED
from streamer.engine.graph import Array, Graph, attribute

if TYPE_CHECKING:
    import onnx

_REPEATING = {
    (b"asymmetric", b"floor"),
    (b"asymmetric", b"round_prefer_floor"),
    (b"half_pixel", b"round_prefer_floor"),
    (b"half_pixel", b"round_prefer_ceil"),
    (b"pytorch_half_pixel", b"round_prefer_floor"),
}
_SAME_FOR_EVERY_VALUE = {"Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity"}


def packed(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The same network; as it is when its end is not of the form described."""
    graph = Graph(model)
    first = next((node for node in graph.nodes if node.op_type == "Resize"), None)
    if first is None:
        return model
    at = graph.nodes.index(first)
    nodes, graph.nodes = graph.nodes[at:], graph.nodes[:at]
    try:
        result, size = _Packer(graph, first.input[0]).pack(nodes)
    except _UnknownError:
        return model
    graph.add("DepthToSpace", [result], STYLIZED, blocksize=size, mode="CRD")
    return graph.model()


def widened(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The network with the margin of its second convolution made by the first one.

    Padding what has all the first one's channels at full size costs more than computing it.
    """
    graph = Graph(model)
    pads = [node for node in graph.nodes if node.op_type == "Pad"][:2]
    if len(pads) < 2 or graph.readers(pads[1].input[0]) != 1:
        return model
    outer, inner = (graph.constants.get(node.input[1]) for node in pads)
    between = graph.nodes[graph.nodes.index(pads[0]) + 1 : graph.nodes.index(pads[1])]
    kinds = [node.op_type for node in between]
    plain = kinds[:1] == ["Conv"] and {*kinds[1:]} <= {NORM, *_SAME_FOR_EVERY_VALUE}
    strides = attribute(between[0], "strides", [1, 1]) if between else []
    if not plain or set(strides) != {1} or outer is None or inner is None:
        return model
    pads[0].input[1] = graph.constant(outer + inner)
    graph.nodes.remove(pads[1])
    for node in graph.nodes:
        old, new = pads[1].output[0], pads[1].input[0]
        node.input[:] = [new if name == old else name for name in node.input]
    return graph.model()


def packed_weight(weight: Array, before: int, size: int) -> Array:
    """A convolution's weights for pictures in blocks.

    `before` is the side of its input's blocks and `size` that of its result's, a multiple:
    between them the picture is enlarged by repetition. (o, i, k, k) becomes
    (o x size², i x before², 2r + 1, 2r + 1), with r blocks for the k // 2 pixels around.
    """
    outputs, inputs, kernel, _ = weight.shape
    reach, grow = kernel // 2, size // before
    blocks = -(-reach // size)
    wide = np.zeros((outputs, size, size, inputs, before, before, *[2 * blocks + 1] * 2))
    taps = [
        (phase, *divmod(phase + tap - reach, size), tap)
        for phase in range(size)
        for tap in range(kernel)
    ]
    for row, down, inside_y, y in taps:
        for column, right, inside_x, x in taps:
            place = inside_y // grow, inside_x // grow, blocks + down, blocks + right
            wide[:, row, column, :, *place] += weight[:, :, y, x]
    return wide.reshape(outputs * size**2, inputs * before**2, *wide.shape[-2:]).astype(np.float32)


class _UnknownError(Exception):
    """A node that is not understood here."""


class _Packer:
    def __init__(self, graph: Graph, source: str) -> None:
        self._graph, self._source, self._tensor = graph, source, source
        self._size = self._before = 1  # of blocks: now, and at the convolution before
        self._reach = 0  # pixels padded around, to be used by a convolution
        self._margin = 0  # blocks that all convolutions together reach beyond the picture
        self._at = len(graph.nodes)

    def pack(self, nodes: "list[onnx.NodeProto]") -> tuple[str, int]:
        """Rewrite nodes that follow one another; the result's name, and its blocks' side."""
        expected = nodes[0].input[0]
        for node in nodes:
            if node.input[0] != expected:
                raise _UnknownError
            self._rewrite(node)
            expected = node.output[0]
        margin = [0, 0, self._margin, self._margin] * 2
        pads = self._graph.constant(margin)
        edged = self._graph.add("Pad", [self._source, pads], at=self._at, mode="edge")
        for node in self._graph.nodes[self._at + 1 :]:
            node.input[:] = [edged if name == self._source else name for name in node.input]
        return self._tensor, self._size

    def _rewrite(self, node: "onnx.NodeProto") -> None:
        kind, values = node.op_type, self._graph.constants
        if kind == "Resize" and self._doubles(node) and not self._reach:
            self._size *= 2
        elif kind == "Pad" and attribute(node, "mode") == b"reflect":
            pads = values[node.input[1]].tolist()
            self._reach = pads[2]
            if pads != [0, 0, self._reach, self._reach] * 2:
                raise _UnknownError
        elif kind == "Conv" and self._plain(node):
            self._convolve(node)
        elif self._reach or self._size != self._before:
            raise _UnknownError
        elif kind == NORM:
            self._normalize(node)
        elif kind in ("Mul", "Add") and node.input[1] in values:
            value = values[node.input[1]]
            self._append(
                node, [value if value.size == 1 else self._spread(value.ravel())[:, None, None]]
            )
        elif kind in _SAME_FOR_EVERY_VALUE:
            self._append(node, [])
        else:
            raise _UnknownError

    def _doubles(self, node: "onnx.NodeProto") -> bool:
        """Whether each value is repeated twice, along both sides."""
        scales = self._graph.constants.get(node.input[2]) if len(node.input) > 2 else None
        if scales is None or scales.tolist() != [1, 1, 2, 2]:
            return False
        where = attribute(node, "coordinate_transformation_mode", b"half_pixel")
        which = attribute(node, "nearest_mode", b"round_prefer_floor")
        return attribute(node, "mode", b"nearest") == b"nearest" and (where, which) in _REPEATING

    def _plain(self, node: "onnx.NodeProto") -> bool:
        weight = self._graph.constants[node.input[1]]
        ones = (
            all(set(attribute(node, name, [1])) == {1} for name in ("strides", "dilations"))
            and attribute(node, "group", 1) == 1
        )
        pads = set(attribute(node, "pads", [0])) == {0}
        return ones and pads and weight.shape[2:] == (2 * self._reach + 1,) * 2

    def _convolve(self, node: "onnx.NodeProto") -> None:
        graph = self._graph
        weight = packed_weight(graph.constants[node.input[1]], self._before, self._size)
        self._before, self._reach = self._size, 0
        self._margin += weight.shape[2] // 2
        inputs = [weight, *(self._spread(graph.constants[name]) for name in node.input[2:])]
        self._tensor = graph.add("Conv", [self._tensor, *map(graph.constant, inputs)])

    def _normalize(self, node: "onnx.NodeProto") -> None:
        """The norm of a channel is over all pixels of its blocks."""
        graph, scale, bias = self._graph, node.input[1], node.input[2]
        shape = graph.constant([1, graph.constants[scale].size, -1, 1])
        size = graph.add("Shape", [self._tensor])
        flat = graph.add("Reshape", [self._tensor, shape])
        epsilon = attribute(node, "epsilon", 1e-5)
        normed = graph.add(NORM, [flat, scale, bias], epsilon=epsilon)
        self._tensor = graph.add("Reshape", [normed, size])

    def _spread(self, value: Array) -> Array:
        """A channel's value for each of the channels that it becomes."""
        return np.repeat(value, self._size**2)

    def _append(self, node: "onnx.NodeProto", constants: list[Array]) -> None:
        graph = self._graph
        inputs = [self._tensor, *map(graph.constant, constants)]
        self._tensor = graph.add(node.op_type, inputs)
        made = graph.nodes[-1]
        made.attribute.extend(node.attribute)
