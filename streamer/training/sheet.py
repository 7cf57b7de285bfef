"""What is written when training is over: both network files, and a picture of all styles."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from streamer.library.sheet import sheet as lay_out
from streamer.training.calibration import Ranges, calibration
from streamer.training.data import Picture, fitted, to_planes, to_tensor
from streamer.training.export import export_float, export_int8
from streamer.training.net import StyleNet

COLUMNS = 4


def write_all(net: StyleNet, path: Path, pictures: Sequence[Picture]) -> None:
    """Write `path` in float and, beside it, .int8.onnx, calibrated on these pictures."""
    export_float(net, path)
    ranges = Ranges.measure(net, calibration(pictures))
    export_int8(net, path.with_suffix(".int8.onnx"), ranges)


@torch.no_grad()
def painted(net: StyleNet, picture: Picture, style: int) -> Picture:
    """RGB of a picture whose sides are multiples of 8."""
    weights = torch.eye(len(net.styles))[style : style + 1]
    planes = net(*to_planes(to_tensor([picture])), weights)
    flat = [(p.clamp(0, 1) * 255).round().byte().flatten().numpy() for p in planes]
    height, width = picture.shape[:2]
    i420 = np.concatenate(flat).reshape(height * 3 // 2, width)
    return cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)  # type: ignore[no-any-return]


def sheet(net: StyleNet, picture: Picture, path: Path) -> None:
    """Write a contact sheet: one picture in every style, in the order of their indices."""
    small = fitted(picture, 320)
    tiles = [painted(net, small, i) for i in range(len(net.styles))]
    lay_out(tiles, net.styles, COLUMNS).save(path)
