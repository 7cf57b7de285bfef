"""The first convolution of a network, 9 x 9 pixels of three colours, as a column and then a row.

In the published networks it is four tenths of all multiplications. A sum of a few products of a
column and a row (Rigamonti et al. 2013) comes as near to it as rounding does, where pictures are:
neighbouring pixels and the three colours are alike, and what differs between filters for pictures
that nobody takes does not matter. The best such sum is a singular value decomposition of the
weights as those pictures see them.

What is between column and row is kept in 8 bits where all is. Its steps follow the picture's
contrast, else a dim one would be coarse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.engine.canonical import image_pad
from streamer.engine.graph import Array, Graph, plain_weight

if TYPE_CHECKING:
    import onnx

COLUMNS = "columns:"  # the tensor between column and row, -127 to 127 at full contrast
_LEAST = 5  # sides of a kernel: smaller ones cost less as they are
_GROUP = 4  # columns: products of 8 bits are added in fours
_LEFT_OUT, _LEFT_OUT_INT8 = 1e-4, 3e-4  # share of the variance of what the convolution gives
# Pixels of photographs: how far likeness reaches, that of colours, noise, and deviation.
REACH_PX, _COLORS, NOISE, DEVIATION = 20.0, 0.9, 1e-3, 0.28
_DEVIATIONS = 6.5  # which 8 bits hold; rarer values are cut
_DARK, _LIGHT = np.array([16.0, 16, 16]), np.array([235.0, 240, 240])  # of Y, U, V
_CHROMA = 1.8  # how far a color moves when its chroma moves


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a network that takes YUV: what to do to them before and after 8 bits."""

    colors: Array  # (columns, 3): what a flat picture gives, for each of its Y, U, V
    bias: Array  # (columns,)
    rows: Array  # (outputs, columns): the sum of each row

    @classmethod
    def of(cls, graph: Graph) -> "Columns | None":
        """Of a network that was separated for 8 bits."""
        made = graph.maker(COLUMNS)
        if made is None:
            return None
        column, bias = (graph.constants[name].astype(float) for name in made.input[1:3])
        reader = next(node for node in graph.nodes if COLUMNS in node.input)
        rows = graph.constants[reader.input[1]].astype(float).sum((2, 3))
        return cls(column.sum((2, 3)), bias, rows)

    def within(self, planes: Sequence[NDArray[np.uint8]]) -> "Within":
        """For a picture with these planes."""
        lows, highs = (
            np.array(v) for v in zip(*(cv2.minMaxLoc(p)[:2] for p in planes), strict=True)
        )
        luma, *chroma = (highs - lows) / (_LIGHT - _DARK)
        contrast = min(1.0, luma + _CHROMA * max(chroma) + 0.01)
        middle = (_LIGHT + _DARK if contrast == 1 else lows + highs) / 2
        center = self.colors @ middle + self.bias
        return Within(contrast, -center / contrast, self.rows @ center)


@dataclass(frozen=True, slots=True)
class Within:
    """Columns x of a picture are kept as `x / step + offset`; `bias` is to be added to rows."""

    step: float
    offset: Array
    bias: Array


def separated(
    model: "onnx.ModelProto", black: float, white: float, int8: bool = False
) -> "onnx.ModelProto":
    """The network with its first convolution in two; as it is where that saves nothing.

    `black` and `white` are the network's own values for them.
    """
    graph = Graph(model)
    first = next((node for node in graph.nodes if node.op_type == "Conv"), None)
    weight = plain_weight(graph, first)
    if first is None or weight is None or image_pad(graph, first) is None:
        return model
    outputs, colors, kernel, _ = weight.shape
    if kernel < _LEAST:
        return model
    columns, rows, left_out = _decomposed(weight.astype(float))
    most = _LEFT_OUT_INT8 if int8 else _LEFT_OUT
    fits = (n for n in range(_GROUP, len(left_out), _GROUP) if left_out[n - 1] < most)
    count = next(fits, len(left_out))
    if count * (colors + outputs) * 2 > colors * outputs * kernel:
        return model
    columns, rows = columns[:count], rows[:, :count]
    span = white - black
    largest = np.abs(columns).sum((1, 2)) * span / 2  # of any picture
    steps = np.minimum(largest, _DEVIATIONS * DEVIATION * span) / 127
    columns, rows = columns / steps[:, None, None], rows * steps[:, None]
    middle = (black + white) / 2
    bias = graph.constants[first.input[2]] if len(first.input) > 2 else 0
    back = np.einsum("okx,kcy->o", rows, columns) * middle
    inputs = [columns[..., None], -middle * columns.sum((1, 2))]
    constants = [graph.constant(value.astype(np.float32)) for value in inputs]
    at = graph.nodes.index(first)
    graph.add("Conv", [first.input[0], *constants], COLUMNS, at=at)
    first.input[0] = COLUMNS
    graph.set_input(first, 1, rows[:, :, None])
    graph.set_input(first, 2, bias + back)
    for name in [a for a in first.attribute if a.name == "kernel_shape"]:
        first.attribute.remove(name)
    return graph.model()


def _decomposed(weight: Array) -> tuple[Array, Array, Array]:
    """Columns (n, colors, k) and rows (outputs, n, k), best first.

    With them what of the variance each number of them leaves out. A column's values have the
    variance of one pixel.
    """
    outputs, colors, kernel, _ = weight.shape
    along = _root(np.exp(-_distances(kernel) / REACH_PX))
    alike = np.full((colors, colors), _COLORS) + (1 - _COLORS) * np.eye(colors)
    across = np.kron(np.linalg.cholesky(alike), along)  # of a column's pixels and colours
    seen = across.T @ weight.reshape(outputs, colors * kernel, kernel) @ along
    deviation = np.sqrt((seen**2).sum((1, 2), keepdims=True))  # a norm divides by it
    flat = (seen / np.maximum(deviation, 1e-12)).transpose(1, 0, 2).reshape(colors * kernel, -1)
    left, values, right = np.linalg.svd(flat, full_matrices=False)
    columns = np.linalg.solve(across.T, left).T.reshape(-1, colors, kernel)
    rows = (values[:, None] * right).reshape(-1, outputs, kernel).transpose(1, 0, 2)
    rows = rows @ np.linalg.inv(along) * deviation
    energy = np.cumsum(values**2)
    return columns, rows, 1 - energy / energy[-1]


def _distances(count: int) -> NDArray[np.float64]:
    places = np.arange(count, dtype=float)
    return np.abs(places[:, None] - places)


def _root(covariance: NDArray[np.float64]) -> Array:
    return np.linalg.cholesky(covariance + NOISE * np.eye(len(covariance)))
