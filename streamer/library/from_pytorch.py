"""A PyTorch file, training → **from_pytorch** → read: a TransformerNet's weights as ONNX.

The network is that of `fast_neural_style` in pytorch/examples (Johnson et al. 2016, with
instance normalization), of any width: the number of channels is read from the weights.
"""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from streamer.errors import ModelError, first_line, to_install
from streamer.library.onnx_graph import Graph

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, NDArray[np.float32]]

_OBSOLETE = re.compile(r"in\d+\.(running_(mean|var)|num_batches_tracked)$")  # of PyTorch 0.3
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")  # what an unpickler was asked to call
_DAMAGED = "is damaged, or not a PyTorch file"
_RESIDUALS = 5


def state_dict_to_onnx(path: Path) -> bytes:
    """A network of layout rgb255 from a .pth or .model file; no code in it runs.

    Raises ModelError.
    """
    named = {key.removeprefix("module."): value for key, value in read_state_dict(path).items()}
    kept = {key: value for key, value in named.items() if not _OBSOLETE.search(key)}
    try:
        weights = {key: value.detach().float().numpy() for key, value in kept.items()}
        model = transformer_net(weights)
    except Exception as error:  # shapes of any kind, tensors that are no arrays
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else first_line(error)
        text = f"{path.name} is not a TransformerNet of the PyTorch examples: {reason}"
        raise ModelError(text) from None
    return bytes(model.SerializeToString())


def transformer_net(weights: Weights) -> onnx.ModelProto:
    """The network with these weights, of layout rgb255. Raises KeyError for one that is missing."""
    model = _TransformerNet(weights).build()
    onnx.checker.check_model(model, full_check=True)
    return model


def read_state_dict(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors in a PyTorch file, by name; no code in it runs. Raises ModelError."""
    try:
        import torch
    except ImportError:
        raise ModelError(f"a PyTorch file needs torch; {to_install('torch')}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in an unusual protocol
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path.name, str(error))) from None
    except Exception as error:  # whatever a damaged file makes of Torch's unpickler
        raise ModelError(f"{path.name} {_DAMAGED}") from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path.name} holds no state dict (names with a tensor each)")
    return {str(key): value for key, value in state.items()}


def _refusal(name: str, message: str) -> str:
    """PyTorch's own text is long and recommends running the file's code."""
    found = _FOREIGN.search(message)
    if found is None:
        return f"{name} {_DAMAGED}"
    hint = "save model.state_dict() instead of the model"
    return f"{name} is refused: loading it would run {found[1]}, and weights need no code; {hint}"


class _TransformerNet:
    """Writes the graph layer by layer; each method takes and returns the name of a tensor."""

    def __init__(self, weights: Weights) -> None:
        self._graph = Graph()
        self._unused = dict(weights)

    def build(self) -> onnx.ModelProto:
        output = self._stylize("input1")
        if self._unused:
            raise ValueError(f"it has {min(self._unused)} as well")
        image = helper.make_tensor_value_info(
            "input1", TensorProto.FLOAT, [1, 3, "height", "width"]
        )
        stylized = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3, None, None])
        return self._graph.model([image], [stylized])

    def _stylize(self, x: str) -> str:
        for i, stride in ((1, 1), (2, 2), (3, 2)):
            x = self._relu(self._norm(self._conv(x, f"conv{i}", stride), f"in{i}"))
        for i in range(1, _RESIDUALS + 1):
            x = self._residual(x, f"res{i}")
        scales = self._graph.constant(np.array([1, 1, 2, 2], np.float32))
        for i in (1, 2):
            x = self._graph.add("Resize", x, "", scales, mode="nearest", nearest_mode="floor",
                                coordinate_transformation_mode="asymmetric")  # fmt: skip
            x = self._relu(self._norm(self._conv(x, f"deconv{i}"), f"in{3 + i}"))
        return self._conv(x, "deconv3")

    def _residual(self, x: str, name: str) -> str:
        y = self._relu(self._norm(self._conv(x, f"{name}.conv1"), f"{name}.in1"))
        y = self._norm(self._conv(y, f"{name}.conv2"), f"{name}.in2")
        return self._graph.add("Add", x, y)

    def _conv(self, x: str, name: str, stride: int = 1) -> str:
        kernel = self._unused[f"{name}.conv2d.weight"].shape[2]
        pad = kernel // 2
        padded = self._graph.add(
            "Pad", x, self._graph.integers(*[0, 0, pad, pad] * 2), mode="reflect"
        )
        weight, bias = (self._weight(f"{name}.conv2d.{part}") for part in ("weight", "bias"))
        return self._graph.add(
            "Conv", padded, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2
        )

    def _norm(self, x: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._graph.add("InstanceNormalization", x, scale, shift, epsilon=1e-5)

    def _relu(self, x: str) -> str:
        return self._graph.add("Relu", x)

    def _weight(self, name: str) -> str:
        return self._graph.constant(self._unused.pop(name))
