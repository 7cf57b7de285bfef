from pathlib import Path

import numpy as np
import onnx
import pytest

from streamer.engine.canonical import NORM, NotFoldableError, canonical, style_count
from streamer.engine.fold import norms
from streamer.engine.packed import packed
from streamer.errors import ModelError
from tests.engine import small_networks as small
from tests.engine.references import folded, measuring
from tests.support.networks import blending_network


def weights(norm: small.Norm) -> np.ndarray | None:
    return np.array([0.2, 0.5, 0.3], np.float32) if norm is small.styled else None


@pytest.mark.parametrize("name", small.NORMS)
def test_a_norm_becomes_one_node_whatever_way_it_was_written(name: str) -> None:
    norm = small.NORMS[name]
    data, image, blend = small.network(norm), small.picture(), weights(norm)
    feed = {"in": image} | ({} if blend is None else {"style_weights": blend})
    (wanted,) = small.run(data, **feed).values()
    model = canonical(data, blend)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count(NORM) == 7
    assert set(kinds) <= {NORM, "Pad", "Conv", "Relu", "Add", "Mul", "Resize", "Sigmoid"}
    assert norms(model).sizes == (8, 8, 8, 8, 8, 6, 4)
    assert np.allclose(norms(model).epsilon, small.EPSILON, rtol=1e-3)
    assert np.abs(small.run(model, image=image)["stylized"] - wanted).max() < 2e-4


@pytest.mark.parametrize("name", small.NORMS)
def test_with_a_pictures_own_statistics_convolutions_alone_give_the_same(name: str) -> None:
    norm = small.NORMS[name]
    image, model = small.picture(), canonical(small.network(norm), weights(norm))
    measured = small.run(measuring(model), image=image)
    found = norms(model)
    alone = folded(model, found.affine(*measured["moments"]))
    assert NORM not in {node.op_type for node in alone.graph.node}
    assert len(alone.graph.node) == len(model.graph.node) - 7
    stylized = small.run(alone, image=image)["stylized"]
    assert np.abs(stylized - measured["stylized"]).max() < 1 / 255
    other = small.run(alone, image=small.picture(seed=2))["stylized"]
    own = small.run(model, image=small.picture(seed=2))["stylized"]
    assert np.abs(other - own).max() > 1 / 255  # the statistics are the first picture's


def test_moments_are_means_and_variances_of_what_norms_read() -> None:
    model = canonical(small.network())
    first = next(node for node in model.graph.node if node.op_type == NORM).input[0]
    model.graph.output.append(onnx.ValueInfoProto(name=first))
    image = small.picture()
    tensor = small.run(model, image=image)[first]
    del model.graph.output[1:]
    mean, variance = small.run(measuring(model), image=image)["moments"][:, :8]
    assert np.allclose(mean, tensor.mean((0, 2, 3)), atol=1e-5)
    assert np.allclose(variance, tensor.var((0, 2, 3)), rtol=1e-4)


def test_a_norm_that_no_convolution_comes_before_keeps_its_place() -> None:
    b = small.Builder()
    x = b.add("Relu", b.conv("in", 3, 3, 3))
    small.one_node(b, x, 3)
    model, image = canonical(small.model(b, [])), small.picture()
    measured = small.run(measuring(model), image=image)
    alone = folded(model, norms(model).affine(*measured["moments"]))
    assert [node.op_type for node in alone.graph.node][-2:] == ["Mul", "Add"]
    stylized = small.run(alone, image=image)["stylized"]
    assert np.abs(stylized - measured["stylized"]).max() < 1e-4


def test_channels_at_the_end_are_brought_to_the_front() -> None:
    b = small.Builder()
    last = b.add("Transpose", "in", perm=[0, 2, 3, 1])
    padded = b.add("Pad", last, b.constant([0, 1, 1, 0] * 2), mode="reflect")
    first = b.add("Transpose", padded, perm=[0, 3, 1, 2])
    weight = b.rng.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)
    x = small.one_node(b, b.add("Conv", first, b.constant(weight)), 3)
    same = b.add("Transpose", x, perm=[0, 2, 3, 1])
    b.add("Transpose", same, perm=[0, 3, 1, 2])
    data, image = small.model(b, []), small.picture()
    model = canonical(data)
    assert [node.op_type for node in model.graph.node] == ["Pad", "Conv", NORM]
    (wanted,) = small.run(data, **{"in": image}).values()
    assert np.abs(small.run(model, image=image)["stylized"] - wanted).max() < 1e-5


def no_norms(b: small.Builder) -> None:
    b.add("Relu", b.conv("in", 3, 3, 3))


def over_the_width_only(b: small.Builder) -> None:
    x = small.one_node(b, b.conv("in", 3, 3, 3), 3)
    b.add("Sub", x, b.add("ReduceMean", x, axes=[-1]))


def mean_only(b: small.Builder) -> None:
    x = b.conv("in", 3, 3, 3)
    b.add("Sub", x, b.add("ReduceMean", x, axes=[2, 3]))


def square_of_a_norm(b: small.Builder) -> None:
    x = small.one_node(b, b.conv("in", 3, 3, 3), 3)
    b.add("Mul", x, x)


@pytest.mark.parametrize("build", [no_norms, mean_only, square_of_a_norm])
def test_what_cannot_be_folded_says_so(build: object) -> None:
    b = small.Builder()
    assert callable(build)
    build(b)
    with pytest.raises(NotFoldableError):
        canonical(small.model(b, []))


def test_a_mean_along_one_side_is_left_as_it_is() -> None:
    b = small.Builder()
    over_the_width_only(b)
    data, image = small.model(b, []), small.picture()
    (wanted,) = small.run(data, **{"in": image}).values()
    assert np.abs(small.run(canonical(data), image=image)["stylized"] - wanted).max() < 1e-5


def test_styles_are_counted_and_asked_for() -> None:
    data = small.network(small.styled)
    assert style_count(data) == small.STYLES
    assert style_count(small.network()) is None
    with pytest.raises(NotFoldableError):
        canonical(data)


def test_a_file_that_is_not_a_network_is_refused() -> None:
    with pytest.raises(ModelError):
        canonical(b"\xff" * 40)


def test_a_network_in_the_operators_of_years_ago_is_read_as_well() -> None:
    """Padding as an attribute, and Upsample: as the published fast-neural-style networks are."""
    b = small.Builder()
    pads = b.add("Pad", "in", mode="reflect", pads=[0, 0, 1, 1] * 2)
    weight = b.rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
    x = b.add("Relu", small.one_node(b, b.add("Conv", pads, b.constant(weight)), 4))
    b.add("Upsample", x, b.floats(1, 1, 2, 2), mode="nearest")
    x = b.add("Pad", b.nodes[-1].output[0], mode="reflect", pads=[0, 0, 1, 1] * 2)
    weight = b.rng.normal(0, 0.3, (3, 4, 3, 3)).astype(np.float32)
    b.add("Conv", x, b.constant(weight))
    old = onnx.load_model_from_string(small.model(b, []))
    old.opset_import[0].version, old.ir_version = 9, 4
    data, image = old.SerializeToString(), small.picture()
    (wanted,) = small.run(data, **{"in": image}).values()
    model = canonical(data)
    assert np.abs(small.run(model, image=image)["stylized"] - wanted).max() < 1e-4
    assert packed(model) is not model


def test_a_network_that_weighs_whole_pictures_is_told_apart(tmp_path: Path) -> None:
    """Its constants have a value for each picture of a batch, not for each channel."""
    data = blending_network(tmp_path / "both.onnx").read_bytes()
    with pytest.raises(NotFoldableError, match="channels"):
        canonical(data, np.array([1, 0], np.float32))
