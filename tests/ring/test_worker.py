import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.engine.stylizer import Identity, Stylized, Task
from streamer.errors import ModelError, UnknownStyleError
from streamer.frame import Frame, Image, Size, Style, i420_size
from streamer.i420 import resize, size_at
from streamer.ring.ring import Ring
from streamer.ring.worker import STREAMS, Worker
from streamer.statistics import Orders
from streamer.styles.model import names_of
from tests.support.fakes import VIDEO, Gate, ThreadWorkers, four_at_a_gate

STYLE = Style((("a", 1.0),))


class Recorder(Identity):
    """Remembers at which size it was asked to stylize; stylizes it white."""

    def __init__(self) -> None:
        self.calls: list[tuple[Size | None, Style]] = []

    def paints(self, style: Style) -> bool:
        return bool(names_of(style.blend))

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        self.calls.append((size, style))
        return Image(image.width, image.height, np.full_like(image.data, 235))


def picture(width: int, height: int) -> Image:
    """Left half dark, right half bright."""
    image = Image(width, height, np.full(i420_size(width, height), 128, np.uint8))
    luma = image.planes[0]
    luma[:, : width // 2], luma[:, width // 2 :] = 16, 235
    return image


def test_a_worker_is_warm_with_the_style_it_will_be_asked_for() -> None:
    stylizer, warm = Recorder(), Style((("a", 1.0),))
    Worker(lambda: stylizer, warm)
    assert stylizer.calls == [((640, 360), warm)] * 2  # the second one is timed


@pytest.mark.parametrize(
    ("size", "height_px", "stylized_at"),
    [
        ((640, 360), None, (640, 360)),
        ((640, 360), 180, (320, 180)),
        ((640, 360), 720, (640, 360)),  # never above the picture's own
        ((321, 181), 90, (160, 90)),
        ((720, 1280), 540, (540, 960)),  # an upright phone's, as fine as one that lies
        ((33, 1080), 180, (33, 1080)),
    ],
)
def test_it_stylizes_at_the_height_asked_for(
    size: Size, height_px: int | None, stylized_at: Size
) -> None:
    stylizer = Recorder()
    worker = Worker(lambda: stylizer, STYLE)
    frame = Frame(picture(*size), 0, VIDEO, 0.0, STYLE, height_px)
    stylized = worker.stylize(frame)
    assert stylized.image is not None
    assert stylizer.calls[-1] == (stylized_at, STYLE)
    assert stylized.image.size == size and stylized.height_px == min(stylized_at)
    assert set(stylized.image.data) == {235}
    assert stylized.inference_s >= 0


def test_without_networks_nothing_is_shrunk() -> None:
    worker = Worker(Identity, STYLE)
    frame = Frame(picture(1280, 720), 0, VIDEO, 0.0, STYLE, height_px=540)
    assert worker.stylize(frame).height_px == 720


def test_what_no_network_stylizes_stays_as_large_as_it_is() -> None:
    stylizer = Recorder()
    worker = Worker(lambda: stylizer, STYLE)
    frame = Frame(picture(1280, 720), 0, VIDEO, 0.0, Style(), height_px=540)
    assert worker.stylize(frame).height_px == 720
    assert stylizer.calls[-1] == ((1280, 720), Style())


@given(st.integers(2, 400), st.integers(2, 400), st.integers(1, 500))
def test_the_working_size_is_within_the_picture_and_keeps_its_shape(
    width: int, height: int, height_px: int
) -> None:
    image = Image(width, height, np.zeros(i420_size(width, height), np.uint8))
    w, h = size_at(image, height_px)
    assert w <= width and h <= height
    assert min(w, h) == min(width, height, height_px)
    assert (w - h) * (width - height) >= 0
    assert abs(max(w, h) - max(width, height) * min(w, h) / min(width, height)) <= 1


@pytest.mark.parametrize("size", [(320, 180), (160, 90), (161, 91), (1280, 720), (7, 5)])
def test_resize_keeps_the_picture(size: tuple[int, int]) -> None:
    resized = resize(picture(640, 360), *size)
    luma, u, v = resized.planes
    assert luma.shape == (size[1], size[0])
    assert luma[:, 0].mean() < 30 and luma[:, -1].mean() > 220
    assert set(u.ravel()) == set(v.ravel()) == {128}


def test_resize_to_the_same_size_is_the_picture_itself() -> None:
    image = picture(64, 48)
    assert resize(image, 64, 48) is image


class Together(Recorder):
    """Stylizes what waits at once; `counts` tells how many. Held at the gate from the third on."""

    batches = True

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.counts: list[int] = []
        self._gate = gate

    def stylize_all(self, tasks: Sequence[Task]) -> list[Stylized]:
        self.counts.append(len(tasks))
        if len(self.counts) == 3:
            self._gate.pass_()
        return super().stylize_all(tasks)


class Hosts(ThreadWorkers):
    """A real worker, in a thread."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def _answer(self, address: str, index: int) -> bool:
        return self._worker.serve(address, index)


async def test_a_stylizer_that_gains_by_it_is_given_all_that_wait() -> None:
    gate = Gate()
    stylizer = Together(gate)
    hosts = Hosts(Worker(lambda: stylizer, Style()))
    async with Ring(lambda: hosts, depth=4) as one:
        results = await four_at_a_gate(one, gate)
    assert stylizer.counts == [1, 1, 1, 3]  # to be warm, timed; alone, together
    for done in results:
        assert done is not None and done.frame is not None
        assert set(done.frame.image.data) == {235}
        assert done.inference_s > 0 and done.transfer_s >= 0


class Compiling(Recorder):
    """Each size is compiled once the gate is open; the warm one is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled = {(640, 360)}
        self.gate = threading.Event()
        self.prepared: list[Size] = []
        self.fails = False

    def ready(self, size: Size, style: Style) -> bool:
        return size in self.compiled

    def prepare(self, size: Size, style: Style) -> None:
        if self.ready(size, style):
            return
        self.prepared.append(size)
        assert self.gate.wait(10)
        if self.fails:
            raise ModelError("no")
        self.compiled.add(size)


def live(height_px: int, stream: int | None = 1, size: Size = (1280, 720)) -> Frame:
    orders = Orders(0, {}, frozenset(), stream=stream)
    return Frame(picture(*size), 0, VIDEO, 0.0, STYLE, height_px, orders=orders)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_live_stream_goes_on_at_a_ready_height_while_another_is_compiled() -> None:
    stylizer = Compiling()
    worker = Worker(lambda: stylizer, Style())
    for _ in range(3):
        assert worker.stylize(live(540)).height_px == 360
    stylizer.gate.set()
    until(lambda: (960, 540) in stylizer.compiled)
    assert stylizer.prepared == [(960, 540)]
    assert worker.stylize(live(540)).height_px == 540
    stylizer.gate.clear()
    assert worker.stylize(live(720)).height_px == 540  # as the frame before
    assert worker.stylize(live(720, stream=2)).height_px == 360
    stylizer.gate.set()


def test_a_camera_of_another_shape_waits_for_the_least_height_alone() -> None:
    stylizer = Compiling()
    worker = Worker(lambda: stylizer, Style())
    upright = live(540, size=(720, 1280))
    assert worker.stylize(upright).height_px == 360
    assert stylizer.prepared == []  # not by the thread as well
    stylizer.compiled.add((360, 640))
    assert worker.stylize(upright).height_px == 360
    stylizer.gate.set()
    until(lambda: (540, 960) in stylizer.compiled)
    assert worker.stylize(upright).height_px == 540


def test_what_comes_next_is_prepared_by_the_thread_and_reported() -> None:
    stylizer = Compiling()
    worker = Worker(lambda: stylizer, Style())
    stylizer.compiled.clear()
    coming = replace(live(360), upcoming=Style((("wave", 1.0),)))
    assert not worker.stylize(coming).upcoming_ready
    stylizer.gate.set()
    until(lambda: (640, 360) in stylizer.compiled)
    assert worker.stylize(coming).upcoming_ready
    assert worker.stylize(live(360)).upcoming_ready


def test_a_style_to_come_that_is_unknown_is_no_failure_of_this_frame() -> None:
    stylizer = Compiling()
    worker = Worker(lambda: stylizer, Style())

    def unknown(size: Size, style: Style) -> bool:
        raise UnknownStyleError("wave", ("mosaic",))

    coming = replace(live(360, stream=None), upcoming=Style((("wave", 1.0),)))
    stylizer.ready = unknown  # type: ignore[method-assign]
    done = worker.stylize(coming)
    assert done.image is not None and done.upcoming_ready


def test_photos_and_videos_wait_for_their_own_size() -> None:
    stylizer = Compiling()
    worker = Worker(lambda: stylizer, Style())
    assert worker.stylize(live(540, stream=None)).height_px == 540
    assert stylizer.prepared == []


def test_what_cannot_be_prepared_is_said_once_and_then_left_to_stylizing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stylizer = Compiling()
    stylizer.fails = True
    worker = Worker(lambda: stylizer, Style())
    worker.stylize(live(540))
    stylizer.gate.set()
    until(lambda: "960x540 cannot be prepared" in caplog.text)
    assert worker.stylize(live(540)).height_px == 540
    assert stylizer.prepared == [(960, 540)]


def test_few_streams_are_remembered() -> None:
    stylizer = Compiling()
    stylizer.gate.set()
    worker = Worker(lambda: stylizer, Style())
    for stream in range(3 * STREAMS):
        worker.stylize(live(360, stream))
    assert len(worker._heights) == STREAMS
