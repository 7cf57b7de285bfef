"""The int8 student, written operator by operator: one island of bytes from planes to planes.

A quantizer that takes a float graph leaves islands of float around every normalisation and
shuffle, and cannot know the trick this network is made for: an int8 convolution multiplies its
integer sums by a float for each channel anyway, so a style's gains go into that number, as do
the ranges of its values, and any blend of styles costs nothing. Operators are ONNX Runtime's own,
channels last.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from streamer.library.onnx_graph import Array, Graph
from streamer.training.calibration import Ranges, levels
from streamer.training.net import CONTRAST_FLOOR, StyleConv, StyleNet

PIXEL = np.float32(1 / 255)  # the scale of the planes; their zero is 0
SIGNED_ZERO = 128  # the zero of the one signed tensor of a residual
WEIGHT_LIMIT = 63  # 7 bits: without VNNI, CPUs add two products in 16 bits, and 8 would saturate
SMALLEST_GAIN = 1e-3  # offsets are divided by the gain


@dataclass(frozen=True)
class Weights:
    """A convolution's weights in 7 bits, with a scale for each output channel."""

    bytes_: Array
    scales: Array

    @classmethod
    def of(cls, kernel: Array) -> "Weights":
        """Quantize (outputs, inputs, 3, 3)."""
        scales = np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-8) / WEIGHT_LIMIT
        rounded = np.round(kernel / scales[:, None, None, None])
        return cls(rounded.astype(np.int8), scales.astype(np.float32))


def _array(value: Any) -> Array:
    return value.detach().numpy().astype(np.float32)  # type: ignore[no-any-return]


class Quantizer:
    """Writes one network."""

    def __init__(self, net: StyleNet, ranges: Ranges) -> None:
        self._net, self._g = net, Graph()
        convs = {n: m for n, m in net.named_modules() if isinstance(m, StyleConv)}
        self._gains = self._blend({name: _array(conv.gain) for name, conv in convs.items()})
        self._shifts = self._blend({name: _array(conv.shift) for name, conv in convs.items()})
        reaches = ranges.largest.items()
        table = {name: _array(reach)[:, None] / levels(name) for name, reach in reaches}
        self._steps = {n: self._g.add("Squeeze", s) for n, s in self._blend(table).items()}

    def _blend(self, tables: dict[str, Array]) -> dict[str, str]:
        """Each layer's row of its table (styles, values) for the blend, by one small product."""
        whole = self._g.constant(np.concatenate(list(tables.values()), 1))
        row = self._g.add("MatMul", "style_weights", whole)
        parts = self._g.split(row, [table.shape[1] for table in tables.values()], 0)
        return dict(zip(tables, parts, strict=True))

    def _away_from_zero(self, gain: str) -> str:
        g, least = self._g, self._g.constant(np.float32(SMALLEST_GAIN))
        return g.add("Where", g.add("Less", g.add("Abs", gain), least), least, gain)

    def _conv(
        self, x: str, layer: str, step: str, *, order: Array | None = None, contrast: str = ""
    ) -> str:
        """One layer; its ReLU is the saturation at the bottom of its output's range.

        `step` is what a byte of its input is worth; `order` rearranges its outputs; `contrast`
        is what its input is still to be divided by.
        """
        g, module = self._g, self._net.get_submodule(layer)
        assert isinstance(module, StyleConv)
        kernel, gain, shift = _array(module.conv.weight), self._gains[layer], self._shifts[layer]
        if order is not None:
            kernel, places = kernel[order], g.constant(order.astype(np.int64))
            gain, shift = g.add("Gather", gain, places), g.add("Gather", shift, places)
        weights = Weights.of(kernel)
        gain = self._away_from_zero(g.add("Div", gain, contrast) if contrast else gain)
        scale = g.add("Mul", gain, g.constant(weights.scales))
        offset = g.add("Div", shift, g.add("Mul", scale, step))
        pad, zero = module.pad, SIGNED_ZERO if layer.endswith(".b") else 0
        if pad:
            x = g.add("Pad", x, g.integers(0, pad, pad, 0, 0, pad, pad, 0), mode="edge")
        return g.contrib(
            "QLinearConv",
            x,
            step,
            g.constant(np.uint8(0)),
            g.constant(weights.bytes_),
            scale,
            g.constant(np.zeros(len(weights.scales), np.int8)),
            g.constant(PIXEL) if layer == "out" else self._steps[layer],
            g.constant(np.uint8(zero)),
            g.add("Cast", g.add("Round", offset), to=TensorProto.INT32),
            channels_last=1,
            kernel_shape=list(module.conv.kernel_size),
            strides=list(module.conv.stride),
            pads=[0, 0, 0, 0],
        )

    def _pack(self) -> tuple[str, str]:
        """The planes as blocks (1, h/4, w/4, 24); also returns the int64 vector (h/4, w/4)."""
        g = self._g
        size = g.add("Div", g.add("Shape", "y", start=2), g.integers(4, 4))
        rows, columns = g.split(size, [1, 1], 0)
        one, two, four = g.integers(1), g.integers(2), g.integers(4)
        luma = g.add("Reshape", "y", g.add("Concat", one, rows, four, columns, four, axis=0))
        luma = g.add("Transpose", luma, perm=[0, 1, 3, 2, 4])
        luma = g.add("Reshape", luma, g.add("Concat", one, size, g.integers(16), axis=0))
        chroma = g.add("Reshape", "uv", g.add("Concat", two, rows, two, columns, two, axis=0))
        chroma = g.add("Transpose", chroma, perm=[1, 3, 0, 2, 4])
        chroma = g.add("Reshape", chroma, g.add("Concat", one, size, g.integers(8), axis=0))
        return g.add("Concat", luma, chroma, axis=3), size

    def _unpack(self, blocks: str, size: str) -> None:
        """The inverse of `_pack`, into the outputs."""
        g = self._g
        rows, columns = g.split(size, [1, 1], 0)
        one, two, four = g.integers(1), g.integers(2), g.integers(4)
        luma, chroma = g.split(blocks, [16, 8], 3)
        luma = g.add("Reshape", luma, g.add("Concat", rows, columns, four, four, axis=0))
        luma = g.add("Transpose", luma, perm=[0, 2, 1, 3])
        whole = g.add("Mul", size, four)
        g.add("Reshape", luma, g.add("Concat", one, one, whole, axis=0), output="y_out")
        chroma = g.add("Reshape", chroma, g.add("Concat", rows, columns, two, two, two, axis=0))
        chroma = g.add("Transpose", chroma, perm=[2, 0, 3, 1, 4])
        half = g.add("Mul", size, two)
        g.add("Reshape", chroma, g.add("Concat", one, two, half, axis=0), output="uv_out")

    def _statistics(self, blocks: str) -> tuple[str, str]:
        """Mean of each plane (1, 3) and the contrast of luma (1,), of planes in 0..1."""
        g = self._g
        planes = np.zeros((24, 3), np.float32)
        planes[:16, 0], planes[16:20, 1], planes[20:, 2] = 1 / 16, 1 / 4, 1 / 4
        values = g.add("Cast", blocks, to=TensorProto.FLOAT)
        channels = g.add("ReduceMean", values, axes=[0, 1, 2], keepdims=0)
        mean = g.add("MatMul", channels, g.constant(planes * np.float32(PIXEL)))
        rows = g.add("Reshape", values, g.integers(-1, 24))
        squares = g.add("ReduceMean", g.add("Mul", rows, rows), axes=[0], keepdims=0)
        power = g.add("MatMul", squares, g.constant(planes[:, :1] * np.float32(PIXEL**2)))
        luma = g.add("Slice", mean, g.integers(0), g.integers(1))
        variance = g.add("Sub", power, g.add("Mul", luma, luma))
        floor = g.constant(np.float32(CONTRAST_FLOOR**2))
        return mean, g.add("Sqrt", g.add("Add", variance, floor))

    def _stem(self, blocks: str) -> str:
        """The first layer, which takes the planes' means and the contrast out as it goes."""
        g = self._g
        mean, contrast = self._statistics(blocks)
        kernel = _array(self._net.stem.conv.weight)
        sums = np.stack([k.sum((1, 2, 3)) for k in np.split(kernel, [16, 20], 1)])
        taken = g.add("Div", g.add("MatMul", mean, g.constant(sums)), contrast)
        taken = g.add("Mul", taken, self._gains["stem"])
        self._shifts["stem"] = g.add("Sub", self._shifts["stem"], taken)
        return self._conv(blocks, "stem", g.constant(PIXEL), contrast=contrast)

    def _residual(self, x: str, name: str, x_layer: str) -> str:
        g = self._g
        inner = self._conv(x, f"{name}.a", self._steps[x_layer])
        change = self._conv(inner, f"{name}.b", self._steps[f"{name}.a"])
        operands = []
        for value, layer, zero in ((x, x_layer, 0), (change, f"{name}.b", SIGNED_ZERO)):
            operands += [value, self._steps[layer], g.constant(np.uint8(zero))]
        return g.contrib("QLinearAdd", *operands, self._steps[name], g.constant(np.uint8(0)))

    def _up(self, x: str, step: str) -> str:
        """Twice the size, and one pixel more on each side."""
        g = self._g
        channels = self._net.up.conv.out_channels // 4
        order = np.arange(4 * channels).reshape(channels, 4).T.flatten()  # torch puts phases last
        up = self._conv(x, "up", step, order=order)
        size = g.add("Shape", up, start=1, end=3)
        one, two, both = g.integers(1), g.integers(2), g.integers(2 * channels)
        rows, columns = g.split(size, [1, 1], 0)
        up = g.add("Reshape", up, g.add("Concat", one, rows, columns, two, both, axis=0))
        up = g.add("Transpose", up, perm=[0, 1, 3, 2, 4])
        whole = g.add("Concat", one, g.add("Mul", size, two), g.integers(channels), axis=0)
        return g.add("Reshape", up, whole)

    def write(self) -> onnx.ModelProto:
        """The whole network."""
        blocks, size = self._pack()
        x, layer = self._conv(self._stem(blocks), "down", self._steps["stem"]), "down"
        for i in range(len(self._net.body)):
            x, layer = self._residual(x, f"body.{i}", layer), f"body.{i}"
        x = self._conv(self._up(x, self._steps[layer]), "fine", self._steps["up"])
        self._unpack(self._conv(x, "out", self._steps["fine"]), size)
        return self._g.model(*_interface(len(self._net.styles)))


def _interface(styles: int) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    whole, half = ["height", "width"], ["half_height", "half_width"]
    value, byte = helper.make_tensor_value_info, TensorProto.UINT8
    inputs = [
        value("y", byte, [1, 1, *whole]),
        value("uv", byte, [1, 2, *half]),
        value("style_weights", TensorProto.FLOAT, [styles]),
    ]
    outputs = [value("y_out", byte, [1, 1, *whole]), value("uv_out", byte, [1, 2, *half])]
    return inputs, outputs


def quantized_graph(net: StyleNet, ranges: Ranges) -> onnx.ModelProto:
    """The int8 form of a trained network."""
    return Quantizer(net, ranges).write()
