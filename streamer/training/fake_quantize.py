"""Rounding inside a network that learns, as its int8 form will round.

What rounding makes sway, the student unlearns. After Jacob et al., "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, for values only: rounded
weights are another network, but one that stands as still.
"""

from functools import partial

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from streamer.training.calibration import Ranges, levels
from streamer.training.net import StyleNet


class Rounding:
    """Off at first; `close` turns it off again."""

    def __init__(self, net: StyleNet) -> None:
        self._net = net
        self._hooks: list[RemovableHandle] = []

    @property
    def on(self) -> bool:
        """Whether the network rounds."""
        return bool(self._hooks)

    def begin(self, ranges: Ranges) -> None:
        """Round the output of every layer but the last, whose bytes are pixels."""
        for name, reach in ranges.largest.items():
            if name != "out":
                round_ = partial(_round, reach / levels(name), levels(name))
                self._hooks.append(self._net.get_submodule(name).register_forward_hook(round_))

    def close(self) -> None:
        """Round no longer."""
        while self._hooks:
            self._hooks.pop().remove()


def _round(
    steps: Tensor, most: int, _layer: object, inputs: tuple[Tensor, Tensor], output: Tensor
) -> Tensor:
    """The output as bytes could hold it; its gradient is that of the output within its range."""
    step = (inputs[1] @ steps)[:, None, None, None]
    held = torch.minimum(torch.maximum(output, -(most + 1) * step), most * step)
    return held + ((held / step).round() * step - held).detach()
