"""The student: a style network that reads and writes I420 planes and never leaves quarter size.

One 4x4 block of luma with its two 2x2 blocks of chroma is one pixel of 24 channels. What
usually costs time around the convolutions of a style network is absent:

- No instance normalisation inside. The picture's mean and contrast are taken out once, at the
  input, as the teacher's first normalisation would; after that a style is a gain and a shift
  for each channel, which an int8 convolution applies in its own rescaling.
- No resize and no half- or full-size feature map. Enlarging twofold by repetition and then
  convolving 3x3 is the same as convolving 2x2 between the pixels, with four outputs (`Between`):
  each becomes one quarter of a pixel's cross. Two such steps meet on the pixels again.
- The picture's edge is repeated outwards, so a border entries no different from the middle.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACKED = 24  # channels of a packed block: 16 of luma, 4 of U, 4 of V
CONTRAST_FLOOR = 0.08  # below this contrast a picture is flat: its noise must not be amplified


def pack(y: Tensor, uv: Tensor) -> Tensor:
    """Planes (n, 1, h, w) and (n, 2, h/2, w/2) as blocks (n, 24, h/4, w/4)."""
    return torch.cat([F.pixel_unshuffle(y, 4), F.pixel_unshuffle(uv, 2)], 1)


def unpack(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`."""
    return F.pixel_shuffle(blocks[:, :16], 4), F.pixel_shuffle(blocks[:, 16:], 2)


def normalise(blocks: Tensor) -> Tensor:
    """Take out each plane's mean and divide by the luma's contrast: exposure does not matter."""
    planes = torch.split(blocks, [16, 4, 4], 1)
    contrast = (planes[0].var((1, 2, 3), unbiased=False, keepdim=True) + CONTRAST_FLOOR**2).sqrt()
    return torch.cat([p - p.mean((1, 2, 3), keepdim=True) for p in planes], 1) / contrast


class StyleConv(nn.Module):
    """A convolution whose channels are scaled and shifted by the blend of the styles' own."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        styles: int,
        *,
        size: int = 3,
        stride: int = 1,
        pad: int = 1,
    ) -> None:
        super().__init__()
        self.pad = pad
        self.conv = nn.Conv2d(inputs, outputs, size, stride, bias=False)
        self.gain = nn.Parameter(1 + 0.3 * torch.randn(styles, outputs))
        self.shift = nn.Parameter(torch.zeros(styles, outputs))
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor, style_weights: Tensor) -> Tensor:
        """`style_weights` (n, styles), rows sum to 1; any blend of styles is a style."""
        if self.pad:
            x = F.pad(x, (self.pad,) * 4, mode="replicate")
        gain, shift = style_weights @ self.gain, style_weights @ self.shift
        sums: Tensor = self.conv(x)
        return sums * gain[:, :, None, None] + shift[:, :, None, None]


class Residual(nn.Module):
    """relu(x + b(relu(a(x)))), starting out near the identity."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.a = StyleConv(channels, channels, styles)
        self.b = StyleConv(channels, channels, styles)
        nn.init.normal_(self.b.gain, 0.2, 0.1)

    def forward(self, x: Tensor, style_weights: Tensor) -> Tensor:
        """Shape stays as it is."""
        return F.relu(x + self.b(F.relu(self.a(x, style_weights)), style_weights))


class StyleNet(nn.Module):
    """Planes in 0..1 to planes in about 0..1 (clamp them), for any blend of its styles."""

    def __init__(
        self, styles: Sequence[str], width: int = 32, deep: int = 64, residuals: int = 3
    ) -> None:
        super().__init__()
        n = len(styles)
        self.styles = tuple(styles)
        self.shape = {"width": width, "deep": deep, "residuals": residuals}
        self.stem = StyleConv(PACKED, width, n)
        self.down = StyleConv(width, deep, n, stride=2)
        self.body = nn.ModuleList(Residual(deep, n) for _ in range(residuals))
        self.up = StyleConv(deep, 4 * width, n, size=2)  # between the pixels, one beyond the edge
        self.fine = StyleConv(width, 2 * width, n, size=2, pad=0)  # between the quarter pixels
        self.out = StyleConv(2 * width, PACKED, n, size=2, pad=0)  # on the quarter pixels again
        with torch.no_grad():
            self.out.conv.weight.mul_(0.2)
            self.out.gain.fill_(1.0)
            self.out.shift.fill_(0.5)

    def forward(self, y: Tensor, uv: Tensor, style_weights: Tensor) -> tuple[Tensor, Tensor]:
        """y (n, 1, h, w), uv (n, 2, h/2, w/2), style_weights (n, styles); h, w multiples of 8."""
        x = F.relu(self.stem(normalise(pack(y, uv)), style_weights))
        x = F.relu(self.down(x, style_weights))
        for residual in self.body:
            x = residual(x, style_weights)
        x = F.pixel_shuffle(F.relu(self.up(x, style_weights)), 2)
        x = F.relu(self.fine(x, style_weights))
        return unpack(self.out(x, style_weights))
