"""A file shaped like torchvision's VGG16, thin and with random weights."""

from pathlib import Path

import torch

# Convolutions of torchvision's `features`, with their channels in units of the thinnest layer.
LAYERS = ((0, 1), (2, 1), (5, 2), (7, 2), (10, 4), (12, 4), (14, 4), (17, 8), (19, 8), (21, 8))


def vgg_file(path: Path, thin: int = 8) -> Path:
    """Each layer keeps the energy of its input (He et al. 2015), so random ones see textures."""
    random, state, inputs = torch.Generator().manual_seed(3), {}, 3
    for number, width in LAYERS:
        outputs = width * thin
        weight = torch.randn(outputs, inputs, 3, 3, generator=random) * (2 / (9 * inputs)) ** 0.5
        state[f"features.{number}.weight"] = weight
        state[f"features.{number}.bias"] = torch.zeros(outputs)
        inputs = outputs
    state["classifier.0.weight"] = torch.zeros(4, 4)  # of no use here
    torch.save(state, path)
    return path
