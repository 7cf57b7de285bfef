"""Programs run by ONNX Runtime, where there is no OpenVINO: in 32 bits."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from streamer.engine.canonical import IMAGE, STYLIZED
from streamer.engine.priority import aside
from streamer.engine.program import Feed, Program
from streamer.errors import ModelError


class OnnxRuntimeRun:
    """A program ready for pictures of one size. Raises ModelError."""

    def __init__(self, program: Program, width: int, height: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # its errors are raised, too
        data = program.model.SerializeToString()
        providers = ["CPUExecutionProvider"]
        try:
            self._session = aside(
                lambda: onnxruntime.InferenceSession(data, options, providers=providers)
            )
        except Exception as error:  # it has an exception of its own for each of its codes
            reason = str(error).splitlines()[0]
            raise ModelError(f"ONNX Runtime refuses it: {reason}") from None
        self._image = np.zeros((1, 3, height, width), np.uint8)
        self._names = [output.name for output in self._session.get_outputs()]

    @property
    def image(self) -> NDArray[np.uint8]:
        """The (3, height, width) to be filled before a run."""
        image: NDArray[np.uint8] = self._image[0]
        return image

    def warm(self) -> None:
        """Run once, for the memory it takes."""
        inputs = [one for one in self._session.get_inputs() if one.name != IMAGE]
        feed = {one.name: np.zeros(one.shape, np.float32) for one in inputs}
        aside(lambda: self._session.run(self._names, {IMAGE: self._image, **feed}))

    def __call__(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """The outputs by name, the picture's channels last."""
        values = self._session.run(self._names, {IMAGE: self._image, **feed})
        outputs = dict(zip(self._names, values, strict=True))
        outputs[STYLIZED] = np.ascontiguousarray(outputs[STYLIZED].transpose(0, 2, 3, 1))
        return outputs
