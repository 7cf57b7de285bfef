"""One model: whose statistics are used, which come back, and pictures in tiles."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.engine import folded_model, onnxruntime_engine
from streamer.engine.canonical import NotFoldableError
from streamer.engine.folded_model import MARGIN_PX, TILE_PX, FoldedModel, _side, _tiles
from streamer.engine.folded_network import MULTIPLE, FoldedNetwork
from streamer.engine.pictures import pictures
from streamer.engine.program import Program
from streamer.errors import ModelError
from streamer.frame import Image
from streamer.statistics import Orders
from streamer.styles.model import ModelFile, StyleEntry
from tests.engine import small_networks as small

ONE = {"one": (0, 1.0)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded_model, "cache_dir", lambda: tmp_path / "cache")


@pytest.fixture
def model(tmp_path: Path) -> FoldedModel:
    return opened(small.network(), tmp_path)


def opened(data: bytes, folder: Path, multiple: int = 0, *, added: bool = False) -> FoldedModel:
    path = folder / "small.onnx"
    path.write_bytes(data)
    digest, entries = hashlib.sha256(data).hexdigest(), (StyleEntry("one", "One"),)
    file = ModelFile("small", path, digest, "rgb1", entries, multiple=multiple, added=added)
    return FoldedModel(file, ("onnxruntime",), 1, "CPU")


def picture(width: int, height: int) -> Image:
    data = np.concatenate([plane.ravel() for plane in pictures(width, height)[0]])
    return Image(width, height, data)


def order(
    *, known: bool = False, measure: bool = True, exact: bool = True, model: FoldedModel
) -> Orders:
    found = model.stylize(picture(128, 96), ONE, 0.0, None)[1]["one"].whole
    assert found is not None
    names = frozenset({"one"})
    return Orders(
        0,
        {"one": found} if known else {},
        names if measure else frozenset(),
        names if exact else frozenset(),
    )


def test_the_first_frame_comes_with_exact_statistics_and_those_of_a_small_copy(
    model: FoldedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded_model, "SMALL_PIXELS", 64 * 48)
    _, found = model.stylize(picture(128, 96), ONE, 0.0, order(model=model))
    one = found["one"]
    assert one.whole is not None and one.lines == 96
    assert not np.allclose(one.whole.mean, one.small.mean, atol=1e-4)


def test_a_running_stream_is_measured_on_the_small_copy_alone(model: FoldedModel) -> None:
    image = picture(128, 96)
    plain, none = model.stylize(
        image, ONE, 0.0, order(known=True, measure=False, exact=False, model=model)
    )
    same, found = model.stylize(image, ONE, 0.0, order(known=True, exact=False, model=model))
    assert none == {} and found["one"].whole is None
    assert np.array_equal(plain.data, same.data)


def test_a_picture_that_is_small_is_measured_once(model: FoldedModel) -> None:
    _, found = model.stylize(picture(128, 96), ONE, 0.0, order(model=model))
    assert found["one"].small is found["one"].whole


def test_nothing_has_to_be_prepared_after_preparing(model: FoldedModel) -> None:
    image = picture(160, 120)
    assert not model.ready(image.size, ONE)
    model.prepare(image.size, ONE)
    assert model.ready(image.size, ONE)


def test_tiles_show_what_one_run_shows(model: FoldedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(320, 240)
    orders = order(known=True, measure=False, exact=False, model=model)
    whole, _ = model.stylize(image, ONE, 0.0, orders)
    for name, value in {"WHOLE_PIXELS": 10_000, "TILE_PX": 192, "MARGIN_PX": 48}.items():
        monkeypatch.setattr(folded_model, name, value)
    tiled, _ = model.stylize(image, ONE, 0.0, orders)
    assert np.abs(tiled.data.astype(int) - whole.data).max() <= 1


def test_what_an_engine_refuses_runs_as_it_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("an unknown operator")

    assert opened(small.network(), tmp_path, added=True).styles == 1
    monkeypatch.setattr(FoldedNetwork, "_compile", refuse)
    with pytest.raises(NotFoldableError, match="unknown operator"):
        opened(small.network(), tmp_path, added=True)


@pytest.mark.parametrize(("size", "halvings"), [((100, 76), 4), ((40, 130), 4), ((100, 76), 5)])
def test_networks_with_a_deep_middle_take_images_of_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], halvings: int
) -> None:
    model = opened(small.deep(halvings), tmp_path, multiple=2**halvings)
    image = picture(*size)
    whole, found = model.stylize(image, ONE, 0.0, None)
    assert whole.size == size and found["one"].whole is not None
    model.prepare(size, ONE)
    assert model.ready(size, ONE)
    for name, value in {"WHOLE_PIXELS": 3_000, "TILE_PX": 64, "MARGIN_PX": 16}.items():
        monkeypatch.setattr(folded_model, name, value)
    in_tiles, _ = model.stylize(image, ONE, 0.0, None)
    assert in_tiles.size == size


def test_a_large_photo_is_stylized_beyond_its_border(
    model: FoldedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On more threads; its inside is as before, and the sizes that it took are given back."""
    image, threads = picture(320, 240), list[int]()

    class Run(onnxruntime_engine.OnnxRuntimeRun):
        def __init__(self, made: Program, width: int, height: int, count: int) -> None:
            super().__init__(made, width, height, count)
            threads.append(count)

    monkeypatch.setattr(onnxruntime_engine, "OnnxRuntimeRun", Run)
    before, _ = model.stylize(image, ONE, 0.0, None)
    assert set(threads) == {1}
    threads.clear()
    monkeypatch.setattr(folded_model, "PHOTO_PIXELS", 10_000)
    photo, _ = model.stylize(image, ONE, 0.0, None, photo_threads=3)
    assert (photo.width, photo.height) == (320, 240) and set(threads) == {3}
    off = np.abs(photo.planes[0].astype(int) - before.planes[0])
    assert off[64:-64, 64:-64].mean() < 4
    assert not model.ready((320 + 2 * MARGIN_PX, 240 + 2 * MARGIN_PX), ONE)


@given(st.integers(8, 3000), st.sampled_from([MULTIPLE, 8, 64]))
def test_tiles_cover_a_side_once_with_a_margin(parts: int, multiple: int) -> None:
    shown, length = 0, parts * multiple
    for start, part in _tiles(length, multiple):
        assert part.start == shown and part.stop > part.start
        assert start % 2 == part.start % 2 == part.stop % 2 == 0
        assert start >= 0 and start + _side(length, multiple) <= length
        assert part.start - start >= (0 if start == 0 else MARGIN_PX)
        assert start + TILE_PX - part.stop >= (0 if part.stop == length else MARGIN_PX)
        shown = part.stop
    assert shown == length
