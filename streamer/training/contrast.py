"""distill → **contrast** → export: the teacher's contrast and colours for a student that is paler.

A student that cannot know where each stroke lies paints the average of the places where it could
lie, which is greyer than any of them. What it lacks over whole pictures is known, though, and is
a gain and a shift of its last layer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.training.data import Picture, Teacher, to_planes, to_tensor
from streamer.training.net import StyleNet

SIDE_PX = 256  # of the pictures looked at, at most
MOST = 1.5  # times the contrast: more would make noise of what is faint
PLANES = (slice(0, 16), slice(16, 20), slice(20, 24))  # channels of Y, U and V in a packed block

Moments = NDArray[np.float64]  # (3 planes, mean and deviation), of planes in 0..1


@torch.no_grad()
def match_contrast(net: StyleNet, teacher: Teacher, pictures: Sequence[Picture]) -> None:
    """Give every style of `net` the mean and the contrast that its teacher has on `pictures`."""
    cuts = [_cut(picture) for picture in pictures]
    for style, weights in enumerate(torch.eye(len(net.styles))):
        mine, wanted = [], []
        for cut in cuts:
            mine.append(_moments(net(*to_planes(to_tensor([cut])), weights[None])))
            wanted.append(_moments(to_planes(to_tensor([teacher.paint(cut, style)]))))
        for channels, (mean, deviation), (mean_wanted, deviation_wanted) in zip(
            PLANES, np.mean(mine, 0), np.mean(wanted, 0), strict=True
        ):
            scale = float(np.clip(deviation_wanted / max(deviation, 1e-6), 1 / MOST, MOST))
            net.out.gain[style, channels] *= scale
            net.out.shift[style, channels] *= scale
            net.out.shift[style, channels] += float(mean_wanted - scale * mean)


def _cut(picture: Picture) -> Picture:
    height, width = (min(side, SIDE_PX) // 8 * 8 for side in picture.shape[:2])
    return np.ascontiguousarray(picture[:height, :width])


def _moments(planes: tuple[Tensor, Tensor]) -> Moments:
    y, uv = (plane.clamp(0, 1) for plane in planes)
    parts = (y[0, 0], uv[0, 0], uv[0, 1])
    return np.array([(part.mean().item(), part.std().item()) for part in parts])
