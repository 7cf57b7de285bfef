"""A state dict of the PyTorch examples' TransformerNet as an ONNX network of layout rgb255.

The network is that of `fast_neural_style` in pytorch/examples (Johnson et al. 2016, with
instance normalisation), of any width: the number of channels is read from the weights.
"""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ModelError

if TYPE_CHECKING:
    import onnx
    import torch

Weights = Mapping[str, NDArray[np.float32]]

OPSET = 17
_HINT = "pip install 'streamer[torch]'"
_OBSOLETE = re.compile(r"in\d+\.(running_(mean|var)|num_batches_tracked)$")  # of PyTorch 0.3
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")  # what an unpickler was asked to call
_DAMAGED = "is damaged, or no file of PyTorch"
_RESIDUALS = 5


def to_onnx(path: Path) -> bytes:
    """Read a .pth or .model file, running none of the code in it. Raises ModelError."""
    try:
        from onnx import checker
    except ImportError:
        raise ModelError(f"a PyTorch file needs torch and onnx: {_HINT}") from None
    weights = _read(path)
    try:
        model = _Builder(weights).build()
        checker.check_model(model, full_check=True)
    except (KeyError, ValueError, IndexError, checker.ValidationError) as error:
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else error
        raise ModelError(
            f"{path.name} is no TransformerNet of the PyTorch examples: {reason}"
        ) from None
    return bytes(model.SerializeToString())


def _read(path: Path) -> Weights:
    named = {key.removeprefix("module."): value for key, value in read_state(path).items()}
    kept = {key: value for key, value in named.items() if not _OBSOLETE.search(key)}
    return {key: value.detach().float().numpy() for key, value in kept.items()}


def read_state(path: Path) -> "dict[str, torch.Tensor]":
    """The state dict in a file of PyTorch's; no code in it is run. Raises ModelError."""
    try:
        import torch
    except ImportError:
        raise ModelError(f"a PyTorch file needs torch: {_HINT}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in an unusual protocol
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path.name, str(error))) from None
    except (RuntimeError, OSError, ValueError, EOFError, LookupError) as error:
        raise ModelError(f"{path.name} {_DAMAGED}") from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path.name} holds no state dict (names with a tensor each)")
    return {str(key): value for key, value in state.items()}


def _refusal(name: str, said: str) -> str:
    """PyTorch's own text is long and recommends to run the file's code."""
    found = _FOREIGN.search(said)
    if found is None:
        return f"{name} {_DAMAGED}"
    saved = "save model.state_dict() instead of the model"
    return f"{name} is refused: loading it would run {found[1]}, and weights need no code; {saved}"


class _Builder:
    """Writes the graph node by node; each method takes and returns the name of a tensor."""

    def __init__(self, weights: Weights) -> None:
        self._weights = dict(weights)
        self._used: set[str] = set()
        self._constants: dict[str, NDArray[np.generic]] = {
            "scales": np.array([1, 1, 2, 2], np.float32)
        }
        self._nodes: list[object] = []

    def build(self) -> "onnx.ModelProto":
        from onnx import TensorProto, helper, numpy_helper

        output = self._stylize("input1")
        if unused := self._weights.keys() - self._used:
            raise ValueError(f"it has {min(unused)} as well")
        sides = [1, 3, "height", "width"]
        graph = helper.make_graph(
            self._nodes,
            "TransformerNet",
            [helper.make_tensor_value_info("input1", TensorProto.FLOAT, sides)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3, None, None])],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def _stylize(self, x: str) -> str:
        for i, stride in ((1, 1), (2, 2), (3, 2)):
            x = self._relu(self._norm(self._conv(x, f"conv{i}", stride), f"in{i}"))
        for i in range(1, _RESIDUALS + 1):
            x = self._residual(x, f"res{i}")
        for i in (1, 2):
            x = self._add_node("Resize", [x, "", "scales"], mode="nearest", nearest_mode="floor",
                               coordinate_transformation_mode="asymmetric")  # fmt: skip
            x = self._relu(self._norm(self._conv(x, f"deconv{i}"), f"in{3 + i}"))
        return self._conv(x, "deconv3")

    def _residual(self, x: str, name: str) -> str:
        y = self._relu(self._norm(self._conv(x, f"{name}.conv1"), f"{name}.in1"))
        y = self._norm(self._conv(y, f"{name}.conv2"), f"{name}.in2")
        return self._add_node("Add", [x, y])

    def _conv(self, x: str, name: str, stride: int = 1) -> str:
        weight, bias = (self._weight(f"{name}.conv2d.{part}") for part in ("weight", "bias"))
        kernel = self._weights[weight].shape[2]
        reach = kernel // 2
        pads = f"pads{reach}"
        self._constants[pads] = np.array([0, 0, reach, reach] * 2, np.int64)
        padded = self._add_node("Pad", [x, pads], mode="reflect")
        shape = [kernel, kernel]
        return self._add_node(
            "Conv", [padded, weight, bias], kernel_shape=shape, strides=[stride, stride]
        )

    def _norm(self, x: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._add_node("InstanceNormalization", [x, scale, shift], epsilon=1e-5)

    def _relu(self, x: str) -> str:
        return self._add_node("Relu", [x])

    def _weight(self, name: str) -> str:
        self._constants[name] = self._weights[name]
        self._used.add(name)
        return name

    def _add_node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        from onnx import helper

        output = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
