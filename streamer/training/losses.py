"""How far a student is from its teacher, and how still it stands.

Pixels alone make a student that is right on average and blurred; the local spectrum asks for
the teacher's amount of texture without saying where each dot has to lie.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 16
GRID = 8  # pixels: one step of the student's smallest feature map
SLOPE = 0.015  # a photo whose neighbours differ by so much (down and across) is half flat
AT_EDGES = 0.4  # what standing still is worth there
FAINT = 0.02  # a texture of this strength counts half as much as an edge


def gradients(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours down and across."""
    return plane[..., 1:, :] - plane[..., :-1, :], plane[..., :, 1:] - plane[..., :, :-1]


def edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the gradients."""
    pairs = zip(gradients(a), gradients(b), strict=True)
    return torch.stack([(p - q).abs().mean() for p, q in pairs]).sum()


def local_spectrum(plane: Tensor) -> Tensor:
    """Magnitudes of the Fourier transforms of windowed 16x16 patches, every 8 pixels."""
    hann = torch.hann_window(PATCH, periodic=False, device=plane.device)
    patches = F.unfold(plane, PATCH, stride=PATCH // 2).transpose(1, 2)
    patches = patches.reshape(-1, PATCH, PATCH)
    centred = patches - patches.mean((1, 2), keepdim=True)
    magnitudes: Tensor = torch.fft.rfft2(centred * (hann[:, None] * hann), norm="ortho").abs()
    return magnitudes


def grid(plane: Tensor, windows: int = 2) -> Tensor:
    """How much of a luma plane repeats every 8 pixels, where nothing in a picture does: 0..1.

    A student asked for texture that its picture does not tell it where to put will print a
    pattern of its own, fixed to its feature maps. Folding the plane shows it and little else.
    Sides are multiples of `windows` * 8.
    """
    detail = plane - F.avg_pool2d(plane, GRID + 1, 1, GRID // 2, count_include_pad=False)
    faint = detail / (detail.abs() + FAINT)
    height, width = (side // (windows * GRID) for side in plane.shape[-2:])
    folded = faint.reshape(-1, windows, height, GRID, windows, width, GRID).mean((2, 5))
    return folded.abs().mean()


def fidelity(planes: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Distance of the student's (y, uv) to the teacher's, pixel by pixel."""
    (y, uv), (y_target, uv_target) = planes, target
    loss = 0.6 * (y - y_target).abs().mean() + (uv - uv_target).abs().mean()
    return loss + 0.4 * edge_loss(y, y_target)


def texture(luma: Tensor, target: Tensor, flat: Tensor) -> Tensor:
    """Distance of the local spectra, where the photo is not flat.

    There a teacher's strokes follow from next to nothing, and a student's would be a pattern.
    """
    difference = (local_spectrum(luma) - local_spectrum(target)).abs().mean((1, 2))
    busy = 1 - F.unfold(flat, PATCH, stride=PATCH // 2).mean(1).flatten()
    return (difference * busy).mean()


def flatness(luma: Tensor) -> Tensor:
    """1 where a photo has nothing to hold a stroke, near 0 at its edges; shape (n, 1, h, w)."""
    down, across = gradients(F.pad(luma, (0, 1, 0, 1), mode="replicate"))
    steep = down[..., :-1].abs() + across[..., :-1, :].abs()
    slope = F.avg_pool2d(steep, GRID + 1, 1, GRID // 2, count_include_pad=False)
    return 1 / (1 + (slope / SLOPE) ** 2)


def unsteadiness(first: Tensor, second: Tensor, flat: Tensor) -> Tensor:
    """Differences (n,) of what should be one picture: two noisy, shifted views over each other.

    What moves on a flat wall is seen at once. At edges, where a difference is mostly a line that
    lies half a pixel beside itself, it counts less: or the lines would be blurred.
    """
    weights = AT_EDGES + (1 - AT_EDGES) * flat
    return ((first - second).abs() * weights).mean((1, 2, 3))
