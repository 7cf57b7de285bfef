"""stylizer → **stylizer_torch**: the same networks on Torch, on CPU or CUDA.

On CUDA convolutions are in half precision, in channels-last order; pictures cross the bus as
8 bits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamer.engine.onnx_file import refuse_external_data
from streamer.engine.torch_graph import TorchGraph
from streamer.errors import ModelError
from streamer.i420 import Pixels, Planes, Weights
from streamer.styles.model import LAYOUTS, ModelFile


class TorchNetwork:
    """One model, loaded. Raises ModelError for a file that is damaged or of another layout.

    Many pictures run as one, `torch.vmap` putting a dimension before those that the file has.
    `half`: convolve in half precision; None is on CUDA only, as CPUs are slower at it.
    """

    batches = True

    def __init__(
        self, model: ModelFile, device: str, threads: int, half: bool | None = None
    ) -> None:
        torch.set_num_threads(threads)
        self._device = _check(device)
        half = self._device.type == "cuda" if half is None else half
        self._layout = LAYOUTS[model.layout]
        data = model.read()
        refuse_external_data(data)
        self._graph = TorchGraph(data, self._device, model.name, half)
        expected = 1 + self._layout.blends + (model.layout == "i420")
        if len(self._graph.inputs) != expected:
            raise ModelError(f"model {model.name} has not the inputs of layout {model.layout}")
        self.styles = self._graph.inputs[-1][1][0] if self._layout.blends else 1

    def run_rgb(self, pictures: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]:
        """Stylize (height, width, 3) RGB, each in the blend that its weights give."""
        black, scale = self._layout.black, (self._layout.white - self._layout.black) / 255
        with torch.inference_mode():
            pixels = self._send(pictures).permute(0, 3, 1, 2)[:, None]  # a view: channels-last
            inputs = [pixels.float() * scale + black, self._send(weights)]
            (stylized,) = self._run(*inputs[: len(self._graph.inputs)])
            scaled = (stylized[:, 0].float() - black) / scale + 0.5
            (whole,) = self._fetch(scaled.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous())
            return list(whole)

    def run_i420(self, planes: Sequence[Planes], weights: Sequence[Weights]) -> list[Planes]:
        """Stylize (1, 1, h, w) luma and (1, 2, h/2, w/2) chroma."""
        luma, chroma = zip(*planes, strict=True)
        with torch.inference_mode():
            stylized = self._run(self._send(luma), self._send(chroma), self._send(weights))
            return list(zip(*self._fetch(*stylized), strict=True))

    def _run(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """The graph over the first dimension, which the file knows nothing of."""
        if len(inputs[0]) == 1:
            return [output[None] for output in self._graph(*(tensor[0] for tensor in inputs))]
        outputs: list[torch.Tensor] = torch.vmap(self._graph)(*inputs)
        return outputs

    def _send(self, arrays: Sequence[NDArray[Any]]) -> torch.Tensor:
        """Arrays of one shape, stacked."""
        stacked = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        tensor = torch.from_numpy(np.require(stacked, requirements=("C", "W")))
        if self._device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _fetch(self, *tensors: torch.Tensor) -> list[NDArray[np.uint8]]:
        """All of them at once, into pinned memory; then one wait for the device."""
        fetched = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return [tensor.numpy() for tensor in fetched]


def _check(name: str) -> torch.device:
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"Torch finds no {name} here; use --gpus 0, or a Torch built for CUDA")
    return device
