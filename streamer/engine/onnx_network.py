"""stylizer → network → **onnx_network**: networks on ONNX Runtime, on the CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from streamer.engine.onnx_file import inputs_of, parse, styles_of
from streamer.errors import ModelError, first_line
from streamer.i420 import Pixels, Weights
from streamer.styles.model import LAYOUTS, ModelFile

_LIVE_PIXELS = 1920 * 1088  # the memory of larger images is freed after each
_KEPT_SIZES = 8  # as streams have them; after a run of any other size, as of photos, it is freed


class OnnxNetwork:
    """One model, from the bytes of its file. Raises ModelError if they are not of its layout."""

    engine = "onnxruntime"
    batches = False  # a core is as busy with one as with many

    def __init__(self, model: ModelFile, data: bytes, threads: int) -> None:
        self._layout = LAYOUTS[model.layout]
        parsed = parse(data, f"model {model.name}")
        self.styles = styles_of(parsed, model)
        self._name = model.name
        self._names = list(inputs_of(parsed))
        self._session = _open(parsed.SerializeToString(), model.name, threads)
        self._sizes: dict[tuple[int, ...], None] = {}  # of the last runs, the newest at the end

    def run_rgb(self, images: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]:
        return [self._rgb(*one) for one in zip(images, weights, strict=True)]

    def _rgb(self, image: Pixels, weights: Weights) -> Pixels:
        black, scale = self._layout.black, (self._layout.white - self._layout.black) / 255
        tensor = image.transpose(2, 0, 1)[None].astype(np.float32)
        tensor *= scale
        tensor += black
        stylized = self.stylize(tensor, weights)[0] * np.float32(1 / scale)
        stylized += 0.5 - black / scale
        return np.asarray(stylized.clip(0, 255).astype(np.uint8).transpose(1, 2, 0), order="C")

    def stylize(self, tensor: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
        """Run the network on a (1, 3, height, width) tensor in its own range of values.

        Raises FloatingPointError for a result that holds NaN: another worker may do better.
        """
        stylized: NDArray[np.float32] = self._run(tensor, weights)[0]
        if np.isnan(stylized.min()):
            raise FloatingPointError(f"{self._name} returns values that are not numbers (NaN)")
        return stylized

    def _run(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        options = None
        if self._is_unusual(inputs[0].shape[-2:]):
            options = ort.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        named = dict(zip(self._names, inputs, strict=False))
        outputs: list[NDArray[Any]] = self._session.run(None, named, options)
        return outputs

    def _is_unusual(self, size: tuple[int, ...]) -> bool:
        """Whether to give back the memory of a run, which ONNX Runtime otherwise keeps for good."""
        known = size in self._sizes
        self._sizes.pop(size, None)
        self._sizes[size] = None
        if len(self._sizes) > _KEPT_SIZES:
            del self._sizes[next(iter(self._sizes))]
        return not known or size[0] * size[1] > _LIVE_PIXELS


def engine() -> str:
    """ONNX Runtime's version and the devices that it offers; workers use the CPU."""
    devices = [name.removesuffix("ExecutionProvider") for name in ort.get_available_providers()]
    return f"{ort.__version__}, offers {', '.join(devices)}"


def _open(data: bytes, name: str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A worker that waits for a frame must leave the core to one that has work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Planning memory ahead doubles it here (254 against 134 MB at 640x360) and gains no time.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # its errors are raised, too
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception of its own for each of its codes
        text = f"model {name}: ONNX Runtime refuses it: {first_line(error)}"
        raise ModelError(text) from None
