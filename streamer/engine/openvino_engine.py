"""Programs run by OpenVINO."""

from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from streamer.engine.canonical import IMAGE, STYLIZED
from streamer.engine.priority import aside
from streamer.engine.program import Feed, Program
from streamer.errors import ModelError


def devices() -> frozenset[str]:
    """What OpenVINO finds on this machine: cpu, gpu, npu."""
    return frozenset(name.split(".")[0].lower() for name in openvino.Core().available_devices)


class OpenVinoRun:
    """A program compiled for one size, on one of OpenVINO's devices. Raises ModelError.

    `hint` is the precision of what is not quantized: f32, bf16 for processors that multiply it, or
    f16 for other devices.
    """

    def __init__(
        self, program: Program, width: int, height: int, *, hint: str, threads: int, device: str
    ) -> None:
        core = openvino.Core()
        settings: dict[str, object] = {"INFERENCE_PRECISION_HINT": hint}
        if device == "CPU":
            settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
            settings["ENABLE_CPU_PINNING"] = False  # several workers share the cores
        try:
            model = core.read_model(program.model.SerializeToString())
            model.reshape({IMAGE: [1, 3, height, width]})
            ends = PrePostProcessor(model)
            ends.output(STYLIZED).model().set_layout(openvino.Layout("NCHW"))
            ends.output(STYLIZED).tensor().set_layout(openvino.Layout("NHWC"))
            model = ends.build()
            network = aside(lambda: core.compile_model(model, device, settings))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO refuses it: {str(error).splitlines()[-1]}") from None
        self._request = network.create_infer_request()
        self._inputs: dict[str, NDArray[Any]] = {}
        for port in network.inputs:
            name, kind = port.any_name, np.uint8 if port.any_name == IMAGE else np.float32
            self._inputs[name] = np.zeros(tuple(port.shape), kind)
            shared = openvino.Tensor(self._inputs[name], shared_memory=True)
            self._request.set_tensor(name, shared)
        self._outputs = {port.any_name: self._request.get_tensor(port) for port in network.outputs}

    @property
    def image(self) -> NDArray[np.uint8]:
        """The (3, height, width) to be filled before a run."""
        image: NDArray[np.uint8] = self._inputs[IMAGE][0]
        return image

    def warm(self) -> None:
        """Run once, for the memory it takes: 240 MB where 720x540 pixels are measured."""
        aside(self._request.infer)

    def __call__(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """The outputs by name, the picture's channels last; the next run writes them over."""
        for name, values in feed.items():
            self._inputs[name][:] = values
        self._request.infer()
        return {name: tensor.data for name, tensor in self._outputs.items()}
