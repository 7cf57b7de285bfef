"""torch_network → **torch_graph** → torch_operators: an ONNX graph, run node by node by Torch.

One model file thus serves both engines. Knows the operators that style networks are made of
(opset 9 and later) and refuses the rest by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper

from streamer.engine.onnx_file import inputs_of
from streamer.engine.torch_operators import OPERATORS, Attributes
from streamer.errors import ModelError

# The host reads these inputs at each call, so they stay in its memory.
_HOST_INPUTS = {"Resize": (1, 2, 3), "Upsample": (1,)}


@dataclass(frozen=True, slots=True)
class _Step:
    run: Callable[..., Any]
    attributes: Attributes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class TorchGraph:
    """Call with one tensor for each of `inputs`; returns one tensor for each output.

    Shapes and types are those of the graph. Nodes that depend on no input run once, while loading.
    Raises ModelError for operators it does not know.
    """

    def __init__(
        self, model: onnx.ModelProto, device: torch.device, name: str, half: bool = False
    ) -> None:
        graph, self.inputs = model.graph, inputs_of(model)
        self._values = {t.name: _tensor(t) for t in graph.initializer}
        self._outputs = [output.name for output in graph.output]
        self._steps: list[_Step] = []
        for node in graph.node:
            if node.op_type not in OPERATORS or node.domain:
                raise ModelError(f"model {name}: Torch cannot run its operator {node.op_type}")
            self._add(node)
        self._move(device, graph.node, half)

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        values = self._values | dict(zip(self.inputs, inputs, strict=True))
        for step in self._steps:
            _run(step, values)
        return [values[name] for name in self._outputs]

    def _add(self, node: onnx.NodeProto) -> None:
        attributes = {a.name: _attribute(a) for a in node.attribute}
        step = _Step(OPERATORS[node.op_type], attributes, tuple(node.input), tuple(node.output))
        if all(name in self._values for name in node.input if name):
            with torch.inference_mode():
                _run(step, self._values)
        else:
            self._steps.append(step)

    def _move(self, device: torch.device, nodes: Sequence[onnx.NodeProto], half: bool) -> None:
        """Move arrays of floats to the device.

        The host reads integers, which are shapes and axes; Torch takes scalars from anywhere.
        With `half`, kernels are in half precision, which convolutions follow.
        """
        kernels = {node.input[1] for node in nodes if node.op_type == "Conv"} if half else set()
        host = {
            node.input[place]
            for node in nodes
            for place in _HOST_INPUTS.get(node.op_type, ())
            if place < len(node.input)
        }
        used = {name for step in self._steps for name in step.inputs} | set(self._outputs)
        self._values = {
            name: value
            if name in host or value.dim() == 0 or not value.is_floating_point()
            else _place(value.half() if name in kernels else value, device)
            for name, value in self._values.items()
            if name in used
        }


def _place(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda" and value.dim() == 4:
        return value.to(device, memory_format=torch.channels_last)
    return value.to(device)


def _run(step: _Step, values: dict[str, torch.Tensor]) -> None:
    arguments = [values[name] if name else None for name in step.inputs]
    result = step.run(step.attributes, *arguments)
    results = result if isinstance(result, tuple) else (result,)
    values.update(zip(step.outputs, results, strict=False))


def _tensor(proto: onnx.TensorProto) -> torch.Tensor:
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def _attribute(proto: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    return value.decode() if isinstance(value, bytes) else value
