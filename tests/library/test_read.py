"""Files of a user's become styles: networks of every range, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from streamer.errors import ModelError, UsageError
from streamer.i420 import from_rgb, to_rgb
from streamer.library.add import import_model
from streamer.styles.catalogue import Catalogue
from tests.engine import small_networks
from tests.support.commands import Command
from tests.support.library import nothing_is_left, stylized
from tests.support.networks import (
    blending_network,
    fixed_network,
    float_tensor,
    ranged_network,
    save,
)
from tests.support.pictures import picture


@pytest.mark.parametrize(
    ("low", "high", "last", "layout"),
    [
        (0, 255, "", "rgb255"),
        (0, 1, "", "rgb1"),
        (-1, 1, "", "rgb2"),
        (0, 1, "Sigmoid", "rgb1"),
        (-1, 1, "Tanh", "rgb2"),
    ],
)
def test_the_range_of_a_network_is_found_out(
    tmp_path: Path, low: float, high: float, last: str, layout: str
) -> None:
    path = ranged_network(tmp_path / "Own Net.onnx", low, high, last)
    assert import_model(path) == ("own-net",)
    assert Catalogue.load().find("own-net")[0].layout == layout
    image = picture(97, 55)
    rgb = to_rgb(stylized("own-net", image)).astype(float)
    assert rgb.shape == (55, 97, 3)
    assert 110 < rgb.mean() < 145  # grey on average, and nothing near one end
    assert rgb.std() > 30


@pytest.mark.parametrize(("white", "layout"), [(255.0, "rgb255"), (1.0, "rgb1")])
def test_the_range_of_a_network_that_normalises_nothing(
    tmp_path: Path, white: float, layout: str
) -> None:
    """white - x: shown the wrong range, it answers outside of it."""
    sides = (1, 3, "h", "w")
    path = save(
        tmp_path / "negative.onnx",
        [helper.make_node("Sub", ["white", "x"], ["y"])],
        [float_tensor("x", *sides)],
        [float_tensor("y", *sides)],
        {"white": np.array(white, np.float32)},
    )
    import_model(path)
    assert Catalogue.load().find("negative")[0].layout == layout


def test_a_range_that_is_given_is_taken(tmp_path: Path) -> None:
    import_model(ranged_network(tmp_path / "net.onnx", 0, 255), values="0..1")
    assert Catalogue.load().find("net")[0].layout == "rgb1"
    with pytest.raises(UsageError, match=r"one of 0\.\.255, 0\.\.1, -1\.\.1, not 0\.\.2"):
        import_model(tmp_path / "net.onnx", name="other", values="0..2")


def test_a_network_for_one_size_paints_all(tmp_path: Path) -> None:
    import_model(fixed_network(tmp_path / "fixed.onnx", 64))
    for size in ((64, 64), (17, 33), (320, 180)):
        image = stylized("fixed", picture(*size))
        assert (image.width, image.height) == size
        assert image.data.std() > 5


def halving_network(path: Path, times: int) -> Path:
    """Halves both sides so many times, and doubles what is left as often."""
    factor = 2**times
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["small"], kernel_shape=[factor] * 2, strides=[factor] * 2
        ),
        helper.make_node("Resize", ["small", "", "scales"], ["y"], mode="nearest"),
    ]
    return save(
        path,
        nodes,
        [float_tensor("x", 1, 3, "h", "w")],
        [float_tensor("y", 1, 3, "h2", "w2")],
        {"scales": np.array([1, 1, factor, factor], np.float32)},
    )


@pytest.mark.parametrize(("times", "multiple"), [(2, 0), (3, 8), (5, 32)])
def test_a_network_that_halves_often_gets_sides_it_can_halve(
    tmp_path: Path, times: int, multiple: int
) -> None:
    import_model(halving_network(tmp_path / "deep.onnx", times))
    assert Catalogue.load().find("deep")[0].multiple == multiple
    image = picture(101, 75)
    coarse = stylized("deep", image)
    assert (coarse.width, coarse.height) == (101, 75)
    assert np.abs(coarse.data.astype(int) - image.data).mean() < 40  # in its place, not shifted


def test_a_network_that_is_not_folded_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import_model(halving_network(tmp_path / "plain.onnx", 1))
    assert "plain runs as it was published" in caplog.text and "no instance norms" in caplog.text
    caplog.clear()
    path = tmp_path / "normed.onnx"
    path.write_bytes(small_networks.deep(3))
    import_model(path)
    assert not caplog.text
    model = Catalogue.load().find("normed")[0]
    assert model.multiple == 8 and model.statistics is not None


def test_a_network_that_cannot_paint_every_size_is_refused(
    tmp_path: Path, models_dir: Path
) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = save(
        tmp_path / "stiff.onnx",
        nodes,
        [float_tensor("x", 1, 3, 64, 64)],
        [float_tensor("y", 1, 3, 64, 64)],
        {"shape": np.array([1, 3, 64, 64])},
    )
    with pytest.raises(ModelError, match=r"stiff\.onnx cannot stylize images of every size"):
        import_model(path)
    assert nothing_is_left(models_dir)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2]), "of another size"),
        (helper.make_node("Sqrt", ["x"], ["y"]), r"not numbers \(NaN\)"),
    ],
)
@pytest.mark.parametrize("values", [None, "-1..1"])
def test_a_network_that_answers_nonsense_is_refused(
    tmp_path: Path, models_dir: Path, node: onnx.NodeProto, text: str, values: str | None
) -> None:
    sides = (1, 3, "h", "w")
    tensors = [float_tensor("x", *sides)], [float_tensor("y", *sides)]
    path = save(tmp_path / "odd.onnx", [node], *tensors, {})
    with pytest.raises(ModelError, match=rf"odd\.onnx cannot stylize .*{text}"):
        import_model(path, values=values)
    assert nothing_is_left(models_dir)


def test_a_network_brings_the_names_of_its_styles(tmp_path: Path) -> None:
    path = blending_network(tmp_path / "own.onnx")
    assert import_model(path, name="plain") == ("plain-0", "plain-1")
    model = onnx.load(path)
    facts = {"styles": "mosaic,night", "license": "CC0-1.0", "source": "made from nothing"}
    helper.set_model_props(model, facts)
    onnx.save(model, path)
    assert import_model(path) == ("mosaic@own", "night")  # one of the names is taken
    kept, entry = Catalogue.load().find("night")
    assert (kept.license, kept.source, entry.index) == ("CC0-1.0", "made from nothing", 1)
    image = picture(64, 48)
    negative = from_rgb(255 - to_rgb(image))
    assert np.abs(stylized("mosaic@own", image).data.astype(int) - negative.data).max() <= 1


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ((("x", (1, 1, "h", "w")),), r"the inputs x \[1, 1, 'h', 'w'\]"),
        ((("x", (1, 3)),), r"the inputs x \[1, 3\]"),
        ((("a", (1, 3, "h", "w")), ("b", (1, 3, "h", "w"))), r"the inputs a .*, b "),
        ((("image", (1, 3, "h", "w")), ("style_weights", ("n",))), "must have a fixed length"),
    ],
)
def test_networks_of_another_kind_are_refused(
    tmp_path: Path, models_dir: Path, inputs: tuple[tuple[str, tuple[Any, ...]], ...], text: str
) -> None:
    names = [name for name, _ in inputs]
    nodes = [helper.make_node("Identity", names[:1], ["y"])]
    tensors = [float_tensor(name, *shape) for name, shape in inputs]
    path = save(tmp_path / "odd.onnx", nodes, tensors, [float_tensor("y", *inputs[0][1])], {})
    with pytest.raises(ModelError, match=text):
        import_model(path)
    assert nothing_is_left(models_dir)


@pytest.mark.parametrize("ending", [".pth", ".onnx", ".jpg"])
@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04" + bytes(100)])
def test_files_that_are_nothing_are_refused_in_one_line(
    tmp_path: Path, streamer: Command, models_dir: Path, ending: str, content: bytes
) -> None:
    path = tmp_path / f"empty{ending}"
    path.write_bytes(content)
    code, out, err = streamer("styles", "add", path)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("streamer: ")
    assert nothing_is_left(models_dir)
