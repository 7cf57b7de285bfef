"""A discriminator: learns to tell the teacher's paintings from the student's, patch by patch.

A student that cannot know where each stroke lies paints the average of the places where it could
lie, which is right for every pixel, and pale. Seen beside the photo, the average gives itself away;
strokes do not, wherever they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOISE = 0.03  # added to what it sees, of the full range: or it lives by traces that nobody sees
PIXELS = 8  # of luma, for each opinion
GAIN = 4.0  # planes are in 0..1, weights are drawn for a deviation of 1


class Discriminator(nn.Module):
    """A photo and its painting to one opinion for every patch of 34 pixels: 1 if the teacher's.

    After Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017
    (patches, beside the photo), Mao et al., "Least Squares Generative Adversarial Networks", 2017,
    and Miyato and Koyama, "cGANs with Projection Discriminator", 2018 (one for all styles).
    """

    def __init__(self, styles: int, width: int = 24) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(12, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 3 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.real = nn.Conv2d(3 * width, 1, 1)
        self.style = nn.Embedding(styles, 3 * width)
        nn.init.zeros_(self.style.weight)

    def forward(
        self, photo: tuple[Tensor, Tensor], painting: tuple[Tensor, Tensor], style: Tensor
    ) -> Tensor:
        """Opinions (n, 1, h/8, w/8); both are (y, uv) in 0..1, `style` (n,) indices."""
        halves = [plane for y, uv in (photo, painting) for plane in (F.pixel_unshuffle(y, 2), uv)]
        seen = torch.cat(halves, 1) - 0.5
        found = self.body(GAIN * (seen + NOISE * torch.randn_like(seen)))
        of_style = (found * self.style(style)[:, :, None, None]).sum(1, keepdim=True)
        opinions: Tensor = self.real(found) + of_style
        return opinions


def discrimination(of_teacher: Tensor, of_student: Tensor) -> Tensor:
    """What a discriminator is to make small: how wrong its opinions are."""
    return (of_teacher - 1).square().mean() + of_student.square().mean()


def conviction(of_student: Tensor, flat: Tensor) -> Tensor:
    """What a student is to make small: how little it is taken for the teacher.

    `flat` (n, 1, h, w) is 1 where its opinion does not count.
    """
    return ((of_student - 1).square() * (1 - F.avg_pool2d(flat, PIXELS))).mean()
