"""A network that takes and gives I420 as it comes: the change of colours is part of its weights.

ITU-R BT.601, video range, as everywhere in streamer. Going in, three numbers a pixel are three
other numbers, so the first convolution takes the matrix in. Going out, a block of 2 x 2 pixels of
RGB is four of luma and one of each chroma, averaged: a 1 x 1 convolution of a packed picture.
"""

from typing import TYPE_CHECKING

import numpy as np

from streamer.engine.canonical import IMAGE, STYLIZED, image_pad
from streamer.engine.graph import Array, Graph, attribute, convolves, margins

if TYPE_CHECKING:
    import onnx

_KR, _KG, _KB = 0.299, 0.587, 0.114
_TO_YUV = np.array(
    [
        [_KR, _KG, _KB],
        np.array([-_KR, -_KG, 1 - _KB]) / (2 * (1 - _KB)),
        np.array([1 - _KR, -_KG, -_KB]) / (2 * (1 - _KR)),
    ]
)  # of values 0..1, to luma 0..1 and chroma -0.5..0.5
_SPAN, _ZERO = np.array([219.0, 224, 224]), np.array([16.0, 128, 128])  # in 8 bits


def takes_yuv(model: "onnx.ModelProto", black: float, white: float) -> "onnx.ModelProto":
    """The network for a picture of 8-bit Y, U and V, (1, 3, height, width), as its `image`.

    `black` and `white` are what it was made to have there in RGB.
    """
    graph = Graph(model)
    # RGB as the network has it = matrix @ YUV + offset
    matrix = np.linalg.inv(_TO_YUV) / _SPAN * (white - black)
    offset = black - matrix @ _ZERO
    pads = [node for node in graph.nodes if IMAGE in node.input]
    readers = [node for node in graph.nodes if pads[0].output[0] in node.input]
    floats = graph.add("Cast", [IMAGE], at=0, to=1)
    conv = readers[0] if len(pads) == len(readers) == 1 else None
    if conv is not None and image_pad(graph, conv) is not None and _takes_in(graph, conv):
        _absorb(graph, conv, matrix, offset)
    else:
        inputs = [matrix.reshape(3, 3, 1, 1), offset]
        constants = [graph.constant(value.astype(np.float32)) for value in inputs]
        floats = graph.add("Conv", [floats, *constants], at=1)
    for node in graph.nodes[1:]:
        if node.output[0] != floats:
            node.input[:] = [floats if name == IMAGE else name for name in node.input]
    graph.inputs[0].type.tensor_type.elem_type = 2  # unsigned 8 bits
    return graph.model()


def _takes_in(graph: Graph, conv: "onnx.NodeProto") -> bool:
    """Whether it can do a change of colours as well, since all it reads are the image's colours."""
    alone = attribute(conv, "group", 1) == 1 and margins(conv) == {0}
    return conv.op_type == "Conv" and convolves(graph, conv) and alone


def _absorb(graph: Graph, conv: "onnx.NodeProto", matrix: Array, offset: Array) -> None:
    weight = graph.constants[conv.input[1]].astype(float)
    bias = graph.constants[conv.input[2]] if len(conv.input) > 2 else 0
    graph.set_input(conv, 1, np.einsum("ocyx,cj->ojyx", weight, matrix))
    graph.set_input(conv, 2, bias + np.einsum("ocyx,c->o", weight, offset))


def gives_i420(model: "onnx.ModelProto", black: float, white: float) -> "onnx.ModelProto":
    """The network with I420 in blocks as its result: (1, 6 x b² / 4, height / b, width / b).

    Of each block of b x b pixels there are b² of luma, row by row, then (b / 2)² of each chroma.
    """
    graph = Graph(model)
    last = graph.maker(STYLIZED)
    assert last is not None
    if last.op_type == "DepthToSpace" and attribute(last, "blocksize") % 2 == 0:
        size, source = int(attribute(last, "blocksize")), last.input[0]
        graph.nodes.remove(last)
        matrix = _blocks(size)
    else:
        size = 2
        last.output[0] = source = "rgb:"
        source = graph.add("SpaceToDepth", [source], blocksize=size)
        matrix = _blocks(size).reshape(-1, 3, 4).transpose(0, 2, 1).reshape(-1, 12)
    matrix = matrix / (white - black)
    levels = np.repeat(_ZERO, [size**2, size**2 // 4, size**2 // 4])
    offset = levels - black * matrix.sum(1) + 0.5  # a cast truncates
    lowest, highest = (graph.constant(np.float32(value)) for value in (black, white))
    clipped = graph.add("Clip", [source, lowest, highest])
    inputs = [matrix[:, :, None, None], offset]
    constants = [graph.constant(value.astype(np.float32)) for value in inputs]
    floats = graph.add("Conv", [clipped, *constants])
    graph.add("Cast", [floats], STYLIZED, to=2)
    graph.outputs[0].CopyFrom(graph.declare(STYLIZED, [1, len(matrix), None, None]))
    graph.outputs[0].type.tensor_type.elem_type = 2  # unsigned 8 bits
    return graph.model()


def _blocks(size: int) -> Array:
    """YUV of a block from its RGB, channel by channel and row by row, each 0..1."""
    half, area = size // 2, size**2
    luma = np.einsum("c,pq->pcq", _TO_YUV[0] * _SPAN[0], np.eye(area)).reshape(area, -1)
    average = np.kron(np.eye(half), np.ones((1, 2)) / 2)
    squares = np.kron(average, average)  # (half², area): which pixels each chroma is the mean of
    chroma = [
        np.einsum("c,pq->pcq", _TO_YUV[row] * _SPAN[row], squares).reshape(half**2, -1)
        for row in (1, 2)
    ]
    return np.concatenate([luma, *chroma])
