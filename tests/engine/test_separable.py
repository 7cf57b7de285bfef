import importlib.util

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamer.engine.folded_network import Engine, FoldedNetwork, Planes
from streamer.engine.graph import Graph
from streamer.engine.pictures import pictures
from streamer.engine.separable import COLUMNS, separated
from streamer.styles.catalogue import Catalogue
from tests.engine import small_networks as small

HERE: list[Engine] = ["onnxruntime"]
if importlib.util.find_spec("openvino"):
    HERE += ["openvino-f32", "openvino-int8"]


def first_layer(weight: np.ndarray) -> onnx.ModelProto:
    """A network of one convolution, which reads an image that is padded."""
    b = small.Builder()
    pad = weight.shape[2] // 2
    x = b.add("Pad", "image", b.constant([0, 0, pad, pad] * 2), mode="reflect")
    bias = np.linspace(-1, 1, len(weight)).astype(np.float32)
    b.nodes.append(
        helper.make_node("Conv", [x, b.constant(weight), b.constant(bias)], ["stylized"])
    )
    shape = [1, 3, "height", "width"]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name in ("image", "stylized")
    ]
    graph = helper.make_graph(b.nodes, "one", *ends, b.tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def edges(outputs: int = 32) -> np.ndarray:
    """Filters such as networks learn: waves of any direction and length, in any color."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-4:5, -4:5]
    angles, lengths, phases = rng.uniform(0, 3.2, outputs), rng.uniform(6, 20, outputs), rng
    waves = [
        np.cos(6.28 * (np.cos(a) * x + np.sin(a) * y) / n + phases.uniform(0, 6.28))
        * np.exp(-(x**2 + y**2) / 12)
        for a, n in zip(angles, lengths, strict=True)
    ]
    colors = rng.normal(size=(outputs, 3))
    weight: np.ndarray = np.einsum("oc,oyx->ocyx", colors, waves)
    return weight.astype(np.float32)


def photo() -> np.ndarray:
    y, u, v = pictures(192, 128)[0]
    yuv = np.stack([y, *(plane.repeat(2, 0).repeat(2, 1) for plane in (u, v))])
    return small.to_rgb(yuv)[None].astype(np.float32)


def test_a_column_and_a_row_give_what_the_square_gave() -> None:
    model = first_layer(edges())
    halves = separated(model, 0, 1)
    convs = [node for node in Graph(halves).nodes if node.op_type == "Conv"]
    assert convs[0].output[0] == COLUMNS and len(convs) == 2
    (wanted,), (ours,) = (
        small.run(m.SerializeToString(), image=photo()).values() for m in (model, halves)
    )
    off = ((ours - wanted) ** 2).mean((0, 2, 3)) / wanted.var((0, 2, 3))
    assert ours.shape == wanted.shape
    assert off.max() < 1e-3 and off.mean() < 1e-4


def test_what_would_not_be_cheaper_stays() -> None:
    noise = np.random.default_rng(0).normal(size=(8, 3, 5, 5)).astype(np.float32)
    for weight in (noise, edges()[:, :, 3:6, 3:6]):
        model = first_layer(weight)
        assert separated(model, 0, 1) is model


def in_light(share: float, seed: int) -> Planes:
    """A picture of less contrast, in the dark."""
    y, u, v = pictures(320, 192)[seed]
    dim = [
        (zero + share * (p.astype(float) - zero)).astype(np.uint8)
        for p, zero in ((y, 16), (u, 128), (v, 128))
    ]
    return dim[0], dim[1], dim[2]


@pytest.mark.parametrize("engine", HERE)
@pytest.mark.parametrize("light", [1.0, 0.12])
def test_a_dim_picture_is_as_exact_as_a_bright_one(
    engine: Engine, light: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, entry = Catalogue.load().find("mosaic")
    weights = np.eye(26, dtype=np.float32)[entry.index]
    ours = FoldedNetwork(model.read(), 0, 1, engine)
    monkeypatch.setattr("streamer.engine.folded_network.separated", lambda m, *_, **__: m)
    whole = FoldedNetwork(model.read(), 0, 1, HERE[0])  # in 32 bits, in one piece
    planes = in_light(light, seed=1)
    a, b = (n.measure(planes, weights).data[: 320 * 192].astype(float) for n in (ours, whole))
    assert np.abs(a - b).mean() < (5 if engine == "openvino-int8" else 1)
    assert np.corrcoef(a, b)[0, 1] > (0.985 if engine == "openvino-int8" else 0.999)
