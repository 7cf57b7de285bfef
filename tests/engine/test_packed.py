import numpy as np
import onnx
import pytest

from streamer.engine.canonical import NORM, canonical
from streamer.engine.color import gives_i420, takes_yuv
from streamer.engine.fold import norms
from streamer.engine.graph import attribute
from streamer.engine.packed import packed, packed_weight, paired, transposed, widened
from tests.engine import small_networks as small
from tests.engine.references import folded, measuring

INSIDE = (..., slice(8, -8), slice(8, -8))


def frozen(**about: object) -> onnx.ModelProto:
    """A small network folded with one picture's statistics, so that margins change nothing else."""
    model = canonical(small.network(**about))  # type: ignore[arg-type]
    moments = small.run(measuring(model), image=small.picture())["moments"]
    return folded(model, norms(model).affine(*moments))


@pytest.mark.parametrize(
    ("before", "grow", "size", "kernel"),
    [
        (1, 2, 2, 3),
        (2, 2, 4, 3),
        (4, 1, 4, 9),
        (1, 1, 1, 3),
        (1, 1, 4, 9),
        (2, 1, 4, 7),
        (1, 2, 8, 5),
    ],
)
def test_a_convolution_in_blocks_is_the_same_convolution(
    before: int, grow: int, size: int, kernel: int
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 3, kernel, kernel)).astype(np.float32)
    b = small.Builder()
    x = b.add("SpaceToDepth", "in", blocksize=before)
    inner = packed_weight(weight, before, grow, size)
    stride = size // (before * grow)
    # SpaceToDepth has a block's pixels outside of the channels
    order = np.arange(3 * before**2).reshape(before**2, 3).T.ravel()
    x = b.add("Gather", x, b.constant(order), axis=1)
    reach = (inner.shape[2] - stride) // 2
    x = b.add("Conv", x, b.constant(inner), pads=[reach] * 4, strides=[stride] * 2)
    b.add("DepthToSpace", x, blocksize=size, mode="CRD")
    plain = small.Builder()
    scales = plain.floats(1, 1, grow, grow)
    y = plain.add("Resize", "in", "", scales, mode="nearest",
                  coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    plain.add("Conv", y, plain.constant(weight), pads=[kernel // 2] * 4)
    image = small.picture()
    (ours,), (wanted,) = (
        small.run(small.model(built, []), **{"in": image}).values() for built in (b, plain)
    )
    assert np.abs(ours - wanted).max() < 1e-4


@pytest.mark.parametrize("channels", [4, 20])
def test_enlarging_and_convolving_is_a_transposed_convolution(channels: int) -> None:
    b = small.Builder()
    x = b.add("Relu", small.one_node(b, b.conv("in", 3, 20, 3, stride=2), 20))
    x = b.add("Relu", small.one_node(b, b.conv(x, 20, 20, 3, stride=2), 20))
    x = b.add("Relu", small.one_node(b, b.conv(b.doubled(x), 20, 6, 3), 6))
    x = b.add("Relu", b.conv(b.doubled(x), 6, channels, 3))
    b.add("Sigmoid", b.conv(x, channels, 3, 9))
    plain = canonical(small.model(b, []))
    model = transposed(plain)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    # The last one only when it has the channels that a processor multiplies for at once.
    assert (kinds.count("ConvTranspose"), kinds.count("Resize")) == ((1, 1), (2, 0))[channels > 15]
    image = small.picture(seed=3)
    wanted = small.run(plain, image=image)["stylized"]
    assert np.abs(small.run(model, image=image)["stylized"] - wanted).max() < 1e-4
    in_blocks = packed(model)
    assert in_blocks.graph.node[-1].op_type == "DepthToSpace"
    off = np.abs(small.run(in_blocks, image=image)["stylized"] - wanted)
    assert off[INSIDE].max() < 1e-4
    if channels > 15:  # the margin of the last convolution alone is reflected as it was
        assert off.max() < 1e-4


@pytest.mark.parametrize("form", ["transposed", "zero_margins", "sub_pixels"])
def test_the_last_convolution_of_other_forms_is_in_blocks_as_well(form: str) -> None:
    b = small.Builder()
    small.FORMS[form](b)
    plain = canonical(small.model(b, []))
    model = packed(transposed(plain))
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[-1] == "DepthToSpace" and "Resize" not in kinds
    image = small.picture(seed=3)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert np.abs(ours - wanted).max() < 1e-4


@pytest.mark.parametrize("channels", [8, 9])
def test_few_first_channels_are_computed_for_two_pixels_at_once(channels: int) -> None:
    b = small.Builder()
    x = b.add("Relu", small.one_node(b, b.conv("in", 3, channels, 9), channels))
    x = b.add("Relu", small.one_node(b, b.conv(x, channels, 6, 3, stride=2), 6))
    b.add("Sigmoid", b.conv(b.doubled(x), 6, 3, 3))
    plain = widened(canonical(small.model(b, [])))
    model = paired(plain)
    if channels > 8:
        assert model is plain
        return
    onnx.checker.check_model(model, full_check=True)
    assert norms(model).sizes == norms(plain).sizes
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    assert attribute(first, "strides") == [1, 2]
    image = small.picture(seed=3)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert ours.shape == wanted.shape and np.abs(ours - wanted).max() < 1e-4


def test_the_last_layers_in_blocks_give_the_same_picture_but_for_its_border() -> None:
    plain = frozen()
    model = packed(plain)
    onnx.checker.check_model(model, full_check=True)
    assert "Resize" not in {node.op_type for node in model.graph.node}
    image = small.picture(seed=3)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert np.abs(ours - wanted)[INSIDE].max() < 1e-4
    assert np.abs(ours - wanted).mean() < 3 / 255


@pytest.mark.parametrize("where", ["asymmetric", "half_pixel", "pytorch_half_pixel"])
@pytest.mark.parametrize("which", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_only_what_repeats_every_value_is_taken_for_it(where: str, which: str) -> None:
    b = small.Builder()
    x = b.add("Relu", small.one_node(b, b.conv("in", 3, 4, 3), 4))
    how = {"coordinate_transformation_mode": where, "nearest_mode": which}
    x = b.add("Resize", x, "", b.floats(1, 1, 2, 2), mode="nearest", **how)
    b.add("Sigmoid", b.conv(x, 4, 3, 3))
    plain, image = canonical(small.model(b, [])), small.picture()
    model = packed(plain)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert np.abs(ours - wanted)[INSIDE].max() < 1e-4
    if (where, which) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")):
        assert model is not plain


def test_norms_in_blocks_are_over_all_pixels_of_a_channel() -> None:
    plain = canonical(small.network())
    model = packed(plain)
    assert norms(model).sizes == norms(plain).sizes
    image = small.picture(256, 384)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert np.abs(ours - wanted)[INSIDE].mean() < 1 / 255


def test_a_margin_is_computed_rather_than_padded() -> None:
    plain = frozen()
    model = widened(plain)
    pads = [[node.op_type for node in m.graph.node].count("Pad") for m in (plain, model)]
    assert pads[1] == pads[0] - 1
    image = small.picture(seed=3)
    ours, wanted = (small.run(m, image=image)["stylized"] for m in (model, plain))
    assert ours.shape == wanted.shape
    assert np.abs(ours - wanted).mean() < 3 / 255


def test_what_is_of_another_form_stays_as_it_is() -> None:
    b = small.Builder()
    x = b.doubled(small.one_node(b, b.conv("in", 3, 3, 3), 3))
    b.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    model = canonical(small.model(b, []))
    assert packed(model) is model
    b = small.Builder()
    small.one_node(b, b.conv("in", 3, 3, 3), 3)
    model = canonical(small.model(b, []))
    assert packed(model) is model and widened(model) is model


@pytest.mark.parametrize("white", [1.0, 255.0])
@pytest.mark.parametrize("in_blocks", [True, False])
def test_colours_are_part_of_the_weights(white: float, in_blocks: bool) -> None:
    plain = frozen(white=white)
    wide = packed(plain) if in_blocks else plain
    model = gives_i420(takes_yuv(wide, 0, white), 0, white)
    onnx.checker.check_model(model, full_check=True)
    yuv = np.rint(small.to_yuv(small.picture()[0]))[None].astype(np.uint8)
    rgb = small.to_rgb(yuv[0])[None]
    stylized = small.run(wide, image=(white * rgb).astype(np.float32))["stylized"]
    luma, *chroma = small.to_yuv(stylized[0].clip(0, white) / white)
    blocks = small.run(model, image=yuv)["stylized"][0]
    size = 4 if in_blocks else 2
    rows, columns = luma.shape[0] // size, luma.shape[1] // size
    ours = blocks[: size**2].reshape(size, size, rows, columns).transpose(2, 0, 3, 1)
    assert np.abs(ours.reshape(luma.shape) - luma).max() < 0.6
    half = size // 2
    for part, plane in zip(np.split(blocks[size**2 :], 2), chroma, strict=True):
        wanted = plane.reshape(rows * half, 2, columns * half, 2).mean((1, 3))
        found = part.reshape(half, half, rows, columns).transpose(2, 0, 3, 1)
        assert np.abs(found.reshape(wanted.shape) - wanted).max() < 0.6


def test_a_network_that_does_more_to_its_picture_first_takes_yuv_as_well() -> None:
    b = small.Builder()
    x = b.add("Relu", b.add("Sub", "in", b.floats(0.5)))
    x = small.one_node(b, b.conv(x, 3, 4, 3), 4)
    b.add("Sigmoid", b.conv(x, 4, 3, 3))
    plain = canonical(small.model(b, []))
    model = takes_yuv(plain, 0, 1)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    assert attribute(first, "kernel_shape", [1, 1]) == [1, 1]
    yuv = np.rint(small.to_yuv(small.picture()[0]))[None].astype(np.uint8)
    assert NORM in {node.op_type for node in model.graph.node}
    stylized = small.run(model, image=yuv)["stylized"]
    wanted = small.run(plain, image=small.picture())["stylized"]
    assert np.abs(stylized - wanted).mean() < 4 / 255  # the picture itself was rounded
