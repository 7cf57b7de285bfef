"""A network of this family by OpenVINO: I420 in and out, any style, any statistics.

Of each size two forms are compiled, once: one takes the statistics it is given, the other finds
them in the picture. A style is 36 small inputs.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.engine.canonical import IMAGE, STYLIZED, canonical, style_count
from streamer.engine.color import gives_i420, takes_yuv
from streamer.engine.fold import Norms, norms
from streamer.engine.packed import packed, widened
from streamer.engine.pictures import pictures
from streamer.engine.program import (
    RANGES,
    Feed,
    Program,
    positives,
    program,
    ranging,
    step,
)
from streamer.engine.statistics import Statistics
from streamer.errors import ModelError

if TYPE_CHECKING:
    import onnx

Plane = NDArray[np.uint8]
Planes = tuple[Plane, Plane, Plane]
Weights = NDArray[np.float32]
Precision = Literal["f32", "bf16", "int8"]

MULTIPLE = 8  # of both sides of a picture: blocks of four pixels, of which chroma has two
_SIZES = 4  # how many are kept compiled
_CALIBRATION = (320, 192)  # pixels; what ranges are measured on


@dataclass(frozen=True, slots=True)
class Result:
    """A stylized picture, as I420 in one array, and the statistics that were found in it."""

    data: NDArray[np.uint8]
    statistics: Statistics


class OpenVinoNetwork:
    """Raises NotFoldableError for a network of another family; ModelError for no network.

    `black` and `white` are the network's own values for them. `prepare` may run in a thread
    beside the one that stylizes; nothing else may.
    """

    def __init__(
        self,
        data: bytes,
        black: float,
        white: float,
        precision: Precision,
        threads: int = 1,
        device: str = "CPU",
    ) -> None:
        self._data, self.styles = data, style_count(data)
        self._precision, self._threads, self._device = precision, threads, device
        first = canonical(data, None if self.styles is None else _one_of(self.styles, 0))
        self.sizes = norms(first).sizes
        blocks = widened(packed(first))
        self._model = gives_i420(takes_yuv(blocks, black, white), black, white)
        self._looks: dict[int, tuple[Norms, list[float]]] = {}
        self._positive = positives(self._model)
        self._compiled: OrderedDict[tuple[int, int, bool], _Request] = OrderedDict()
        self._lock = threading.Lock()
        self._ranging: _Request | None = None

    def prepare(self, width: int, height: int, weights: Weights | None = None) -> None:
        """Compile what a size needs, and measure what a style needs; 0.1 to 0.4 s each."""
        for exact in (False, True):
            self._request(width, height, exact)
        if weights is not None or self.styles is None:
            self.norms(weights)

    def ready(self, width: int, height: int) -> bool:
        """Whether a size needs no compiling."""
        return (width, height, False) in self._compiled

    def norms(self, weights: Weights | None) -> Norms:
        """The norms of a blend of styles: weights, which sum to 1, enter linearly."""
        return self._look(weights)[0]

    def stylize(self, planes: Planes, weights: Weights | None, statistics: Statistics) -> Plane:
        """The picture as I420 in one array, with the statistics given. About 11 ms at 640x360."""
        found, steps = self._look(weights)
        height, width = planes[0].shape
        request = self._request(width, height, exact=False)
        affine = found.affine(statistics.mean, statistics.variance)
        outputs = request.run(planes, request.program.feed(found, affine, steps))
        return unpacked(outputs[STYLIZED], width, height)

    def measure(self, planes: Planes, weights: Weights | None) -> Result:
        """The picture with its own statistics, and these. About 16 ms at 640x360."""
        found, steps = self._look(weights)
        height, width = planes[0].shape
        request = self._request(width, height, exact=True)
        own = np.stack([found.scale, found.bias])
        outputs = request.run(planes, request.program.feed(found, own, steps))
        mean, variance = request.program.moments(found, outputs, steps)
        return Result(unpacked(outputs[STYLIZED], width, height), Statistics.of(mean, variance))

    def _look(self, weights: Weights | None) -> tuple[Norms, list[float]]:
        if weights is None or self.styles is None:
            return self._style(0)
        used = [int(index) for index in np.flatnonzero(weights)]
        looks = [self._style(index) for index in used]
        if len(used) == 1:
            return looks[0]
        first = looks[0][0]
        scale = sum(weights[i] * look.scale for i, (look, _) in zip(used, looks, strict=True))
        bias = sum(weights[i] * look.bias for i, (look, _) in zip(used, looks, strict=True))
        steps = [max(values) for values in zip(*(steps for _, steps in looks), strict=True)]
        return Norms(first.sizes, np.asarray(scale), np.asarray(bias), first.epsilon), steps

    def _style(self, index: int) -> tuple[Norms, list[float]]:
        if index not in self._looks:
            alone = None if self.styles is None else _one_of(self.styles, index)
            found = norms(canonical(self._data, alone))
            steps = self._steps(found) if self._precision == "int8" else []
            self._looks[index] = found, steps
        return self._looks[index]

    def _steps(self, found: Norms) -> list[float]:
        """Each quantized tensor's step, from what pictures made by code show."""
        if self._ranging is None:
            exact = program(self._model, exact=True)
            measuring = Program(ranging(exact.model), exact.layers, exact.tensors, True)
            self._ranging = self._compile(measuring, *_CALIBRATION, "f32")
        feed = self._ranging.program.feed(found, np.stack([found.scale, found.bias]))
        shown = [self._ranging.run(p, feed)[RANGES] for p in pictures(*_CALIBRATION)]
        return [step(*one) for one in zip(np.max(shown, 0), self._positive, strict=True)]

    def _request(self, width: int, height: int, exact: bool) -> "_Request":
        key = width, height, exact
        with self._lock:
            if key not in self._compiled:
                made = program(self._model, exact, self._precision == "int8")
                self._compiled[key] = self._compile(made, width, height, self._precision)
                while len(self._compiled) > 2 * _SIZES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            return self._compiled[key]

    def _compile(
        self, made: Program, width: int, height: int, precision: Precision
    ) -> "_Request":
        import openvino

        model = openvino.Core().read_model(made.model.SerializeToString())
        model.reshape({IMAGE: [1, 3, height, width]})
        channels_last = openvino.preprocess.PrePostProcessor(model)
        channels_last.output(STYLIZED).model().set_layout(openvino.Layout("NCHW"))
        channels_last.output(STYLIZED).tensor().set_layout(openvino.Layout("NHWC"))
        settings = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            compiled = openvino.Core().compile_model(channels_last.build(), self._device, settings)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO refuses it: {str(error).splitlines()[-1]}") from None
        return _Request(made, compiled, width, height)


class _Request:
    """A compiled network with its inputs in memory that it shares."""

    def __init__(self, made: Program, compiled: Any, width: int, height: int) -> None:
        import openvino

        self.program = made
        self._run = compiled.create_infer_request()
        self._inputs: dict[str, NDArray[Any]] = {}
        for port in compiled.inputs:
            name, kind = port.any_name, np.uint8 if port.any_name == IMAGE else np.float32
            self._inputs[name] = np.zeros(tuple(port.shape), kind)
            self._run.set_tensor(name, openvino.Tensor(self._inputs[name], shared_memory=True))
        self._outputs = {port.any_name: self._run.get_tensor(port) for port in compiled.outputs}

    def run(self, planes: Planes, feed: Feed) -> dict[str, NDArray[Any]]:
        """The outputs by name; they are written over by the next run."""
        image = self._inputs[IMAGE][0]
        image[0] = planes[0]
        for plane, whole in zip(planes[1:], image[1:], strict=True):
            cv2.resize(plane, whole.shape[::-1], dst=whole)
        for name, values in feed.items():
            self._inputs[name][:] = values
        self._run.infer()
        return {name: tensor.data for name, tensor in self._outputs.items()}


def unpacked(blocks: Plane, width: int, height: int) -> Plane:
    """I420 from (1, rows, columns, 6 x b² / 4) blocks of b x b pixels."""
    rows, columns, size = blocks.shape[1], blocks.shape[2], height // blocks.shape[1]
    half, area = size // 2, width * height
    data = np.empty(area * 3 // 2, np.uint8)
    # A row of a block is one item, so that NumPy copies it at once.
    luma, chroma = blocks[0, :, :, : size**2], blocks[0, :, :, size**2 :]
    rows_of_luma = luma.view(f"V{size}")
    data[:area].view(f"V{size}").reshape(rows, size, columns)[:] = rows_of_luma.transpose(0, 2, 1)
    pairs = chroma.view(f"V{half}").reshape(rows, columns, 2, half).transpose(2, 0, 3, 1)
    data[area:].view(f"V{half}").reshape(2, rows, half, columns)[:] = pairs
    return data


def _one_of(count: int, index: int) -> Weights:
    return np.eye(count, dtype=np.float32)[index]
