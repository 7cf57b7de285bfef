"""The network of PyTorch's fast_neural_style example, as a reference of any width.

Written from its description (Johnson et al. 2016, with instance normalisation); what its layers
are called is what its published state dicts call them.
"""

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu


class ConvLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(size // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.conv2d(self.reflection_pad(x))
        return convolved


def norm(channels: int) -> nn.InstanceNorm2d:
    layer = nn.InstanceNorm2d(channels, affine=True)
    assert layer.weight is not None and layer.bias is not None
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias, std=0.3)
    return layer


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.in1 = ConvLayer(channels, channels, 3), norm(channels)
        self.conv2, self.in2 = ConvLayer(channels, channels, 3), norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.in2(self.conv2(relu(self.in1(self.conv1(x)))))
        return x + changed


class TransformerNet(nn.Module):
    """RGB 0..255 (n, 3, h, w) to about the same; random weights that stylize in mid grey."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        one, two, four = channels, 2 * channels, 4 * channels
        last = ConvLayer(one, 3, 9)
        layers = {
            "conv1": (ConvLayer(3, one, 9), norm(one)),
            "conv2": (ConvLayer(one, two, 3, 2), norm(two)),
            "conv3": (ConvLayer(two, four, 3, 2), norm(four)),
            "deconv1": (ConvLayer(four, two, 3), norm(two)),
            "deconv2": (ConvLayer(two, one, 3), norm(one)),
        }
        for i, (name, (conv, normed)) in enumerate(layers.items(), 1):
            self.add_module(name, conv)
            self.add_module(f"in{i}", normed)
        for i in range(1, 6):
            self.add_module(f"res{i}", ResidualBlock(four))
        self.add_module("deconv3", last)
        assert last.conv2d.bias is not None
        nn.init.normal_(last.conv2d.weight, std=60 / (9 * channels**0.5))
        nn.init.constant_(last.conv2d.bias, 128)

    def forward(self, x: Tensor) -> Tensor:
        for i in (1, 2, 3):
            x = relu(self.get_submodule(f"in{i}")(self.get_submodule(f"conv{i}")(x)))
        for i in range(1, 6):
            x = self.get_submodule(f"res{i}")(x)
        for i in (1, 2):
            x = self.get_submodule(f"deconv{i}")(interpolate(x, scale_factor=2))
            x = relu(self.get_submodule(f"in{3 + i}")(x))
        stylized: Tensor = self.get_submodule("deconv3")(x)
        return stylized
