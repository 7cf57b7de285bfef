"""train → **perceptual_loss** → vgg: how near an image is to a photo, and to a painting in strokes.

The perceptual losses of Johnson, Alahi and Fei-Fei 2016: a network that sees textures compares.
What is in the picture has to stay as in the photo (its answers, deep inside); how it is painted
has to become as in the painting (how often its answers occur together, at four depths: Gram
matrices, Gatys et al. 2016).
"""

import torch
from torch import Tensor, nn

from streamer.training.vgg import Vgg

CONTENT_LAYER = 1  # relu2_2


def gram(answers: Tensor) -> Tensor:
    """(n, c, h, w) as (n, c, c): how strongly each pair of channels answers together."""
    flat = answers.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


class PerceptualLoss:
    """Compares RGB (n, 3, h, w) in 0..1 with photos and with one painting."""

    def __init__(self, vgg: Vgg, painting: Tensor) -> None:
        self._vgg = vgg.eval()
        with torch.no_grad():
            self._grams = [gram(answers) for answers in vgg(painting)]

    def judge(self, picture: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Distances of content and of strokes.

        Each is a share of what it is compared with: 0 is the same, 1 as far as nothing at all.
        """
        answers = self._vgg(picture)
        with torch.no_grad():
            wanted = self._vgg(photo)[CONTENT_LAYER]
        content = _apart(answers[CONTENT_LAYER], wanted)
        pairs = zip(answers, self._grams, strict=True)
        return content, torch.stack([_apart(gram(a), wanted) for a, wanted in pairs]).mean()


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.mse_loss(found, wanted.expand_as(found)) / wanted.square().mean()
