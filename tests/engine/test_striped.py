import numpy as np
import onnx
import pytest

from streamer.engine import striped as module
from streamer.engine.canonical import canonical
from streamer.engine.folded_network import FoldedNetwork
from streamer.engine.packed import widened
from streamer.engine.pictures import pictures
from streamer.engine.program import program
from streamer.engine.striped import striped
from tests.engine import small_networks as small

WIDTH, HEIGHT = 128, 96


def network(channels: int) -> FoldedNetwork:
    b = small.Builder()
    x = b.add("Relu", small.one_node(b, b.conv("in", 3, channels, 9), channels))
    x = b.add("Relu", small.one_node(b, b.conv(x, channels, 6, 3, stride=2), 6))
    x = b.add("Relu", small.one_node(b, b.conv(x, 6, 6, 3), 6))
    b.add("Sigmoid", b.conv(b.doubled(x), 6, 3, 3))
    return FoldedNetwork(small.model(b, []), 0, 1, "onnxruntime")


@pytest.mark.parametrize("channels", [8, 12])  # the first layer for two pixels at once, and not
@pytest.mark.parametrize("count", [2, 5])
def test_in_stripes_a_picture_is_the_same(
    channels: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = pictures(WIDTH, HEIGHT)[0]
    whole, cut = network(channels), network(channels)
    statistics = whole.measure(planes, None).statistics
    wanted = whole.stylize(planes, None, statistics)
    monkeypatch.setattr(module, "_PIXELS", WIDTH * HEIGHT // count)
    assert np.abs(cut.stylize(planes, None, statistics).astype(int) - wanted).max() <= 1
    model = striped(program(cut._model).model, WIDTH, HEIGHT)
    onnx.checker.check_model(model, full_check=True)
    (joined,) = [node for node in model.graph.node if node.op_type == "Concat"]
    assert len(joined.input) == count


def test_small_pictures_and_norms_over_whole_pictures_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = program(network(12)._model).model
    assert striped(model, WIDTH, HEIGHT) is model
    monkeypatch.setattr(module, "_PIXELS", 1000)
    assert striped(model, WIDTH, HEIGHT) is not model
    exact = widened(canonical(small.network()))
    assert striped(exact, WIDTH, HEIGHT) is exact


def test_what_is_read_further_on_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIXELS", 1000)
    b = small.Builder()
    x = b.conv("in", 3, 6, 3)
    y = b.add("Relu", b.conv(b.add("Relu", x), 6, 6, 3))
    b.add("Sigmoid", b.conv(small.one_node(b, b.add("Add", x, y), 6), 6, 3, 3))
    model = canonical(small.model(b, []))
    assert striped(model, WIDTH, HEIGHT) is model


def test_a_sum_of_two_layers_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIXELS", 1000)
    b = small.Builder()
    x = b.conv("in", 3, 6, 3)
    x = b.add("Add", b.add("Relu", x), x)
    b.add("Sigmoid", b.conv(small.one_node(b, b.conv(x, 6, 6, 3), 6), 6, 3, 3))
    model = canonical(small.model(b, []))
    assert striped(model, WIDTH, HEIGHT) is model
