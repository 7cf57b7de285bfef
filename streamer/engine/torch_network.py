"""stylizer → network → **torch_network** → torch_graph: networks on Torch, on CPU or CUDA.

On CUDA, convolutions are in half precision and channels-last order, and images cross the bus as
8 bits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.engine.onnx_file import parse, styles_of
from streamer.engine.torch_graph import TorchGraph
from streamer.errors import ModelError
from streamer.i420 import Pixels, Weights
from streamer.styles.model import LAYOUTS, ModelFile


class TorchNetwork:
    """One loaded model. Raises ModelError for a file that is damaged or of another layout.

    Several images run at once: `torch.vmap` puts a dimension before those of the graph.
    `half`: convolve in half precision; None means on CUDA only, since CPUs are slower at it.
    """

    engine = "torch"
    batches = True

    def __init__(
        self, model: ModelFile, device: str, threads: int, half: bool | None = None
    ) -> None:
        torch.set_num_threads(threads)
        self._name = model.name
        self._device = _check(device)
        half = self._device.type == "cuda" if half is None else half
        self._layout = LAYOUTS[model.layout]
        parsed = parse(model.read(), f"model {model.name}")
        self.styles = styles_of(parsed, model)
        self._graph = TorchGraph(parsed, self._device, model.name, half)

    def run_rgb(self, images: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]:
        black, scale = self._layout.black, (self._layout.white - self._layout.black) / 255
        with torch.inference_mode():
            pixels = self._send(images).permute(0, 3, 1, 2)[:, None]  # a view: channels-last
            inputs = [pixels.float() * scale + black, self._send(weights)]
            (stylized,) = self._run(*inputs[: len(self._graph.inputs)])
            scaled = (stylized[:, 0].float() - black) / scale + 0.5
            is_bad = scaled.isnan().any()
            whole = self._fetch(scaled.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous())
            if is_bad:
                raise FloatingPointError(f"{self._name} returns values that are not numbers (NaN)")
            return list(whole)

    def _run(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Map the graph over the first dimension, which it does not have itself."""
        if len(inputs[0]) == 1:
            return [output[None] for output in self._graph(*(tensor[0] for tensor in inputs))]
        outputs: list[torch.Tensor] = torch.vmap(self._graph)(*inputs)
        return outputs

    def _send(self, arrays: Sequence[NDArray[Any]]) -> torch.Tensor:
        stacked = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        tensor = torch.from_numpy(np.require(stacked, requirements=("C", "W")))
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _fetch(self, tensor: torch.Tensor) -> NDArray[np.uint8]:
        """Copy it into pinned memory, then wait for the device."""
        fetched = tensor.to("cpu", non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return np.asarray(fetched.numpy())


def gpus() -> int:
    """How many Torch can use."""
    return torch.cuda.device_count()


def _check(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"Torch finds no {name} here; use --gpus 0, or a Torch built for CUDA")
    return device
