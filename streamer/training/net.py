"""run → **net** → from_pytorch: TransformerNet, the network of PyTorch's fast_neural_style example.

Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer", 2016, with instance
norms (Ulyanov et al. 2016), so streamer runs it folded. The names of its layers are those in
published state dicts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

CONTRAST = 0.25  # of the picture that a fresh network makes, in units of white
RESIDUALS = 5


class Conv(nn.Module):
    """Pads by reflection, so that edges look like the rest."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(size // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.conv2d(self.pad(x))
        return convolved


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, channels, 3), Conv(channels, channels, 3)
        self.in1, self.in2 = (nn.InstanceNorm2d(channels, affine=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.in2(self.conv2(relu(self.in1(self.conv1(x)))))
        return x + changed


class TransformerNet(nn.Module):
    """RGB (n, 3, h, w), 0..1, to about the same; sides are multiples of 4.

    `channels` of its first layer: 32 in the paper; 16 take a quarter of the time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        one, two, four = channels, 2 * channels, 4 * channels
        down = (Conv(3, one, 9), Conv(one, two, 3, 2), Conv(two, four, 3, 2))
        up = (Conv(four, two, 3), Conv(two, one, 3))
        for i, conv in enumerate(down, 1):
            self.add_module(f"conv{i}", conv)
        for i, conv in enumerate(up, 1):
            self.add_module(f"deconv{i}", conv)
        for i, conv in enumerate((*down, *up), 1):
            self.add_module(f"in{i}", nn.InstanceNorm2d(conv.conv2d.out_channels, affine=True))
        for i in range(1, RESIDUALS + 1):
            self.add_module(f"res{i}", Residual(four))
        self.deconv3 = Conv(one, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        for i in (1, 2, 3):
            x = self._layer(f"conv{i}", f"in{i}", x)
        for i in range(1, RESIDUALS + 1):
            x = self.get_submodule(f"res{i}")(x)
        for i in (1, 2):
            x = self._layer(f"deconv{i}", f"in{3 + i}", interpolate(x, scale_factor=2))
        stylized: Tensor = self.deconv3(x)
        return 0.5 + CONTRAST * stylized

    def _layer(self, conv: str, norm: str, x: Tensor) -> Tensor:
        return relu(self.get_submodule(norm)(self.get_submodule(conv)(x)))

    def weights(self) -> dict[str, NDArray[Any]]:
        """As published ones are: of a network from 0..255 to 0..255."""
        found = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        found["conv1.conv2d.weight"] = found["conv1.conv2d.weight"] / np.float32(255)
        found["deconv3.conv2d.weight"] = found["deconv3.conv2d.weight"] * np.float32(255 * CONTRAST)
        bias = found["deconv3.conv2d.bias"]
        found["deconv3.conv2d.bias"] = np.float32(255) * (0.5 + np.float32(CONTRAST) * bias)
        return found
