"""The largest values inside a student, measured on real frames in every style."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from streamer.training.net import StyleConv, StyleNet

KEPT = (
    0.999  # the share of values an int8 scale has to reach; the rest saturates. 0.9999 sways more
)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Layer name ("stem", "body.0.a", ...; "body.0" is the sum) to the size of its output."""

    largest: dict[str, float]

    @classmethod
    @torch.no_grad()
    def measure(cls, net: StyleNet, frames: Iterable[tuple[Tensor, Tensor]]) -> "Ranges":
        """Run every frame (y, uv in 0..1) in every style."""
        largest: dict[str, float] = {}

        def hook(name: str) -> "torch.utils.hooks.RemovableHandle":
            def note(_module: object, _inputs: object, output: Tensor) -> None:
                values = output.abs() if name.endswith(".b") else output.relu()
                rank = max(1, int(values.numel() * (1 - KEPT)))
                reach = values.flatten().topk(rank).values[-1].item()
                largest[name] = max(largest.get(name, 1e-6), reach)

            return net.get_submodule(name).register_forward_hook(note)

        hooks = [hook(name) for name in layers(net)]
        try:
            for y, uv in frames:
                for weights in torch.eye(len(net.styles)):
                    net(y, uv, weights[None])
        finally:
            for handle in hooks:
                handle.remove()
        return cls(largest)


def layers(net: StyleNet) -> list[str]:
    """Names of everything that gets an int8 scale of its own."""
    convs = [n for n, module in net.named_modules() if isinstance(module, StyleConv)]
    return convs + [f"body.{i}" for i in range(len(net.body))]
