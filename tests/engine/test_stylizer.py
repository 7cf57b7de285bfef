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
from onnx import external_data_helper

from streamer.engine.backend import Backend
from streamer.engine.folded_model import FoldedModel
from streamer.engine.onnx_file import make_size_dynamic
from streamer.engine.onnx_network import OnnxNetwork
from streamer.engine.stylizer import Stylizer, StylizerSpec, Task
from streamer.engine.torch_network import TorchNetwork
from streamer.errors import ModelError, UnknownStyleError
from streamer.frame import Image, Style
from streamer.i420 import Pixels, Weights, from_rgb, resize, to_rgb
from streamer.statistics import Orders
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile
from tests.support.networks import (
    blending_network,
    fixed_network,
    model_file,
    nan_network,
    negative_network,
    painting_network,
    ranged_network,
)
from tests.support.pictures import picture

Load = Callable[..., Stylizer]
BACKENDS: tuple[Backend, ...] = ("onnx", "torch")


@pytest.fixture(params=["onnx", "torch"])
def load(request: pytest.FixtureRequest) -> Load:
    backend: Backend = request.param
    return lambda *models: StylizerSpec(backend, models=models).load()


@pytest.fixture
def two(tmp_path: Path) -> ModelFile:
    return model_file(blending_network(tmp_path / "two.onnx"), "rgb26", "invert", "halve")


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
    load: Load, two: ModelFile, negative: ModelFile, size: tuple[int, int]
) -> None:
    stylizer, image = load(two, negative), picture(*size)
    for style in ("invert", "negative"):
        stylized = stylizer.stylize(image, only(style))
        assert (stylized.width, stylized.height) == size
        most = 4 if size[0] % 2 or size[1] % 2 else 1  # the last chroma covers padding, too
        assert difference(stylized, from_rgb(255 - to_rgb(image))) <= most


def test_what_is_not_a_number_is_no_picture(load: Load, tmp_path: Path) -> None:
    stylizer = load(model_file(nan_network(tmp_path / "nan.onnx"), "rgb255", "void"))
    with pytest.raises(FloatingPointError, match=r"not numbers \(NaN\)"):
        stylizer.stylize(picture(64, 48), only("void"))


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


def test_many_at_once_are_painted_as_each_alone(
    load: Load, two: ModelFile, negative: ModelFile
) -> None:
    stylizer = load(two, negative)
    sizes = [(64, 48), (96, 64), (64, 48), (64, 48), (96, 64)]
    images = [picture(*size) for size in sizes]
    styles = [
        only("invert"),
        only("negative"),
        Style((("halve", 0.5), ("negative", 0.5)), 0.7, preserve_color=True),
        only("none"),
        Style((("invert", 0.25), ("halve", 0.75))),
    ]
    together = [one.image for one in stylizer.stylize_all(list(map(Task, images, styles)))]
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
    together = [one.image for one in stylizer.stylize_all(list(map(Task, images, styles)))]
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
    tasks = [Task(image, only("negative")) for image in images]
    stylized = [one.image for one in stylizer.stylize_all(tasks)]
    assert [len(call.args[0]) for call in watched.call_args_list] == [2, 2, 1]
    for image, negative_of in zip(stylized, images, strict=True):
        assert difference(stylizer.stylize(negative_of, only("negative")), image) == 0


def test_a_blend_within_a_model_is_one_run_of_it(load: Load, two: ModelFile) -> None:
    image = picture(64, 48)
    blended = load(two).stylize(image, Style((("invert", 0.25), ("halve", 0.75))))
    rgb = to_rgb(image).astype(float)
    wanted = from_rgb((0.25 * (255 - rgb) + 0.75 * 0.5 * rgb).round().astype(np.uint8))
    assert difference(blended, wanted) <= 1


def test_a_blend_across_models_and_camera_is_the_sum_of_pictures(
    load: Load, two: ModelFile, negative: ModelFile
) -> None:
    stylizer, image = load(two, negative), picture(64, 48)
    style = Style((("invert", 0.5), ("negative", 0.3), ("none", 0.2)))
    alone = [stylizer.stylize(image, only(name)).data for name in ("invert", "negative")]
    expected = 0.5 * alone[0] + 0.3 * alone[1] + 0.2 * image.data
    assert np.abs(stylizer.stylize(image, style).data - expected).max() <= 1.01


def test_networks_run_at_the_size_given_and_the_image_itself_stays_as_fine_as_it_is(
    load: Load, negative: ModelFile
) -> None:
    stylizer, image, size = load(negative), picture(128, 96), (64, 48)
    coarse = stylizer.stylize(image, only("negative"), size)
    small = stylizer.stylize(resize(image, *size), only("negative"))
    assert difference(coarse, resize(small, *image.size)) == 0
    weak = stylizer.stylize(image, only("negative", strength=0.25), size)
    assert np.abs(weak.data - (0.25 * coarse.data + 0.75 * image.data)).max() <= 0.51
    kept = stylizer.stylize(image, only("negative", preserve_color=True), size)
    assert (kept.planes[0] == coarse.planes[0]).all()
    assert (kept.planes[1] == image.planes[1]).all()


def test_strength_mixes_with_the_camera(load: Load, two: ModelFile) -> None:
    stylizer, image = load(two), picture(50, 30)
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


@pytest.mark.parametrize(
    ("style", "paints"),
    [
        (only("none"), False),
        (only("invert", strength=0.0), False),
        (Style((("none", 0.9), ("invert", 0.1))), True),
        (only("invert"), True),
    ],
)
def test_it_says_whether_a_network_runs(
    load: Load, two: ModelFile, style: Style, paints: bool
) -> None:
    assert load(two).paints(style) == paints


@pytest.mark.parametrize("style", [only("none"), only("invert", strength=0.0)])
def test_without_a_style_the_image_itself_comes_back(
    load: Load, two: ModelFile, style: Style
) -> None:
    stylizer, image = load(two), picture(50, 30)
    assert stylizer.stylize(image, style) is image


def test_styles_are_named_and_others_refused(load: Load, two: ModelFile) -> None:
    stylizer = load(two)
    assert {"none", "invert", "halve"} <= set(stylizer.styles)
    with pytest.raises(UnknownStyleError, match="vortex"):
        stylizer.stylize(picture(16, 16), only("vortex"))


def test_of_two_models_with_one_style_name_both_can_be_asked_for(
    load: Load, two: ModelFile, negative: ModelFile
) -> None:
    again = replace(negative, styles=(replace(negative.styles[0], name="halve"),))
    stylizer, image = load(two, again), picture(32, 32)
    first = stylizer.stylize(image, only("halve"))
    assert difference(first, stylizer.stylize(image, only("halve@tiny"))) == 0
    assert difference(first, stylizer.stylize(image, only("halve@negative"))) > 0


def test_the_identity_returns_the_image_whatever_the_style() -> None:
    stylizer, image = StylizerSpec("none").load(), picture(16, 16)
    assert stylizer.styles == ("none",)
    assert stylizer.stylize(image, only("mosaic")) is image


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_as_many_as_asked_for(two: ModelFile, threads: int) -> None:
    StylizerSpec("torch", threads=threads, models=(two,)).load()
    assert cv2.getNumThreads() == threads
    assert torch.get_num_threads() == threads


def test_cuda_where_there_is_none_is_said_in_words(two: ModelFile) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ModelError, match="cuda"):
        StylizerSpec("torch", device="cuda", models=(two,)).load()


def test_torch_that_is_not_installed_is_said_in_words(
    two: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "streamer.engine.torch_network")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs torch; .*pip install '\.\[torch\]'"):
        StylizerSpec("torch", models=(two,)).load()


def test_a_spec_travels_to_another_process(two: ModelFile) -> None:
    spec = StylizerSpec("onnx", models=(two,))
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


def test_half_precision_paints_the_same(tmp_path: Path) -> None:
    """As on GPUs, here on the CPU: nothing overflows, little is lost."""
    model = model_file(painting_network(tmp_path / "net.onnx"), "rgb255", "own")
    assert_half_is_enough(model, only("own"), picture(160, 90))


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
    for model in Catalogue.load().models:
        names = [entry.name for entry in model.styles]
        styles = [only(names[0]), Style(tuple((name, 1 / len(names)) for name in names))]
        engines = [StylizerSpec(b, models=(model,)).load() for b in BACKENDS]
        for style in styles:
            stylized = [engine.stylize(image, style) for engine in engines]
            assert difference(stylized[0], stylized[1], 99) <= 2
            assert difference(stylized[0], image, 50) > 3


# --- files that are refused --------------------------------------------------------------------


def test_a_damaged_file_is_refused(load: Load, two: ModelFile) -> None:
    two.path.write_bytes(two.path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"damaged"):
        load(two)


def test_a_missing_file_is_named(load: Load, two: ModelFile) -> None:
    two.path.unlink()
    with pytest.raises(ModelError, match=r"two\.onnx"):
        load(two)


def test_a_file_of_another_layout_is_refused(load: Load, two: ModelFile) -> None:
    with pytest.raises(ModelError, match="inputs"):
        load(replace(two, layout="rgb255"))


def test_a_style_the_network_has_no_place_for_is_refused(load: Load, two: ModelFile) -> None:
    too_far = replace(two.styles[0], index=2)
    with pytest.raises(ModelError, match="style number 2"):
        load(replace(two, styles=(too_far,)))


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


def test_a_photo_has_all_cores_unless_somebody_is_live(two: ModelFile) -> None:
    model = MagicMock(spec=FoldedModel, engine="none", styles=2)
    model.stylize = MagicMock(return_value=(picture(16, 16), {}))
    stylizer = Stylizer({two: model}, None, 1, 4)
    photo = Task(picture(16, 16), Style((("halve", 1.0),)))
    live = replace(photo, orders=Orders(0, {}, frozenset(), stream=7))
    film = replace(photo, orders=Orders(0, {}, frozenset()))
    for task in (photo, film, photo, live, photo):
        stylizer.stylize_all([task])
    assert [call.args[-1] for call in model.stylize.call_args_list] == [4, 4, 4, 1, 1]
