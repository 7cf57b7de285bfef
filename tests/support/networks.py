"""Tiny networks with known answers, written as ONNX files."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamer.styles.model import LayoutName, ModelFile, StyleEntry

OPSET = 17


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray],
) -> Path:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def model_file(path: Path, layout: LayoutName, *names: str, name: str = "tiny") -> ModelFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entries = tuple(StyleEntry(style, style.title(), index=i) for i, style in enumerate(names))
    return ModelFile(name, path, digest, layout, entries)


def float_tensor(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def blending_network(path: Path) -> Path:
    """Layout rgb26 with two styles: 0 is the photographic negative, 1 halves every value."""
    nodes = [
        helper.make_node("Sub", ["white", "image"], ["inverted"]),
        helper.make_node("Mul", ["image", "half"], ["halved"]),
        helper.make_node("Concat", ["inverted", "halved"], ["both"], axis=0),
        helper.make_node("Reshape", ["style_weights", "shape"], ["w"]),
        helper.make_node("Mul", ["both", "w"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axes"], ["stylized"], keepdims=1),
    ]
    constants = {
        "white": np.array(1, np.float32),
        "half": np.array(0.5, np.float32),
        "shape": np.array([2, 1, 1, 1]),
        "axes": np.array([0]),
    }
    sides = (1, 3, "h", "w")
    inputs = [float_tensor("image", *sides), float_tensor("style_weights", 2)]
    return save(path, nodes, inputs, [float_tensor("stylized", *sides)], constants)


def negative_network(path: Path) -> Path:
    """Layout rgb255 with one style: the photographic negative."""
    nodes = [helper.make_node("Sub", ["white", "input1"], ["output1"])]
    shape = (1, 3, "h", "w")
    return save(
        path,
        nodes,
        [float_tensor("input1", *shape)],
        [float_tensor("output1", *shape)],
        {"white": np.array(255, np.float32)},
    )


def nan_network(path: Path) -> Path:
    """Layout rgb255 with one style, in which no value is a number."""
    nodes = [
        helper.make_node("Sub", ["input1", "much"], ["negative"]),
        helper.make_node("Sqrt", ["negative"], ["output1"]),
    ]
    shape = (1, 3, "h", "w")
    inputs, outputs = [float_tensor("input1", *shape)], [float_tensor("output1", *shape)]
    return save(path, nodes, inputs, outputs, {"much": np.array(300, np.float32)})


def painting_network(path: Path, seed: int = 0) -> Path:
    """Layout rgb255, random weights, built of what published style networks are built of."""
    random = np.random.default_rng(seed)
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "roi": np.array([], np.float32),
        "w1": random.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.2, (3, 8, 3, 3)).astype(np.float32),
        "scale": random.uniform(0.5, 1.5, 8).astype(np.float32),
        "shift": random.normal(0, 0.5, 8).astype(np.float32),
        "b2": np.full(3, 128, np.float32),
        "gain": np.array(60, np.float32),
    }
    nodes = [
        helper.make_node("Pad", ["input1", "pads"], ["p1"], mode="reflect"),
        helper.make_node("Conv", ["p1", "w1"], ["c1"], strides=[2, 2], kernel_shape=[3, 3]),
        helper.make_node("InstanceNormalization", ["c1", "scale", "shift"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node(
            "Resize",
            ["r1", "roi", "scales"],
            ["u1"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        helper.make_node("Pad", ["u1", "pads"], ["p2"], mode="edge"),
        helper.make_node("Mul", ["p2", "gain"], ["m2"]),
        helper.make_node("Conv", ["m2", "w2", "b2"], ["output1"], kernel_shape=[3, 3]),
    ]
    return save(
        path,
        nodes,
        [float_tensor("input1", 1, 3, "h", "w")],
        [float_tensor("output1", 1, 3, "h2", "w2")],
        constants,
    )


def fixed_network(path: Path, side: int, seed: int = 0) -> Path:
    """Layout rgb255 in the form of the published ones: opset 9, pads as attributes, `Upsample`,
    weights among the inputs, one size noted everywhere.
    """
    random = np.random.default_rng(seed)
    constants = {
        "w1": random.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 20, (3, 4, 3, 3)).astype(np.float32),
        "b2": np.full(3, 128, np.float32),
        "scale": random.uniform(0.5, 1.5, 4).astype(np.float32),
        "shift": random.normal(0, 0.5, 4).astype(np.float32),
    }
    twice = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32))
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    nodes = [
        helper.make_node("Pad", ["input1"], ["p1"], mode="reflect", pads=pads),
        helper.make_node("Conv", ["p1", "w1"], ["c1"], strides=[2, 2], kernel_shape=[3, 3]),
        helper.make_node("InstanceNormalization", ["c1", "scale", "shift"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Constant", [], ["twice"], value=twice),
        helper.make_node("Upsample", ["r1", "twice"], ["u1"], mode="nearest"),
        helper.make_node("Pad", ["u1"], ["p2"], mode="reflect", pads=pads),
        helper.make_node("Conv", ["p2", "w2", "b2"], ["output1"], kernel_shape=[3, 3]),
    ]
    sides = (1, 3, side, side)
    weights = [float_tensor(name, *value.shape) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [float_tensor("input1", *sides), *weights],
        [float_tensor("output1", *sides)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
        value_info=[
            float_tensor("c1", 1, 4, side // 2, side // 2),
            float_tensor("u1", 1, 4, side, side),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def ranged_network(path: Path, low: float, high: float, last: str = "") -> Path:
    """A network that normalises what it sees and answers in low..high, as trained ones do."""
    middle, reach = (low + high) / 2, (high - low) / 5
    nodes = [helper.make_node("InstanceNormalization", ["image", "ones", "zeros"], ["n"])]
    if last == "Sigmoid":
        nodes.append(helper.make_node("Sigmoid", ["n"], ["out"]))
    elif last == "Tanh":
        nodes.append(helper.make_node("Tanh", ["n"], ["out"]))
    else:
        nodes.append(helper.make_node("Mul", ["n", "reach"], ["m"]))
        nodes.append(helper.make_node("Add", ["m", "middle"], ["out"]))
    constants = {
        "ones": np.ones(3, np.float32),
        "zeros": np.zeros(3, np.float32),
        "reach": np.array(reach, np.float32),
        "middle": np.array(middle, np.float32),
    }
    sides = (1, 3, "h", "w")
    return save(
        path, nodes, [float_tensor("image", *sides)], [float_tensor("out", *sides)], constants
    )
