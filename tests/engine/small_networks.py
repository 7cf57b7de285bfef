"""Small networks of the kind that the engine folds, with a norm written in any known way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
STYLES, EPSILON = 3, 1e-3


class Builder:
    """Writes a graph node by node; each method gives the name of a tensor."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def floats(self, *values: float) -> str:
        return self.constant(np.array(values, np.float32))

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        pad = kernel // 2
        x = self.add("Pad", x, self.constant([0, 0, pad, pad] * 2), mode="reflect")
        spread = (inputs * kernel**2) ** -0.5
        weight = self.rng.normal(0, spread, (outputs, inputs, kernel, kernel)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, outputs).astype(np.float32)
        return self.add("Conv", x, *map(self.constant, (weight, bias)), strides=[stride] * 2)

    def doubled(self, x: str) -> str:
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, "", self.floats(1, 1, 2, 2), mode="nearest", **how)

    def pair(self, channels: int) -> tuple[Array, Array]:
        """A scale, of either sign, and a bias."""
        scale = self.rng.uniform(0.5, 1.5, channels) * self.rng.choice([-1, 1], channels)
        return scale.astype(np.float32), self.rng.normal(0, 0.3, channels).astype(np.float32)


Norm = Callable[[Builder, str, int], str]


def one_node(b: Builder, x: str, channels: int) -> str:
    return b.add("InstanceNormalization", x, *map(b.constant, b.pair(channels)), epsilon=EPSILON)


def _finish(b: Builder, normed: str, channels: int) -> str:
    scale, bias = (b.constant(v.reshape(1, -1, 1, 1)) for v in b.pair(channels))
    return b.add("Add", b.add("Mul", normed, scale), bias)


def reductions(b: Builder, x: str, channels: int) -> str:
    off = b.add("Sub", x, b.add("ReduceMean", x, axes=[2, 3]))
    variance = b.add("ReduceMean", b.add("Pow", off, b.floats(2)), axes=[-2, -1])
    deviation = b.add("Sqrt", b.add("Add", variance, b.floats(EPSILON)))
    return _finish(b, b.add("Mul", off, b.add("Div", b.floats(1), deviation)), channels)


def squares(b: Builder, x: str, channels: int) -> str:
    """The variance as the mean of squares less the square of the mean."""
    mean = b.add("ReduceMean", x, axes=[2, 3])
    mean_of_squares = b.add("ReduceMean", b.add("Mul", x, x), axes=[2, 3])
    variance = b.add("Sub", mean_of_squares, b.add("Mul", mean, mean))
    deviation = b.add("Sqrt", b.add("Add", variance, b.floats(EPSILON)))
    return _finish(b, b.add("Div", b.add("Sub", x, mean), deviation), channels)


def pooled(b: Builder, x: str, channels: int) -> str:
    """As TensorFlow's batch normalization is exported: x * factor + (bias - mean * factor)."""
    mean = b.add("GlobalAveragePool", x)
    off = b.add("Sub", x, b.add("Reshape", mean, b.constant([1, channels, 1, 1])))
    variance = b.add("GlobalAveragePool", b.add("Mul", off, off))
    root = b.add("Sqrt", b.add("Add", variance, b.floats(EPSILON)))
    scale, bias = (b.constant(v.reshape(1, -1, 1, 1)) for v in b.pair(channels))
    factor = b.add("Mul", b.add("Reciprocal", root), scale)
    offset = b.add("Sub", bias, b.add("Mul", mean, factor))
    return b.add("Add", b.add("Mul", x, factor), offset)


def joined_rows(b: Builder, x: str, channels: int) -> str:
    """As PyTorch writes a group norm of one channel a group."""
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    flat = b.add("Reshape", x, b.constant([0, channels, -1]))
    normed = b.add("InstanceNormalization", flat, *map(b.constant, (ones, zeros)), epsilon=EPSILON)
    return _finish(b, b.add("Reshape", normed, b.add("Shape", x)), channels)


def batch_norm(b: Builder, x: str, channels: int) -> str:
    """In training mode, of one picture: as old versions of PyTorch wrote it."""
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    inputs = [b.constant(v) for v in (*b.pair(channels), zeros, ones)]
    name = b.add("BatchNormalization", x, *inputs, epsilon=EPSILON, training_mode=1)
    b.nodes[-1].output.extend([f"{name}m", f"{name}v"])
    return name


def styled(b: Builder, x: str, channels: int) -> str:
    """Scale and bias are chosen by `style_weights`."""
    plain = (np.full(channels, value, np.float32) for value in (1, 0))
    normed = b.add("InstanceNormalization", x, *map(b.constant, plain), epsilon=EPSILON)
    tables = zip(*(b.pair(channels) for _ in range(STYLES)), strict=True)
    column = b.add("Unsqueeze", "style_weights", b.constant([1]))
    shares = [b.add("Mul", column, b.constant(np.stack(table))) for table in tables]
    rows = [b.add("ReduceSum", share, b.constant([0]), keepdims=0) for share in shares]
    scale, bias = (b.add("Reshape", row, b.constant([1, channels, 1, 1])) for row in rows)
    return b.add("Add", b.add("Mul", normed, scale), bias)


NORMS: dict[str, Norm] = {
    norm.__name__: norm
    for norm in (one_node, reductions, squares, pooled, joined_rows, batch_norm, styled)
}


def network(norm: Norm = one_node, white: float = 1, channels: int = 8) -> bytes:
    """A quarter of the size in its middle, a residual, twice enlarged; 0..white in and out."""
    b, c = Builder(), channels
    x = b.add("Mul", "in", b.floats(4 / white))
    for inputs, outputs, kernel, stride in ((3, c, 9, 1), (c, c, 3, 2), (c, c, 3, 2)):
        x = b.add("Relu", norm(b, b.conv(x, inputs, outputs, kernel, stride), outputs))
    inner = b.add("Relu", norm(b, b.conv(x, c, c, 3), c))
    x = b.add("Add", x, norm(b, b.conv(inner, c, c, 3), c))
    x = b.add("Relu", norm(b, b.conv(b.doubled(x), c, 6, 3), 6))
    x = b.add("Relu", norm(b, b.conv(b.doubled(x), 6, 4, 3), 4))
    x = b.add("Sigmoid", b.conv(x, 4, 3, 9))
    b.add("Mul", x, b.floats(white))
    return model(b, [STYLES] if norm is styled else [])


def _normed(b: Builder, x: str, channels: int) -> str:
    return b.add("Relu", one_node(b, x, channels))


def _begun(b: Builder) -> str:
    """Half the size, 16 channels."""
    x = _normed(b, b.conv("in", 3, 16, 9), 16)
    return _normed(b, b.conv(x, 16, 16, 3, 2), 16)


def transposed(b: Builder) -> None:
    """As generators of the CycleGAN family enlarge."""
    weight = b.rng.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    how = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}
    x = b.add("ConvTranspose", _begun(b), b.constant(weight), b.floats(*[0.1] * 16), **how)
    b.add("Sigmoid", b.conv(_normed(b, x, 16), 16, 3, 9))


def same_margins(b: Builder) -> None:
    """As TensorFlow's exporters write margins: left to the engine."""
    how: dict[str, Any] = {"auto_pad": "SAME_UPPER"}
    x, sizes = "in", ((3, 8, 9, 1), (8, 16, 3, 2))
    for inputs, outputs, kernel, stride in sizes:
        spread = (inputs * kernel**2) ** -0.5
        weight = b.rng.normal(0, spread, (outputs, inputs, kernel, kernel)).astype(np.float32)
        x = b.add("Conv", x, b.constant(weight), strides=[stride] * 2, **how)
        x = _normed(b, x, outputs)
    weight = b.rng.normal(0, 0.1, (16, 8, 3, 3)).astype(np.float32)
    x = _normed(b, b.add("ConvTranspose", x, b.constant(weight), strides=[2, 2], **how), 8)
    weight = b.rng.normal(0, 0.04, (3, 8, 9, 9)).astype(np.float32)
    b.add("Sigmoid", b.add("Conv", x, b.constant(weight), **how))


def zero_margins(b: Builder) -> None:
    """As PyTorch's convolutions pad when nobody says how."""

    def convolved(x: str, outputs: int, kernel: int) -> str:
        weight = b.rng.normal(0, 0.1 / kernel, (outputs, 16, kernel, kernel)).astype(np.float32)
        return b.add("Conv", x, b.constant(weight), pads=[kernel // 2] * 4)

    x = _normed(b, convolved(b.doubled(_begun(b)), 16, 3), 16)
    b.add("Sigmoid", convolved(x, 3, 9))


def sub_pixels(b: Builder) -> None:
    x = b.add("DepthToSpace", b.conv(_begun(b), 16, 64, 3), blocksize=2, mode="CRD")
    b.add("Sigmoid", b.conv(_normed(b, x, 16), 16, 3, 9))


def each_channel_enlarged(b: Builder) -> None:
    weight = b.rng.normal(0, 0.3, (16, 1, 4, 4)).astype(np.float32)
    how = {"strides": [2, 2], "pads": [1] * 4, "group": 16}
    x = b.add("ConvTranspose", _begun(b), b.constant(weight), **how)
    b.add("Sigmoid", b.conv(_normed(b, x, 16), 16, 3, 9))


def surrounded(b: Builder, x: str, outputs: int, kernel: int, value: float) -> str:
    """Convolved with a margin of one value."""
    pads, inputs = b.constant([0, 0, kernel // 2, kernel // 2] * 2), 3 if x == "in" else 16
    x = b.add("Pad", x, pads, b.constant(np.float32(value)), mode="constant")
    weight = b.rng.normal(0, 0.5 / kernel, (outputs, inputs, kernel, kernel)).astype(np.float32)
    return b.add("Conv", x, b.constant(weight))


def black_around(b: Builder) -> None:
    x = _normed(b, surrounded(b, "in", 16, 9, 0), 16)
    x = _normed(b, b.conv(x, 16, 16, 3, 2), 16)
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def ones_around(b: Builder) -> None:
    x = _normed(b, surrounded(b, _begun(b), 16, 3, 1), 16)
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def weights_of_the_picture(b: Builder) -> None:
    x = _begun(b)
    weight = b.constant(b.rng.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32))
    weight = b.add("Mul", weight, b.add("ReduceMean", x, axes=[0, 1, 2, 3]))
    x = _normed(b, b.add("Conv", x, weight, pads=[1] * 4), 16)
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def together(b: Builder, x: str, channels: int) -> str:
    """A norm of two groups of channels, as exporters write PyTorch's GroupNorm."""
    ones, zeros = b.floats(1, 1), b.floats(0, 0)
    flat = b.add("Reshape", x, b.constant([0, 2, -1]))
    normed = b.add("InstanceNormalization", flat, ones, zeros, epsilon=EPSILON)
    return _finish(b, b.add("Reshape", normed, b.add("Shape", x)), channels)


def channels_together(b: Builder) -> None:
    x = b.add("Relu", together(b, b.conv("in", 3, 16, 9), 16))
    x = b.add("Relu", together(b, b.conv(x, 16, 16, 3, 2), 16))
    x = b.add("Relu", together(b, b.conv(b.doubled(x), 16, 16, 3), 16))
    b.add("Sigmoid", b.conv(x, 16, 3, 9))


def norm_of_a_sum(b: Builder) -> None:
    x = _begun(b)
    x = _normed(b, b.add("Add", x, b.conv(x, 16, 16, 3)), 16)
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def norm_of_a_function(b: Builder) -> None:
    x = one_node(b, b.add("Relu", b.conv(_begun(b), 16, 16, 3)), 16)
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def norm_beside_its_source(b: Builder) -> None:
    x = b.conv(_begun(b), 16, 16, 3)
    x = b.add("Add", x, _normed(b, x, 16))
    b.add("Sigmoid", b.conv(_normed(b, b.conv(b.doubled(x), 16, 16, 3), 16), 16, 3, 9))


def deep(halvings: int = 4) -> bytes:
    """A network whose middle has this often half the size, and whose sides meet again."""
    b, beside = Builder(), list[str]()
    x = _normed(b, b.conv("in", 3, 8, 3), 8)
    for _ in range(halvings):
        beside.append(x)
        x = _normed(b, b.conv(x, 8, 8, 3, 2), 8)
    for same in reversed(beside):
        x = b.add("Add", _normed(b, b.conv(b.doubled(x), 8, 8, 3), 8), same)
    b.add("Sigmoid", b.conv(x, 8, 3, 3))
    return model(b, [])


FORMS: dict[str, Callable[[Builder], None]] = {
    form.__name__: form
    for form in (
        transposed,
        same_margins,
        zero_margins,
        sub_pixels,
        each_channel_enlarged,
        black_around,
        ones_around,
        weights_of_the_picture,
        channels_together,
        norm_of_a_sum,
        norm_of_a_function,
        norm_beside_its_source,
    )
}


def model(b: Builder, style_weights: list[int]) -> bytes:
    """What was built, with `in` (1, 3, height, width) and its last tensor as its ends."""
    shape = [1, 3, "height", "width"]
    inputs = [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)]
    if style_weights:
        inputs.append(helper.make_tensor_value_info("style_weights", 1, style_weights))
    output = helper.make_tensor_value_info(b.nodes[-1].output[0], TensorProto.FLOAT, shape)
    graph = helper.make_graph(b.nodes, "small", inputs, [output], b.tensors)
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def run(data: bytes | onnx.ModelProto, **feed: Array) -> dict[str, Array]:
    """The outputs by name, by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    whole = data if isinstance(data, bytes) else data.SerializeToString()
    session = onnxruntime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    known = {i.name for i in session.get_inputs()}
    values = session.run(names, {name: value for name, value in feed.items() if name in known})
    return dict(zip(names, values, strict=True))


def picture(height: int = 64, width: int = 96, seed: int = 1) -> Array:
    """(1, 3, height, width) of 0..1: soft patches with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((1, 3, height // 8, width // 8))
    fine = coarse.repeat(8, 2).repeat(8, 3) + rng.normal(0, 0.02, (1, 3, height, width))
    return fine.clip(0, 1).astype(np.float32)


def to_yuv(rgb: Array) -> Array:
    """BT.601 in video range, written out, of (3, ...) 0..1."""
    r, g, b = rgb
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.stack([16 + 219 * y, 128 + 224 * (b - y) / 1.772, 128 + 224 * (r - y) / 1.402])


def to_rgb(yuv: Array) -> Array:
    """The inverse of `to_yuv`."""
    y, u, v = (yuv.astype(float).T - (16, 128, 128)).T
    r, b = y / 219 + 1.402 * v / 224, y / 219 + 1.772 * u / 224
    return np.stack([r, (y / 219 - 0.299 * r - 0.114 * b) / 0.587, b])
