"""A file of torchvision's → **vgg** → perceptual: the first layers of VGG16, which see textures.

Simonyan and Zisserman 2014. The weights are those that torchvision publishes, trained on
ImageNet; the channels are counted in the file.
"""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streamer.errors import ModelError
from streamer.library.download import DownloadError, download
from streamer.library.from_pytorch import read_state_dict
from streamer.paths import data_dir

FILE = "vgg16-397923af.pth"  # with the first digits of its SHA-256
URLS = (f"https://download.pytorch.org/models/{FILE}",)
BYTES = 553_433_881
SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"

# Numbers of the convolutions in torchvision's `features`; between the blocks size is halved.
_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB in 0..1


class Vgg(nn.Module):
    """RGB (n, 3, h, w) in 0..1 to what each of four blocks answers: relu1_2, 2_2, 3_3, 4_3.

    Raises ModelError for weights of another network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1))
        try:
            self.blocks = nn.ModuleList(_block(weights, numbers) for numbers in _BLOCKS)
        except (KeyError, RuntimeError, ValueError) as error:
            missing = error.args[0] if isinstance(error, KeyError) else "fitting layers"
            raise ModelError(f"this is not torchvision's VGG16: it has no {missing}") from None
        self.requires_grad_(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Four tensors, each of half the size of the one before."""
        x, answers = (rgb - self.mean) / self.deviation, []
        for i, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if i else x)
            answers.append(x)
        return answers


def _block(weights: Mapping[str, Tensor], numbers: tuple[int, ...]) -> nn.Sequential:
    convs = []
    for number in numbers:
        weight, bias = (weights[f"features.{number}.{part}"] for part in ("weight", "bias"))
        outputs, inputs, *size = weight.shape
        conv = nn.Conv2d(inputs, outputs, (size[0], size[1]), padding=1)
        conv.load_state_dict({"weight": weight, "bias": bias})
        convs.append(conv)
    relus = [nn.ReLU() for _ in convs]
    return nn.Sequential(*itertools.chain.from_iterable(zip(convs, relus, strict=True)))


def load(path: Path) -> Vgg:
    """The network in a file; no code in it is run. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    return Vgg(read_state_dict(path))


def fetched(progress: Callable[[int], None] = lambda _: None) -> Path:
    """The published file in the user's data directory, fetched once. Raises ModelError."""
    target = data_dir() / "training" / FILE
    if not target.is_file():
        part = target.with_suffix(".part")
        try:
            download(URLS, part, BYTES, SHA256, progress)
        except DownloadError as error:
            hint = f"or give a copy of {FILE} with --vgg"
            raise ModelError(f"cannot fetch the weights of VGG16: {error}; {hint}") from None
        part.replace(target)
    return target
