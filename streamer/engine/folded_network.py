"""A published network at the speed of its convolutions: I420 in and out, any style, any statistics.

Of each size two forms are compiled, once: one takes the statistics it is given, the other finds
them in the picture. A style, a blend or other statistics are a few small inputs.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from streamer.engine.canonical import STYLIZED, canonical, style_count
from streamer.engine.color import gives_i420, takes_yuv
from streamer.engine.fold import Norms, behind_convolutions, norms
from streamer.engine.packed import packed, paired, transposed, widened
from streamer.engine.pictures import pictures
from streamer.engine.program import RANGES, Feed, Program, positives, program, ranging, step
from streamer.engine.separable import separated
from streamer.engine.striped import striped
from streamer.statistics import Statistics

Plane = NDArray[np.uint8]
Planes = tuple[Plane, Plane, Plane]
Weights = NDArray[np.float32]
Engine = Literal["openvino-bf16", "openvino-int8", "openvino-f32", "onnxruntime"]

ENGINES: tuple[Engine, ...] = ("openvino-bf16", "openvino-int8", "openvino-f32", "onnxruntime")
MULTIPLE = 4  # of both sides of a picture, at least: most middle layers have a quarter of them
# What is kept compiled, of all sizes and both forms together; about 0.4 GB a million. Enough for
# a live stream at 1280x720, for another at 640x360, and for thumbnails.
_KEPT_PIXELS = 2_500_000
_LEAST_PIXELS = 75_000  # a smaller size takes as much: 29 MB
# What was used since then, a large photo does not take the place of, while so much memory is free:
# one of 12 megapixels has 0.8 GB compiled.
_RECENT_S, _SPARE_BYTES = 60.0, 2 * 2**30
_RANGES_PX = (320, 192)  # of the pictures that ranges are measured on


class Run(Protocol):
    """A program compiled for pictures of one size, for one thread at a time."""

    @property
    def image(self) -> Plane: ...

    def warm(self) -> None: ...

    def __call__(self, feed: Feed) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True, slots=True)
class Measured:
    """A stylized picture, I420 in one array, and the statistics that were found in it."""

    data: Plane
    statistics: Statistics


_Key = tuple[int, int, bool]  # width, height, and whether it measures


@dataclass(slots=True)
class _Compiled:
    program: Program
    run: Run
    used_at: float  # monotonic seconds


class FoldedNetwork:
    """Raises NotFoldableError for a network of another family, ModelError for no network at all.

    `black` and `white` are the network's own values for them; `steps` are what `all_steps` gave
    once. Both sides of a picture are multiples of `multiple`. `prepare` may run in a thread beside
    the one that stylizes, so that neither size nor style has to wait for the other.
    """

    def __init__(
        self,
        data: bytes,
        black: float,
        white: float,
        engine: Engine,
        *,
        threads: int = 1,
        device: str = "CPU",
        steps: Sequence[Sequence[float]] = (),
        multiple: int = MULTIPLE,
    ) -> None:
        self._known_steps, self.multiple = steps, multiple
        self._data, self.styles = data, style_count(data)
        self._engine, self._threads, self._device = engine, threads, device
        self._spread: dict[tuple[int, int], int] = {}  # a large photo's sizes, with their threads
        first = canonical(data, self._only(0))
        self.channels = norms(first).channels
        ends = widened(packed(transposed(behind_convolutions(first))))
        fast = paired(separated(ends, black, white, int8=engine == "openvino-int8"))
        self._model = gives_i420(takes_yuv(fast, black, white), black, white)
        program(self._model)  # or it says that it cannot
        self._looks: dict[int, tuple[Norms, list[float]]] = {}
        self._runs: OrderedDict[_Key, _Compiled] = OrderedDict()
        self._brief: dict[_Key, _Compiled] = {}  # the one that a large photo uses now
        self._ranging: tuple[Program, Run] | None = None
        self._kept, self._measuring = threading.Lock(), threading.Lock()

    def prepare(self, width: int, height: int, weights: Weights | None = None) -> None:
        """Compile what a size needs, and measure what a blend's styles need. Raises ModelError."""
        for exact in (False, True):
            self._run(width, height, exact, warm=True)
        self._look(weights)

    def ready(self, width: int, height: int, weights: Weights | None = None) -> bool:
        """Whether nothing has to be prepared any more; who asks uses it, the rarer form too."""
        with self._kept:
            forms = [self._use((width, height, exact)) for exact in (False, True)]
        return None not in forms and all(index in self._looks for index in self._used(weights))

    def stylize(self, planes: Planes, weights: Weights | None, statistics: Statistics) -> Plane:
        """Y, U, V as I420 in one array, with the statistics given.

        `weights` sum to 1, None for a network of one style.
        """
        found, steps = self._look(weights)
        made, run = self._run(*_size(planes), exact=False)
        affine = found.affine(statistics.mean, statistics.variance)
        within = None if made.columns is None else made.columns.within(planes)
        outputs = _outputs(run, planes, made.feed(found, affine, steps, within))
        return unpacked(outputs[STYLIZED], *_size(planes))

    def measure(self, planes: Planes, weights: Weights | None) -> Measured:
        """The same with the picture's own statistics, and these: about three times as dear.

        Raises FloatingPointError for NaN, which would stay in the statistics of a stream for ever.
        """
        found, steps = self._look(weights)
        made, run = self._run(*_size(planes), exact=True)
        own = np.stack([found.scale, found.bias])
        within = None if made.columns is None else made.columns.within(planes)
        outputs = _outputs(run, planes, made.feed(found, own, steps, within))
        mean, variance = made.moments(found, outputs, steps, within)
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise FloatingPointError("a network returns values that are not numbers (NaN)")
        return Measured(unpacked(outputs[STYLIZED], *_size(planes)), Statistics.of(mean, variance))

    @contextlib.contextmanager
    def spread(self, sizes: Iterable[tuple[int, int]], threads: int) -> Iterator[None]:
        """Inside, these sizes run on so many threads; then the memory they take is given back.

        They stand beside what is kept, for a stream would stop while that is compiled again.
        """
        self._spread = dict.fromkeys(sizes, threads)
        try:
            yield
        finally:
            with self._kept:
                self._spread, self._brief = {}, {}

    def _only(self, index: int) -> Weights | None:
        return None if self.styles is None else np.eye(self.styles, dtype=np.float32)[index]

    def _used(self, weights: Weights | None) -> list[int]:
        return [0] if weights is None else np.flatnonzero(weights).tolist()

    def _look(self, weights: Weights | None) -> tuple[Norms, list[float]]:
        """Norms and steps of a blend: weights enter norms linearly."""
        used = self._used(weights)
        looks = [self._style(index) for index in used]
        if weights is None or len(looks) == 1:
            return looks[0]
        many = [look for look, _ in looks]
        scale, bias = (
            np.tensordot(weights[used], [getattr(look, name) for look in many], 1)
            for name in ("scale", "bias")
        )
        steps = [max(values) for values in zip(*(steps for _, steps in looks), strict=True)]
        return Norms(many[0].sizes, scale, bias, many[0].epsilon), steps

    def _style(self, index: int) -> tuple[Norms, list[float]]:
        if index in self._looks:
            return self._looks[index]
        with self._measuring:
            if index not in self._looks:
                found = norms(canonical(self._data, self._only(index)))
                steps = self._steps(index, found) if self._engine == "openvino-int8" else []
                self._looks[index] = found, steps
            return self._looks[index]

    def all_steps(self) -> list[list[float]]:
        """Of each style, each quantized tensor's step."""
        return [self._style(index)[1] for index in range(self.styles or 1)]

    def _steps(self, index: int, found: Norms) -> list[float]:
        """Those that are known, else from what pictures made by code show in 32 bits."""
        positive = positives(self._model)
        if index < len(self._known_steps) and len(self._known_steps[index]) == len(positive):
            return list(self._known_steps[index])
        if self._ranging is None:
            exact = program(self._model, exact=True)
            showing = Program(ranging(exact.model), exact.layers, exact.tensors, exact=True)
            self._ranging = showing, self._compile(showing, *_RANGES_PX, "openvino-f32")
        made, run = self._ranging
        feed = made.feed(found, np.stack([found.scale, found.bias]))
        shown = [_outputs(run, planes, feed)[RANGES].copy() for planes in pictures(*_RANGES_PX)]
        greatest = zip(np.max(shown, 0), positive, strict=True)
        return [step(float(value), is_positive) for value, is_positive in greatest]

    def _run(
        self, width: int, height: int, exact: bool, *, warm: bool = False
    ) -> tuple[Program, Run]:
        if width % self.multiple or height % self.multiple:
            sides = f"sides of {width}x{height} pixels"
            raise ValueError(f"{sides} are not multiples of {self.multiple}")
        key = width, height, exact
        with self._kept:
            is_brief = (width, height) in self._spread
            found = self._brief.get(key) if is_brief else self._use(key)
        if found is not None:
            return found.program, found.run
        made = program(self._model, exact, int8=self._engine == "openvino-int8")
        if self._device == "CPU":
            made = replace(made, model=striped(made.model, width, height))
        run = self._compile(made, width, height, self._engine)
        if warm:
            run.warm()
        found = _Compiled(made, run, time.monotonic())
        with self._kept:
            if (width, height) in self._spread:
                self._brief = {key: found}
                spare = psutil.virtual_memory().available > _SPARE_BYTES
                self._make_room(found.used_at - _RECENT_S * spare)
            else:
                found = self._runs.setdefault(key, found)
                self._make_room(found.used_at)
        return found.program, found.run

    def _use(self, key: _Key) -> _Compiled | None:
        """What is kept of it, as the newest."""
        found = self._runs.get(key)
        if found is not None:
            found.used_at = time.monotonic()
            self._runs.move_to_end(key)
        return found

    def _make_room(self, before: float) -> None:
        """Forget what was not used since then, the oldest first, where too much is kept."""
        while len(self._runs) > 2 and self._kept_pixels() > _KEPT_PIXELS:
            if next(iter(self._runs.values())).used_at > before:
                break
            self._runs.popitem(last=False)

    def _kept_pixels(self) -> int:
        kept = (*self._runs, *self._brief)
        return sum(max(width * height, _LEAST_PIXELS) for width, height, _ in kept)

    def _compile(self, made: Program, width: int, height: int, engine: Engine) -> Run:
        threads = self._spread.get((width, height), self._threads)
        if engine == "onnxruntime":
            from streamer.engine.onnxruntime_engine import OnnxRuntimeRun

            return OnnxRuntimeRun(made, width, height, threads)
        from streamer.engine.openvino_engine import OpenVinoRun

        device = self._device
        half = "bf16" if device == "CPU" else "f16"
        hint = half if engine == "openvino-bf16" else "f32"
        return OpenVinoRun(made, width, height, hint=hint, threads=threads, device=device)


def _size(planes: Planes) -> tuple[int, int]:
    return planes[0].shape[1], planes[0].shape[0]


def _outputs(run: Run, planes: Planes, feed: Feed) -> dict[str, NDArray[Any]]:
    image = run.image
    image[0] = planes[0]
    for plane, whole in zip(planes[1:], image[1:], strict=True):
        cv2.resize(plane, whole.shape[::-1], dst=whole)
    return run(feed)


def unpacked(blocks: Plane, width: int, height: int) -> Plane:
    """I420 from (1, rows, columns, 6 x b² / 4): blocks of b x b pixels of luma, then of chroma."""
    rows, columns, size = blocks.shape[1], blocks.shape[2], height // blocks.shape[1]
    half, area = size // 2, width * height
    data = np.empty(area * 3 // 2, np.uint8)
    # A row of a block is one item, so that NumPy copies it at once.
    luma, chroma = blocks[0, :, :, : size**2], blocks[0, :, :, size**2 :]
    lines = luma.view(f"V{size}").transpose(0, 2, 1)
    data[:area].view(f"V{size}").reshape(rows, size, columns)[:] = lines
    pairs = chroma.view(f"V{half}").reshape(rows, columns, 2, half).transpose(2, 0, 3, 1)
    data[area:].view(f"V{half}").reshape(2, rows, half, columns)[:] = pairs
    return data
