"""The largest values inside a student, measured on real frames in every style.

Every style has ranges of its own: by one range for all, a style whose values are small would
be rounded coarsely, and what is rounded coarsely sways.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamer.training.data import Picture, fitted, to_planes, to_tensor
from streamer.training.net import StyleConv, StyleNet

# The share of values that a range has to hold; the rest saturates. The change a residual adds has
# half the steps, for its sign, and few large values: it needs a finer step more than them.
KEPT, KEPT_OF_CHANGE = 0.998, 0.96
FRAMES, SIDE_PX = 12, 320


def levels(layer: str) -> int:
    """Into how many steps the range of a layer's output is cut, to one side of zero."""
    return 127 if layer.endswith(".b") else 255


def calibration(pictures: Sequence[Picture]) -> list[tuple[Tensor, Tensor]]:
    """Frames to measure on: (y, uv) in 0..1."""
    return [to_planes(to_tensor([fitted(p, SIDE_PX)])) for p in pictures[:FRAMES]]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Layer name ("stem", "body.0.a", ...; "body.0" is the sum) to the size of its output.

    One for each style: (styles,).
    """

    largest: dict[str, Tensor]

    @classmethod
    def measure(cls, net: StyleNet, frames: Sequence[tuple[Tensor, Tensor]]) -> "Ranges":
        """Run every frame (y, uv in 0..1) in every style."""
        each = [_reach(net, frames, weights) for weights in torch.eye(len(net.styles))]
        return cls({name: torch.tensor([reach[name] for reach in each]) for name in layers(net)})


@torch.no_grad()
def _reach(
    net: StyleNet, frames: Sequence[tuple[Tensor, Tensor]], weights: Tensor
) -> dict[str, float]:
    """What `KEPT` of each layer's values keep within, on the frame where that is most."""
    largest = dict.fromkeys(layers(net), 1e-6)

    def hook(name: str) -> "torch.utils.hooks.RemovableHandle":
        def note(_module: object, _inputs: object, output: Tensor) -> None:
            change = name.endswith(".b")
            values = output.abs() if change else output.relu()
            rank = max(1, int(values.numel() * (1 - (KEPT_OF_CHANGE if change else KEPT))))
            largest[name] = max(largest[name], values.flatten().topk(rank).values[-1].item())

        return net.get_submodule(name).register_forward_hook(note)

    hooks = [hook(name) for name in layers(net)]
    try:
        for y, uv in frames:
            net(y, uv, weights[None])
    finally:
        for handle in hooks:
            handle.remove()
    return largest


def layers(net: StyleNet) -> list[str]:
    """Names of everything that gets an int8 scale of its own."""
    convs = [n for n, module in net.named_modules() if isinstance(module, StyleConv)]
    return convs + [f"body.{i}" for i in range(len(net.body))]
