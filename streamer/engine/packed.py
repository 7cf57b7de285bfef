"""The ends of a network in forms that processors run at full speed, with the same result.

Networks of this family begin and end with few channels at full size, and a processor multiplies
for 16 channels at once, whether there are so many or not. A picture of c channels is as well one of
c x b x b channels at a b-th of its height and width (Shi et al. 2016), and a convolution of the one
is a convolution of the other, with the same weights at other places. Enlarging by repetition before
a convolution is a transposed convolution with half the work.

The margin that each layer in blocks reflects from its own input is here computed from the repeated
edge of what was there before: pixels nearer to the border than the last kernels reach differ a
little.
"""

from typing import TYPE_CHECKING

import numpy as np

from streamer.engine.canonical import NORM, STYLIZED, image_pad
from streamer.engine.graph import Array, Graph, attribute, plain_weight, set_attribute

if TYPE_CHECKING:
    import onnx

_LANES = 16  # channels that are multiplied for at once
_RESULT = 4  # pixels on a side of the result's blocks: three colours have 48 channels
_REPEATING = {
    (b"asymmetric", b"floor"),
    (b"asymmetric", b"round_prefer_floor"),
    (b"half_pixel", b"round_prefer_floor"),
    (b"half_pixel", b"round_prefer_ceil"),
    (b"pytorch_half_pixel", b"round_prefer_floor"),
}
_ENLARGING = {"Resize", "ConvTranspose", "DepthToSpace"}
_SAME_FOR_EVERY_VALUE = {"Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity"}
# Of the three taps on an enlarged line, those that each of four taps on the line itself sums.
_TAPS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)


def packed(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The same network with its end in blocks; as it is when that is not of the form described.

    In blocks is what follows the first enlargement that is left, or the last convolution alone.
    """
    kinds = [node.op_type for node in model.graph.node]
    if _ENLARGING.isdisjoint(kinds):
        return model
    return _packed_from(model, "Resize", first=True) or _packed_from(model, "Pad") or model


def _packed_from(
    model: "onnx.ModelProto", kind: str, *, first: bool = False
) -> "onnx.ModelProto | None":
    graph = Graph(model)
    _pad_last(graph)
    places = [at for at, node in enumerate(graph.nodes) if node.op_type == kind]
    if not places:
        return None
    at = places[0 if first else -1]
    nodes, graph.nodes = graph.nodes[at:], graph.nodes[:at]
    try:
        convolutions = sum(node.op_type == "Conv" for node in nodes)
        result, size = _Packer(graph, nodes[0].input[0], convolutions).pack(nodes)
    except _UnknownError:
        return None
    graph.add("DepthToSpace", [result], STYLIZED, blocksize=size, mode="CRD")
    return graph.model()


def transposed(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The network with transposed convolutions in place of enlarging and convolving.

    The last one stays as it is where its channels are so few that blocks are less work.
    """
    graph = Graph(model)
    enlarging = [node for node in graph.nodes if node.op_type == "Resize"]
    for resize in enlarging:
        conv = graph.only_reader(resize.output[0])
        pad, cut = None, 1
        if conv is not None and _margin(graph, conv) == (1, b"reflect"):
            pad, conv, cut = conv, graph.only_reader(conv.output[0]), 3
        weight = plain_weight(graph, conv, zeros=0 if pad else 1)
        if conv is None or weight is None or weight.shape[2] != 3 or not _doubles(graph, resize):
            continue
        if resize is enlarging[-1] and len(weight) < _LANES:
            continue
        at, source = graph.nodes.index(conv), resize.input[0]
        if pad is not None:
            # The pixel reflected at the border of an enlarged picture is the one at the border.
            edges = graph.constant([0, 0, 1, 1] * 2)
            source = graph.add("Pad", [source, edges], at=at, mode="edge")
        wide = graph.constant(np.einsum("ay,bx,oiyx->ioab", _TAPS, _TAPS, weight))
        inputs, at = [source, wide, *conv.input[2:]], graph.nodes.index(conv)
        graph.add("ConvTranspose", inputs, conv.output[0], at=at, strides=[2, 2], pads=[cut] * 4)
        graph.nodes = [node for node in graph.nodes if node not in (resize, pad, conv)]
    return graph.model()


def paired(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The network with its first convolution for two neighbouring pixels at once.

    As it is when that has more channels, or what follows is not of the form described.
    """
    graph = Graph(model)
    first = next((node for node in graph.nodes if node.op_type == "Conv"), None)
    weight = plain_weight(graph, first)
    pad = None if first is None else image_pad(graph, first)
    margin = None if pad is None else graph.constants.get(pad.input[1])
    if first is None or weight is None or margin is None:
        return model
    odd = (margin[3] + margin[7] - weight.shape[3] + 1) % 2  # its width
    between, second = list["onnx.NodeProto"](), graph.only_reader(first.output[0])
    while second is not None and second.op_type in {NORM, *_SAME_FOR_EVERY_VALUE}:
        between.append(second)
        second = graph.only_reader(second.output[0])
    after = plain_weight(graph, second, stride=2)
    if odd or 2 * len(weight) > _LANES or second is None or after is None or after.shape[2] != 3:
        return model
    at = graph.nodes.index(first)
    rest, graph.nodes = graph.nodes[at + 1 :], graph.nodes[:at]
    places = [[(0, 0)] * 3 + [(pixel, 1 - pixel)] for pixel in (0, 1)]
    wide = np.stack([np.pad(weight, place) for place in places], axis=1)
    bias = [np.repeat(graph.constants[name], 2) for name in first.input[2:]]
    constants = map(graph.constant, [wide.reshape(-1, *wide.shape[2:]), *bias])
    tensor = graph.add("Conv", [first.input[0], *constants], strides=[1, 2])
    for node in between:
        tensor = _of_blocks(graph, tensor, node)
    after = np.pad(after, [(0, 0)] * 3 + [(0, 1)])
    after = after.reshape(*after.shape[:3], 2, 2).transpose(0, 1, 4, 2, 3)
    inputs = [tensor, graph.constant(after.reshape(len(after), -1, 3, 2)), *second.input[2:]]
    graph.add("Conv", inputs, second.output[0], strides=[2, 1])
    graph.nodes += [node for node in rest if node not in [*between, second]]
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
    plain = plain and all(attribute(pad, "mode") == b"reflect" for pad in pads)
    strides = attribute(between[0], "strides", [1, 1]) if between else []
    if not plain or set(strides) != {1} or outer is None or inner is None:
        return model
    pads[0].input[1] = graph.constant(outer + inner)
    graph.nodes.remove(pads[1])
    for node in graph.nodes:
        old, new = pads[1].output[0], pads[1].input[0]
        node.input[:] = [new if name == old else name for name in node.input]
    return graph.model()


def packed_weight(weight: Array, before: int, grow: int, size: int) -> Array:
    """A convolution's weights for pictures in blocks.

    `before` is the side of its input's blocks and `size` that of its result's; between them the
    picture is enlarged `grow` times by repetition. (o, i, k, k) becomes (o x size², i x before²,
    n, n), with blocks for the k // 2 pixels around. The stride is `size / (before x grow)` blocks.
    """
    outputs, inputs, kernel, _ = weight.shape
    reach, block = kernel // 2, before * grow
    margin = -(-reach // block)
    sides = [size // block + 2 * margin] * 2
    wide = np.zeros((outputs, size, size, inputs, before, before, *sides))
    taps = [
        (phase, *divmod(phase + tap - reach, block), tap)
        for phase in range(size)
        for tap in range(kernel)
    ]
    for row, down, inside_y, y in taps:
        for column, right, inside_x, x in taps:
            place = inside_y // grow, inside_x // grow, margin + down, margin + right
            wide[:, row, column, :, *place] += weight[:, :, y, x]
    return wide.reshape(outputs * size**2, inputs * before**2, *wide.shape[-2:]).astype(np.float32)


def _of_blocks(graph: Graph, tensor: str, node: "onnx.NodeProto") -> str:
    """What a norm, or a function of each value, gives for a channel in several."""
    how = {a.name: attribute(node, a.name) for a in node.attribute}
    if node.op_type != NORM:
        return graph.add(node.op_type, [tensor, *node.input[1:]], **how)
    channels = graph.constants[node.input[1]].size
    flat = graph.add("Reshape", [tensor, graph.constant([1, channels, -1, 1])])
    normed = graph.add(NORM, [flat, *node.input[1:]], **how)
    return graph.add("Reshape", [normed, graph.add("Shape", [tensor])])


class _UnknownError(Exception):
    """A node that is not understood here."""


class _Packer:
    def __init__(self, graph: Graph, source: str, convolutions: int) -> None:
        self._graph, self._source, self._tensor = graph, source, source
        self._convolutions = convolutions  # that are still to come
        self._size = 1  # of the tensor's blocks
        self._grow = 1  # how often it is enlarged before the next convolution
        self._reach = 0  # pixels padded around, to be used by a convolution
        self._margin = 0  # of the source, as far as all convolutions reach
        self._at = len(graph.nodes)

    def pack(self, nodes: "list[onnx.NodeProto]") -> tuple[str, int]:
        """Rewrite nodes that follow one another; the result's name, and its blocks' side."""
        expected = nodes[0].input[0]
        for node in nodes:
            if node.input[0] != expected:
                raise _UnknownError
            self._rewrite(node)
            expected = node.output[0]
        graph = self._graph
        mode = attribute(nodes[0], "mode") if nodes[0].op_type == "Pad" else b"edge"
        margin = graph.constant([0, 0, self._margin, self._margin] * 2)
        edged = graph.add("Pad", [self._source, margin], at=self._at, mode=mode)
        for node in graph.nodes[self._at + 1 :]:
            node.input[:] = [edged if name == self._source else name for name in node.input]
        return self._tensor, self._size

    def _rewrite(self, node: "onnx.NodeProto") -> None:
        graph, kind = self._graph, node.op_type
        if kind == "Resize" and _doubles(graph, node) and not self._reach:
            self._grow *= 2
        elif kind == "Pad":
            self._reach, mode = _margin(graph, node)
            if not mode or (self._tensor != self._source and mode != b"reflect"):
                raise _UnknownError
        elif kind == "Conv":
            self._convolve(node)
        elif self._reach or self._grow > 1:
            raise _UnknownError
        elif kind in ("Mul", "Add") and node.input[1] in graph.constants:
            value = graph.constants[node.input[1]]
            if value.size > 1:
                value = self._spread(value.ravel())[:, None, None]
            self._tensor = graph.add(kind, [self._tensor, graph.constant(value)])
        elif kind in {NORM, *_SAME_FOR_EVERY_VALUE}:
            self._tensor = _of_blocks(graph, self._tensor, node)
        else:
            raise _UnknownError

    def _convolve(self, node: "onnx.NodeProto") -> None:
        graph, weight = self._graph, plain_weight(self._graph, node)
        if weight is None or weight.shape[2] != 2 * self._reach + 1:
            raise _UnknownError
        self._convolutions -= 1
        before, block = self._size, self._size * self._grow
        self._size = block if self._convolutions else max(block, _RESULT)
        self._margin += -(-self._reach // block)
        weight = packed_weight(weight, before, self._grow, self._size)
        self._grow, self._reach = 1, 0
        inputs = [weight, *(self._spread(graph.constants[name]) for name in node.input[2:])]
        strides = [self._size // block] * 2
        self._tensor = graph.add(
            "Conv", [self._tensor, *map(graph.constant, inputs)], strides=strides
        )

    def _spread(self, value: Array) -> Array:
        """A channel's value for each of the channels that it becomes."""
        return np.repeat(value, self._size**2)


def _doubles(graph: Graph, node: "onnx.NodeProto") -> bool:
    """Whether each value is repeated twice, along both sides."""
    scales = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
    if scales is None or scales.tolist() != [1, 1, 2, 2]:
        return False
    where = attribute(node, "coordinate_transformation_mode", b"half_pixel")
    which = attribute(node, "nearest_mode", b"round_prefer_floor")
    return attribute(node, "mode", b"nearest") == b"nearest" and (where, which) in _REPEATING


def _margin(graph: Graph, node: "onnx.NodeProto") -> tuple[int, bytes]:
    """How many pixels are added at each border, and which; none for any other node."""
    mode = attribute(node, "mode", b"constant")
    pads = graph.constants.get(node.input[1]) if node.op_type == "Pad" else None
    if pads is None or len(pads) != 8 or (mode == b"constant" and len(node.input) > 2):
        return 0, b""
    reach = int(pads[2])
    return (reach, mode) if pads.tolist() == [0, 0, reach, reach] * 2 else (0, b"")


def _pad_last(graph: Graph) -> None:
    """Give the last convolution its margin of zeros as others get theirs, by a node of its own."""
    last = next((node for node in reversed(graph.nodes) if node.op_type == "Conv"), None)
    reach = attribute(last, "pads", [0])[0] if last is not None else 0
    if last is None or reach == 0 or plain_weight(graph, last, zeros=reach) is None:
        return
    inputs = [last.input[0], graph.constant([0, 0, reach, reach] * 2)]
    at = graph.nodes.index(last)
    last.input[0] = graph.add("Pad", inputs, at=at, mode="constant")
    set_attribute(last, "pads", [0] * 4)
