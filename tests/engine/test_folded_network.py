import importlib.util
import os
import subprocess
import sys
import threading
from typing import Any

import cv2
import numpy as np
import pytest

from streamer.engine import folded_network
from streamer.engine.canonical import NotFoldableError, canonical
from streamer.engine.folded_network import Engine, FoldedNetwork, Planes, unpacked
from streamer.engine.graph import Graph
from streamer.engine.pictures import pictures
from streamer.engine.program import Program, program, quantized_tensors
from streamer.engine.steady import read_steps
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import LAYOUTS
from tests.engine import small_networks as small

WIDTH, HEIGHT = 192, 128
HERE: list[Engine] = ["onnxruntime"]
if importlib.util.find_spec("openvino"):
    HERE += ["openvino-f32", "openvino-int8"]  # bfloat16 is emulated, slowly, on most machines


def shown(seed: int = 0) -> Planes:
    return pictures(WIDTH, HEIGHT)[seed]


def published(
    data: bytes, planes: Planes, white: float = 1, black: float = 0, **weights: np.ndarray
) -> np.ndarray:
    """What the network as it was published makes of a picture, as I420."""
    size = planes[0].shape[::-1]
    yuv = np.stack([planes[0], *(cv2.resize(plane, size) for plane in planes[1:])])
    image = (black + (white - black) * small.to_rgb(yuv))[None].astype(np.float32)
    (stylized,) = small.run(data, **{"in": image}, **weights).values()
    y, *chroma = small.to_yuv((stylized[0] - black) / (white - black))
    halves = [c.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)) for c in chroma]
    return np.concatenate([plane.ravel() for plane in (y, *halves)])


def off(ours: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference of luma and of chroma, inside of the border, the greater one."""
    both = np.abs(ours.astype(float) - wanted)
    luma = both[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)[8:-8, 8:-8]
    chroma = both[WIDTH * HEIGHT :].reshape(2, HEIGHT // 2, WIDTH // 2)[:, 4:-4, 4:-4]
    return float(max(luma.mean(), chroma.mean()))


@pytest.mark.parametrize("engine", HERE)
def test_with_its_own_statistics_a_picture_is_the_published_networks(engine: Engine) -> None:
    data = small.network()
    network = FoldedNetwork(data, 0, 1, engine)
    wanted = published(data, shown())
    measured = network.measure(shown(), None)
    again = network.stylize(shown(), None, measured.statistics)
    most = 5 if engine == "openvino-int8" else 2
    assert off(measured.data, wanted) < most
    assert off(again, wanted) < most
    assert network.channels == measured.statistics.mean.size == 50


@pytest.mark.parametrize("engine", HERE)
@pytest.mark.parametrize("form", small.FORMS)
def test_other_forms_of_networks_are_folded_as_well(form: str, engine: Engine) -> None:
    b = small.Builder()
    small.FORMS[form](b)
    data = small.model(b, [])
    network = FoldedNetwork(data, 0, 1, engine)
    wanted = published(data, shown())
    measured = network.measure(shown(), None)
    most = 5 if engine == "openvino-int8" else 2
    assert off(measured.data, wanted) < most
    assert off(network.stylize(shown(), None, measured.statistics), wanted) < most


@pytest.mark.parametrize("form", ["black_around", "ones_around"])
@pytest.mark.parametrize("engine", HERE)
def test_what_is_around_a_picture_shows_at_its_border_only_as_it_should(
    form: str, engine: Engine
) -> None:
    b = small.Builder()
    small.FORMS[form](b)
    data = small.model(b, [])
    ours, wanted = (
        FoldedNetwork(data, 0, 1, engine).measure(shown(), None),
        published(data, shown()),
    )
    rows = np.abs(ours.data.astype(float) - wanted)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
    assert rows[-4:].mean() < (3 if engine == "openvino-int8" else 1)


@pytest.mark.parametrize("engine", HERE)
def test_values_below_zero_are_kept(engine: Engine) -> None:
    b = small.Builder()
    small.transposed(b)
    b.nodes[-1].op_type = "Tanh"
    data = small.model(b, [])
    measured = FoldedNetwork(data, -1, 1, engine).measure(shown(), None)
    most = 5 if engine == "openvino-int8" else 2
    assert off(measured.data, published(data, shown(), 1, -1)) < most


def test_norms_of_rows_that_no_convolution_gives_are_not_folded() -> None:
    b = small.Builder()
    x = b.add("Relu", b.conv("in", 3, 4, 3))
    b.add("Sigmoid", b.conv(small.together(b, x, 4), 4, 3, 3))
    with pytest.raises(NotFoldableError, match="something else"):
        FoldedNetwork(small.model(b, []), 0, 1, "onnxruntime")


@pytest.mark.parametrize("engine", HERE)
def test_statistics_of_another_picture_make_another_picture(engine: Engine) -> None:
    network = FoldedNetwork(small.network(), 0, 1, engine)
    own, other = (network.measure(shown(i), None).statistics for i in (0, 1))
    ours, theirs = (network.stylize(shown(), None, s) for s in (own, other))
    between = network.stylize(shown(), None, own.toward(other, 0.5))
    assert off(ours, theirs) > 2
    assert off(between, ours) < off(theirs, ours)
    assert np.array_equal(network.stylize(shown(), None, own), ours)


@pytest.mark.parametrize("engine", HERE)
def test_blends_of_styles_need_no_compiling(engine: Engine) -> None:
    data = small.network(small.styled)
    network = FoldedNetwork(data, 0, 1, engine)
    assert network.styles == small.STYLES
    blends = [np.array(w, np.float32) for w in ((1, 0, 0), (0, 0, 1), (0.3, 0, 0.7))]
    network.prepare(WIDTH, HEIGHT, blends[0])
    assert network.ready(WIDTH, HEIGHT, blends[0])
    assert not network.ready(WIDTH, HEIGHT, blends[1])
    assert not network.ready(WIDTH // 2, HEIGHT, blends[0])
    for blend in blends:
        wanted = published(data, shown(), style_weights=blend)
        assert off(network.measure(shown(), blend).data, wanted) < 5
    assert network.ready(WIDTH, HEIGHT, blends[2])


@pytest.mark.parametrize("engine", HERE)
def test_a_flat_picture_has_no_variance_and_breaks_nothing(engine: Engine) -> None:
    network = FoldedNetwork(small.network(), 0, 1, engine)
    flat = tuple(np.full_like(plane, 90) for plane in shown())
    found = network.measure((flat[0], flat[1], flat[2]), None).statistics
    assert np.isfinite(found.mean).all() and np.isfinite(found.log_variance).all()
    assert found.variance[:8].max() < 1e-3
    network.stylize(shown(), None, found)


def test_values_of_0_to_255_and_sizes_of_all_kinds() -> None:
    data = small.network(white=255)
    network = FoldedNetwork(data, 0, 255, HERE[0])
    wanted = published(data, shown(), white=255)
    assert off(network.measure(shown(), None).data, wanted) < 2
    for width, height in ((64, 128), (200, 40), (100, 68)):
        assert (
            network.measure(pictures(width, height)[0], None).data.size == width * height * 3 // 2
        )


def test_other_sides_are_refused() -> None:
    network = FoldedNetwork(small.network(), 0, 1, HERE[0])
    with pytest.raises(ValueError, match="66x64"):
        network.prepare(66, 64)


def test_what_is_prepared_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FoldedNetwork(small.network(small.styled), 0, 1, HERE[0])
    first, second = np.eye(3, dtype=np.float32)[:2]
    own = network.measure(shown(), first).statistics
    network.prepare(WIDTH, HEIGHT, first)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(name: str) -> None:
        original = getattr(network, name)

        def wait(*arguments: object) -> object:
            begun.set()
            assert go_on.wait(10)
            return original(*arguments)

        monkeypatch.setattr(network, name, wait)

    slowly("_compile")
    monkeypatch.setattr(folded_network, "canonical", lambda *a: go_on.wait(10) and canonical(*a))
    beside = [
        threading.Thread(target=network.prepare, args=(64, 64, first)),
        threading.Thread(target=network.prepare, args=(WIDTH, HEIGHT, second)),
    ]
    for thread in beside:
        thread.start()
    assert begun.wait(10)
    network.stylize(shown(), first, own)  # neither the one nor the other is waited for
    assert all(thread.is_alive() for thread in beside)
    go_on.set()
    for thread in beside:
        thread.join()
    assert network.ready(64, 64, first) and network.ready(WIDTH, HEIGHT, second)


def test_only_so_many_pixels_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded_network, "_LEAST_PIXELS", 0)
    monkeypatch.setattr(folded_network, "_KEPT_PIXELS", 2 * 64 * (88 + 96 + 104))
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    sizes = [(64 + 8 * i, 64) for i in range(6)]
    for size in sizes:
        network.prepare(*size)
    assert [network.ready(*size) for size in sizes] == [False] * 3 + [True] * 3


def test_small_photos_do_not_take_the_place_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded_network, "_LEAST_PIXELS", 0)
    monkeypatch.setattr(folded_network, "_KEPT_PIXELS", 2 * 64 * 64 + WIDTH * HEIGHT)
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    network.prepare(64, 64)
    for width in (WIDTH, WIDTH - 8, WIDTH - 16):
        assert network.ready(64, 64), "asked before each frame; it measures only now and then"
        network.measure(pictures(width, HEIGHT)[0], None)
    assert network.ready(64, 64) and len(network._runs) == 3


@pytest.mark.parametrize(
    ("recent_s", "spare", "kept"),
    [(60.0, 0, [True, True]), (0.0, 0, [False, True]), (60.0, 2**60, [False, True])],
    ids=["in use", "no longer in use", "no memory"],
)
def test_a_large_photo_takes_the_place_of_no_size_in_use(
    monkeypatch: pytest.MonkeyPatch, recent_s: float, spare: int, kept: list[bool]
) -> None:
    monkeypatch.setattr(folded_network, "_SPARE_BYTES", spare)
    monkeypatch.setattr(folded_network, "_LEAST_PIXELS", 0)
    monkeypatch.setattr(folded_network, "_KEPT_PIXELS", 2 * 64 * (64 + 72))
    monkeypatch.setattr(folded_network, "_RECENT_S", recent_s)
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    compiled = list[Any]()
    compile_ = network._compile

    def count(*args: Any) -> Any:
        compiled.append(args)
        return compile_(*args)

    monkeypatch.setattr(network, "_compile", count)
    sizes = [(64, 64), (72, 64)]
    for size in sizes:
        network.prepare(*size)
    del compiled[:]
    with network.spread([(WIDTH, HEIGHT)], 2):
        for _ in range(2):
            network.measure(shown(), None)
        assert len(compiled) == 1, "it is compiled once"
        network.stylize(shown(), None, network.measure(shown(), None).statistics)
        assert len(network._brief) == 1, "one form at a time"
    assert [network.ready(*size) for size in sizes] == kept
    assert not network._brief and not network.ready(WIDTH, HEIGHT)


def test_one_size_is_kept_however_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded_network, "_KEPT_PIXELS", 1)
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    network.prepare(64, 64)
    network.prepare(72, 64)
    assert network.ready(72, 64) and not network.ready(64, 64)


def test_another_device_gets_its_name_and_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graphics processor multiplies float16, where a CPU has bfloat16."""
    engine = pytest.importorskip("streamer.engine.openvino_engine")
    asked: list[tuple[str, str]] = []

    class Fake(engine.OpenVinoRun):  # type: ignore[misc, name-defined]
        def __init__(self, *given: object, hint: str, threads: int, device: str) -> None:
            asked.append((device, hint))
            super().__init__(*given, hint="f32", threads=threads, device="CPU")

    monkeypatch.setattr(engine, "OpenVinoRun", Fake)
    for device in ("GPU", "CPU"):
        network = FoldedNetwork(small.network(), 0, 1, "openvino-bf16", device=device)
        network.measure(shown(), None)
    assert set(asked) == {("GPU", "f16"), ("CPU", "bf16")}


def test_a_network_without_norms_is_told_apart() -> None:
    b = small.Builder()
    b.add("Relu", b.conv("in", 3, 3, 3))
    with pytest.raises(NotFoldableError):
        FoldedNetwork(small.model(b, []), 0, 1, HERE[0])


def test_in_8_bits_all_that_convolutions_read_is_whole_numbers() -> None:
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    model = network._model
    made = program(model, int8=True)
    graph = Graph(made.model)
    assert made.tensors == len(quantized_tensors(Graph(model))) == 9
    for conv in (node for node in graph.nodes if node.op_type == "Conv"):
        source = graph.maker(conv.input[0])
        while source is not None and source.op_type == "Pad":
            source = graph.maker(source.input[0])
        weight = graph.maker(conv.input[1])
        assert source is not None and source.op_type == "DequantizeLinear"
        assert weight is not None and graph.constants[weight.input[0]].dtype == np.int8


def test_blocks_are_unpacked_to_planes() -> None:
    size, rows, columns = 4, 3, 5
    area = rows * columns * size**2
    data = np.random.default_rng(0).integers(0, 256, area * 3 // 2, np.uint8)
    width, height, half = columns * size, rows * size, size // 2
    luma = data[:area].reshape(rows, size, columns, size).transpose(0, 2, 1, 3)
    chroma = data[area:].reshape(2, rows, half, columns, half).transpose(1, 3, 0, 2, 4)
    parts = [part.reshape(1, rows, columns, -1) for part in (luma, chroma)]
    assert np.array_equal(unpacked(np.concatenate(parts, -1), width, height), data)


def test_8_bits_are_right_on_processors_without_vnni() -> None:
    """They add two products in 16 bits; weights of all 8 bits made every picture greenish."""
    code = """
import numpy as np
from streamer.engine.folded_network import FoldedNetwork
from streamer.engine.pictures import pictures
from streamer.styles.catalogue import Catalogue

model, entry = Catalogue.load().find("mosaic")
weights = np.eye(26, dtype=np.float32)[entry.index]
planes = pictures(320, 192)[0]
exact = FoldedNetwork(model.read(), 0, 1, "openvino-f32")
statistics = exact.measure(planes, weights).statistics
small = FoldedNetwork(model.read(), 0, 1, "openvino-int8")
a, b = (one.stylize(planes, weights, statistics).astype(int) for one in (exact, small))
luma = 320 * 192
print(np.abs(a - b)[:luma].mean(), np.abs(a - b)[luma:].mean())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    luma, chroma = map(float, done.stdout.split())
    assert luma < 5 and chroma < 3


def test_values_that_are_not_numbers_do_not_reach_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FoldedNetwork(small.network(), 0, 1, HERE[0])
    nothing = np.full(network.channels, np.nan, np.float32)
    monkeypatch.setattr(Program, "moments", lambda *args: (nothing, nothing))
    with pytest.raises(FloatingPointError, match="not numbers"):
        network.measure(shown(), None)


def test_what_is_kept_compiled_is_bounded_however_small_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, most = FoldedNetwork(small.network(), 0, 1, HERE[0]), 0
    monkeypatch.setattr(network, "_compile", lambda *args: object())
    for side in range(64, 64 + 8 * 80, 8):
        network._run(side, 64, exact=False)
        most = max(most, len(network._runs))
    assert most == folded_network._KEPT_PIXELS // folded_network._LEAST_PIXELS
    assert (side, 64, False) in network._runs


@pytest.mark.parametrize("name", ["mosaic", "great-wave"])
def test_the_steps_that_come_with_a_model_are_those_that_would_be_measured(name: str) -> None:
    """After a change of the network's form: python -m streamer.engine.steady."""
    model, entry = Catalogue.load().find(name)
    layout = LAYOUTS[model.layout]
    assert model.statistics is not None
    network = FoldedNetwork(model.read(), layout.black, layout.white, "openvino-int8")
    measured = network._style(entry.index)[1]
    assert read_steps(model.statistics)[entry.index] == pytest.approx(measured, rel=0.01)


def test_steps_of_another_form_of_the_network_are_measured_anew() -> None:
    model, entry = Catalogue.load().find("mosaic")
    layout = LAYOUTS[model.layout]
    known = [[1.0, 2.0]] * 26
    network = FoldedNetwork(model.read(), layout.black, layout.white, "openvino-int8", steps=known)
    assert len(network._style(entry.index)[1]) > 2
