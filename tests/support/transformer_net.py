"""TransformerNets with random weights, and their state dicts as published ones are."""

import torch
from torch import Tensor, nn

from streamer.training.net import TransformerNet


def random_net(channels: int) -> TransformerNet:
    """Stylizes in mid grey."""
    torch.manual_seed(channels)
    net = TransformerNet(channels).eval()
    for module in net.modules():
        if isinstance(module, nn.InstanceNorm2d):
            assert module.weight is not None and module.bias is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    nn.init.normal_(net.deconv3.conv2d.weight, std=1 / (9 * channels**0.5))
    return net


def state_dict(net: TransformerNet) -> dict[str, Tensor]:
    """Of a network from 0..255 to 0..255."""
    return {name: torch.from_numpy(value) for name, value in net.weights().items()}
