"""Both engines and the identity: sizes, blends, strength, colours, refusals."""

import functools
import hashlib
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import external_data_helper, helper, numpy_helper

from streamer.engine import onnx_network
from streamer.engine.backend import Backend
from streamer.engine.onnx_file import make_size_dynamic
from streamer.engine.onnx_network import OnnxNetwork
from streamer.engine.stylizer import Stylizer, StylizerSpec
from streamer.engine.torch_network import TorchNetwork
from streamer.errors import ModelError, UnknownStyleError
from streamer.frame import Image, Style
from streamer.i420 import Pixels, Planes, Weights, to_rgb
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile
from tests.support.networks import (
    fixed_network,
    model_file,
    negative_network,
    painting_network,
    planes_network,
    ranged_network,
    style_network,
)
from tests.support.pictures import picture

Load = Callable[..., Stylizer]
BACKENDS: tuple[Backend, ...] = ("onnx", "torch")


@pytest.fixture(params=["onnx", "torch"])
def load(request: pytest.FixtureRequest) -> Load:
    backend: Backend = request.param
    return lambda *models: StylizerSpec(backend, models=models).load()


@pytest.fixture
def planes(tmp_path: Path) -> ModelFile:
    return model_file(planes_network(tmp_path / "planes.onnx"), "i420", "invert", "halve")


@pytest.fixture
def negative(tmp_path: Path) -> ModelFile:
    path = negative_network(tmp_path / "negative.onnx")
    return model_file(path, "rgb255", "negative", name="negative")


def only(name: str, **changes: object) -> Style:
    return replace(Style(((name, 1.0),)), **changes)  # type: ignore[arg-type]


def difference(a: Image, b: Image, percentile: float = 100) -> float:
    return float(np.percentile(np.abs(a.data.astype(int) - b.data), percentile))


SIZES = [
    (16, 16),
    (17, 33),
    (64, 64),
    (101, 57),
    (4096, 16),
    (641, 359),
    (1919, 1079),
    (1920, 1080),
]


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back_at_its_size(
    load: Load, planes: ModelFile, negative: ModelFile, size: tuple[int, int]
) -> None:
    stylizer, image = load(planes, negative), picture(*size)
    inverted = stylizer.stylize(image, only("invert"))
    enlarged = min(size) > 360  # stylized smaller, for the sake of its strokes
    for shown, wanted in ((0, 255 - image.planes[0]), (1, image.planes[1])):
        away = np.abs(inverted.planes[shown].astype(int) - wanted)
        assert away.mean() < 3 if enlarged else not away.any()
    rgb, turned = to_rgb(image), to_rgb(stylizer.stylize(image, only("negative")))
    assert turned.shape == rgb.shape
    assert np.abs(turned.astype(int) - (255 - rgb)).mean() < 8


def test_what_is_too_large_is_painted_smaller_and_enlarged(
    load: Load, negative: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(800, 400)
    whole = load(negative).stylize(image, only("negative"))
    small = replace(LAYOUTS["rgb255"], max_pixels=20_000)
    monkeypatch.setitem(LAYOUTS, "rgb255", small)
    stylizer = load(negative)
    (network,) = stylizer._networks.values()
    assert isinstance(network, OnnxNetwork | TorchNetwork)
    stylize, sizes = network.run_rgb, list[tuple[int, ...]]()

    def watched(pictures: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]:
        sizes.extend(rgb.shape[:2] for rgb in pictures)
        return stylize(pictures, weights)

    monkeypatch.setattr(network, "run_rgb", watched)
    enlarged = stylizer.stylize(image, only("negative"))
    assert sizes == [(100, 200)]
    assert (enlarged.width, enlarged.height) == (800, 400)
    assert difference(whole, enlarged, 90) < 10


@pytest.mark.parametrize(
    ("size", "stylized"),
    [
        ((640, 360), (360, 640)),
        ((960, 540), (360, 640)),
        ((1280, 720), (360, 640)),
        ((720, 1280), (640, 360)),
        ((3840, 2160), (1080, 1920)),
    ],
)
def test_strokes_grow_with_the_picture_up_to_twice_their_size(
    planes: ModelFile,
    size: tuple[int, int],
    stylized: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stylizer, image = StylizerSpec("onnx", models=(planes,)).load(), picture(*size)
    (network,) = stylizer._networks.values()
    assert isinstance(network, OnnxNetwork)
    stylize, sizes = network.run_i420, list[tuple[int, ...]]()

    def watched(pairs: Sequence[Planes], weights: Sequence[Weights]) -> list[Planes]:
        sizes.extend(y.shape[2:] for y, _ in pairs)
        return stylize(pairs, weights)

    monkeypatch.setattr(network, "run_i420", watched)
    inverted = stylizer.stylize(image, only("invert"))
    assert sizes == [stylized]
    assert (inverted.width, inverted.height) == size
    assert np.abs(inverted.planes[0].astype(int) - (255 - image.planes[0])).mean() < 3


def test_many_at_once_are_painted_as_each_alone(
    load: Load, planes: ModelFile, negative: ModelFile
) -> None:
    stylizer = load(planes, negative)
    sizes = [(64, 48), (96, 64), (64, 48), (64, 48), (96, 64)]
    images = [picture(*size) for size in sizes]
    styles = [
        only("invert"),
        only("negative"),
        Style((("halve", 0.5), ("negative", 0.5)), 0.7, preserve_color=True),
        only("none"),
        Style((("invert", 0.25), ("halve", 0.75))),
    ]
    together = [one.image for one in stylizer.stylize_all(images, styles)]
    for image, style, stylized in zip(images, styles, together, strict=True):
        assert difference(stylizer.stylize(image, style), stylized) == 0
    assert len({image.data.tobytes() for image in together}) == len(images)


@pytest.mark.parametrize("name", ["starry", "starry@multistyle26"])
def test_torch_runs_those_of_one_size_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = Catalogue.load().find(name)
    stylizer = StylizerSpec("torch", models=(model,)).load()
    (network,) = stylizer._networks.values()
    assert isinstance(network, TorchNetwork)
    graph = MagicMock(side_effect=network._graph, inputs=network._graph.inputs)
    monkeypatch.setattr(network, "_graph", graph)
    images = [picture(96, 64, seed) for seed in range(3)]
    styles = [only(name), only(name), Style(((name, 0.5), ("mosaic", 0.5)))]
    together = [one.image for one in stylizer.stylize_all(images, styles)]
    graph.assert_called_once()
    for image, style, stylized in zip(images, styles, together, strict=True):
        assert difference(stylizer.stylize(image, style), stylized) <= 1


def test_runs_are_no_larger_than_one_large_picture(
    negative: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(LAYOUTS["rgb255"], max_pixels=2 * 64 * 48 + 1)
    monkeypatch.setitem(LAYOUTS, "rgb255", small)
    stylizer = StylizerSpec("torch", models=(negative,)).load()
    (network,) = stylizer._networks.values()
    assert isinstance(network, TorchNetwork)
    watched = MagicMock(side_effect=network.run_rgb)
    monkeypatch.setattr(network, "run_rgb", watched)
    images = [picture(64, 48, seed) for seed in range(5)]
    stylized = [one.image for one in stylizer.stylize_all(images, [only("negative")] * 5)]
    assert [len(call.args[0]) for call in watched.call_args_list] == [2, 2, 1]
    for image, negative_of in zip(stylized, images, strict=True):
        assert difference(stylizer.stylize(negative_of, only("negative")), image) == 0


def test_a_blend_within_a_model_is_one_run_of_it(load: Load, planes: ModelFile) -> None:
    image = picture(64, 48)
    blended = load(planes).stylize(image, Style((("invert", 0.25), ("halve", 0.75))))
    luma = image.planes[0].astype(float)
    assert np.abs(blended.planes[0] - (0.25 * (255 - luma) + 0.75 * 0.5 * luma)).max() <= 0.51


def test_a_blend_across_models_and_camera_is_the_sum_of_pictures(
    load: Load, planes: ModelFile, negative: ModelFile
) -> None:
    stylizer, image = load(planes, negative), picture(64, 48)
    style = Style((("invert", 0.5), ("negative", 0.3), ("none", 0.2)))
    alone = [stylizer.stylize(image, only(name)).data for name in ("invert", "negative")]
    expected = 0.5 * alone[0] + 0.3 * alone[1] + 0.2 * image.data
    assert np.abs(stylizer.stylize(image, style).data - expected).max() <= 1.01


def test_strength_mixes_with_the_camera(load: Load, planes: ModelFile) -> None:
    stylizer, image = load(planes), picture(50, 30)
    full = stylizer.stylize(image, only("invert"))
    weak = stylizer.stylize(image, only("invert", strength=0.25))
    assert np.abs(weak.data - (0.25 * full.data + 0.75 * image.data)).max() <= 0.51


def test_preserved_colour_is_the_cameras(load: Load, negative: ModelFile) -> None:
    stylizer, image = load(negative), picture(50, 30)
    plain = stylizer.stylize(image, only("negative"))
    kept = stylizer.stylize(image, only("negative", preserve_color=True))
    assert (kept.planes[0] == plain.planes[0]).all()
    assert (kept.planes[1] == image.planes[1]).all()
    assert (plain.planes[1] != image.planes[1]).any()


@pytest.mark.parametrize("style", [only("none"), only("invert", strength=0.0)])
def test_without_a_style_the_image_itself_comes_back(
    load: Load, planes: ModelFile, style: Style
) -> None:
    stylizer, image = load(planes), picture(50, 30)
    assert stylizer.stylize(image, style) is image


def test_styles_are_named_and_others_refused(load: Load, planes: ModelFile) -> None:
    stylizer = load(planes)
    assert {"none", "invert", "halve"} <= set(stylizer.styles)
    with pytest.raises(UnknownStyleError, match="vortex"):
        stylizer.stylize(picture(16, 16), only("vortex"))


def test_of_two_models_with_one_style_name_both_can_be_asked_for(
    load: Load, planes: ModelFile, negative: ModelFile
) -> None:
    again = replace(negative, styles=(replace(negative.styles[0], name="invert"),))
    stylizer, image = load(planes, again), picture(32, 32)
    first = stylizer.stylize(image, only("invert"))
    assert difference(first, stylizer.stylize(image, only("invert@tiny"))) == 0
    assert difference(first, stylizer.stylize(image, only("invert@negative"))) > 0


def test_the_identity_returns_the_image_whatever_the_style() -> None:
    stylizer, image = StylizerSpec("none").load(), picture(16, 16)
    assert stylizer.styles == ("none",)
    assert stylizer.stylize(image, only("mosaic")) is image


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_as_many_as_asked_for(planes: ModelFile, threads: int) -> None:
    StylizerSpec("torch", threads=threads, models=(planes,)).load()
    assert cv2.getNumThreads() == threads
    assert torch.get_num_threads() == threads


def test_cuda_where_there_is_none_is_said_in_words(planes: ModelFile) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ModelError, match="cuda"):
        StylizerSpec("torch", device="cuda", models=(planes,)).load()


def test_torch_that_is_not_installed_is_said_in_words(
    planes: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "streamer.engine.torch_network")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs torch: pip install 'streamer\[torch\]'"):
        StylizerSpec("torch", models=(planes,)).load()


def test_a_spec_travels_to_another_process(planes: ModelFile) -> None:
    spec = StylizerSpec("onnx", models=(planes,))
    assert pickle.loads(pickle.dumps(spec)) == spec


# --- the two engines agree ---------------------------------------------------------------------


def published(path: Path) -> Path:
    return fixed_network(path, 64)


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (painting_network, "rgb255"),
        (published, "rgb255"),
        (functools.partial(ranged_network, low=0, high=1, last="Sigmoid"), "rgb1"),
        (functools.partial(ranged_network, low=-1, high=1, last="Tanh"), "rgb2"),
        (functools.partial(style_network, styles=1), "i420"),
    ],
)
@pytest.mark.parametrize("size", [(160, 90), (64, 64), (101, 57)])
def test_engines_agree_on_every_layout(
    tmp_path: Path, make: Callable[[Path], Path], layout: LayoutName, size: tuple[int, int]
) -> None:
    path = make(tmp_path / "net.onnx")
    dynamic = onnx.load(path)
    make_size_dynamic(dynamic)
    onnx.save(dynamic, path)
    model, image = model_file(path, layout, "own"), picture(*size)
    stylized = [
        StylizerSpec(backend, models=(model,)).load().stylize(image, only("own"))
        for backend in BACKENDS
    ]
    assert all((p.width, p.height) == size for p in stylized)
    assert difference(stylized[0], stylized[1], 99) <= 2
    assert difference(stylized[0], image) > 15


@pytest.mark.parametrize(
    ("make", "layout"),
    [(painting_network, "rgb255"), (functools.partial(style_network, styles=1), "i420")],
)
def test_half_precision_paints_the_same(
    tmp_path: Path, make: Callable[[Path], Path], layout: LayoutName
) -> None:
    """As on GPUs, here on the CPU: nothing overflows, little is lost."""
    model, image = model_file(make(tmp_path / "net.onnx"), layout, "own"), picture(160, 90)
    assert_half_is_enough(model, only("own"), image)


def test_half_precision_is_enough_for_every_built_in_model() -> None:
    for model in Catalogue.load().models:
        for entry in model.styles[::5]:
            assert_half_is_enough(model, only(f"{entry.name}@{model.name}"), picture(160, 90))


def assert_half_is_enough(model: ModelFile, style: Style, image: Image) -> None:
    whole, half = (
        Stylizer({model: TorchNetwork(model, "cpu", 1, half)}).stylize(image, style)
        for half in (False, True)
    )
    assert difference(whole, half) > 0  # it did run in half precision
    assert difference(whole, half, 99) <= 4
    assert difference(whole, image, 50) > 1


def test_engines_agree_on_every_built_in_model() -> None:
    image = picture(128, 72)
    for built_in in Catalogue.load().models:
        model = replace(built_in, int8=None)  # one file, two engines
        names = [entry.name for entry in model.styles]
        styles = [only(names[0]), Style(tuple((name, 1 / len(names)) for name in names))]
        engines = [StylizerSpec(b, models=(model,)).load() for b in BACKENDS]
        for style in styles:
            stylized = [engine.stylize(image, style) for engine in engines]
            assert difference(stylized[0], stylized[1], 99) <= 2
            assert difference(stylized[0], image, 50) > 3


def test_eight_bits_look_like_float_in_every_built_in_style() -> None:
    image = picture(160, 96)
    for model in Catalogue.load().models:
        if model.int8 is not None:
            files = (replace(model, int8=None), model.int8)
            whole, bits = (StylizerSpec("onnx", models=(file,)).load() for file in files)
            for entry in model.styles:
                a, b = (one.stylize(image, only(entry.name)) for one in (whole, bits))
                assert np.abs(a.data.astype(int) - b.data).mean() < 5, entry.name


# --- float or 8 bits, whichever is faster here --------------------------------------------------


@pytest.mark.parametrize("slow", ["float", "int8"])
def test_of_two_forms_the_faster_one_paints(tmp_path: Path, slow: str) -> None:
    """One of the two does forty times the work of the other; what they stylize differs."""
    quick = model_file(style_network(tmp_path / "quick.onnx"), "i420", "a", "b")
    heavy = model_file(style_network(tmp_path / "heavy.onnx", repeat=80), "i420", "a", "b")
    both = replace(heavy, int8=quick) if slow == "float" else replace(quick, int8=heavy)
    image = picture(64, 64)
    wanted, other, chosen = (
        StylizerSpec("onnx", models=(model,)).load().stylize(image, only("a"))
        for model in (quick, heavy, both)
    )
    assert difference(wanted, other) > 0
    assert difference(chosen, wanted) == 0


@pytest.mark.parametrize(("float_s", "white"), [(1.3, 250), (0.9, 250), (0.7, 255)])
def test_near_a_tie_it_is_always_8_bits(
    planes: ModelFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    float_s: float,
    white: int,
) -> None:
    """Workers that chose differently would make the picture flicker."""
    model = onnx.load(planes.path)
    for constant in model.graph.initializer:
        if constant.name == "white":  # so that the two can be told apart
            constant.CopyFrom(numpy_helper.from_array(np.array(250, np.float32), "white"))
    onnx.save(model, tmp_path / "int8.onnx")
    both = replace(planes, int8=model_file(tmp_path / "int8.onnx", "i420", "invert", "halve"))
    monkeypatch.setattr(onnx_network, "_times_s", lambda *networks: (float_s, 1.0))
    image = picture(64, 64)
    stylized = StylizerSpec("onnx", models=(both,)).load().stylize(image, only("invert"))
    assert int(stylized.data[0]) + int(image.data[0]) == white


def test_where_8_bits_cannot_run_float_paints(
    planes: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(planes.path)
    model.graph.node[0].domain = "com.microsoft"
    model.graph.node[0].op_type = "OfTheFuture"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "int8.onnx")
    both = replace(planes, int8=model_file(tmp_path / "int8.onnx", "i420", "invert", "halve"))
    image = picture(64, 64)
    stylized = StylizerSpec("onnx", models=(both,)).load().stylize(image, only("invert"))
    assert (stylized.planes[0] == 255 - image.planes[0]).all()
    assert "using the slower float network" in caplog.text


def test_8_bits_that_are_damaged_are_refused(planes: ModelFile, tmp_path: Path) -> None:
    small = replace(planes, path=tmp_path / "int8.onnx")
    small.path.write_bytes(planes.path.read_bytes() + b"x")
    with pytest.raises(ModelError, match=r"int8\.onnx is damaged"):
        StylizerSpec("onnx", models=(replace(planes, int8=small),)).load()


# --- files that are refused --------------------------------------------------------------------


def test_a_damaged_file_is_refused(load: Load, planes: ModelFile) -> None:
    planes.path.write_bytes(planes.path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"damaged"):
        load(planes)


def test_a_missing_file_is_named(load: Load, planes: ModelFile) -> None:
    planes.path.unlink()
    with pytest.raises(ModelError, match=r"planes\.onnx"):
        load(planes)


def test_a_file_of_another_layout_is_refused(load: Load, planes: ModelFile) -> None:
    with pytest.raises(ModelError, match="inputs"):
        load(replace(planes, layout="rgb255"))


def test_a_style_the_network_has_no_place_for_is_refused(load: Load, planes: ModelFile) -> None:
    too_far = replace(planes.styles[0], index=2)
    with pytest.raises(ModelError, match="style number 2"):
        load(replace(planes, styles=(too_far,)))


def test_what_is_no_onnx_file_is_refused(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "letter.onnx"
    path.write_bytes(b"Dear Sir or Madam")
    with pytest.raises(ModelError, match="ONNX"):
        load(model_file(path, "rgb255", "letter"))


def test_weights_in_another_file_are_refused(load: Load, tmp_path: Path) -> None:
    model = onnx.load(str(painting_network(tmp_path / "inner.onnx")))
    external_data_helper.convert_model_to_external_data(
        model, location="secret.bin", size_threshold=0
    )
    path = tmp_path / "outer.onnx"
    onnx.save(model, str(path))
    assert (tmp_path / "secret.bin").exists()
    with pytest.raises(ModelError, match="weights in other files"):
        load(model_file(path, "rgb255", "outer"))


def test_a_tampered_built_in_model_is_refused(load: Load) -> None:
    (model, *_) = Catalogue.load().models
    wrong = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ModelError, match="SHA-256"):
        load(replace(model, sha256=wrong))


def test_memory_is_given_back_after_unusual_sizes(
    negative: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime keeps what a run needed: fine for a stream, not for photos of many sizes."""
    options = MagicMock(side_effect=ort.RunOptions)
    monkeypatch.setattr(ort, "RunOptions", options)
    stylizer = StylizerSpec("onnx", models=(negative,)).load()

    def given_back(width: int, height: int) -> bool:
        before = options.call_count
        stylizer.stylize(picture(width, height), only("negative"))
        return bool(options.call_count > before)

    streams = [(64, 48), (96, 64)]
    assert [given_back(*size) for size in streams * 2] == [True, True, False, False]
    assert all(given_back(64, 100 + 4 * i) for i in range(12))  # photos
    assert [given_back(*size) for size in streams * 2] == [True, True, False, False]
    assert [given_back(1920, 1200) for _ in range(2)] == [True, True]
