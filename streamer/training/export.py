"""A trained student as ONNX files: float for every engine, int8 for ONNX Runtime on a CPU.

Both read and write bytes: `y` (1, 1, h, w), `uv` (1, 2, h/2, w/2) and `style_weights` (n, sum 1)
in, `y_out` and `uv_out` out; h and w multiples of 8.
"""

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from streamer.training.calibration import Ranges
from streamer.training.int8 import quantized_graph
from streamer.training.net import StyleNet

OPSET = 17
AXES = {
    "y": {2: "height", 3: "width"},
    "uv": {2: "half_height", 3: "half_width"},
    "y_out": {2: "height", 3: "width"},
    "uv_out": {2: "half_height", 3: "half_width"},
}


class _Bytes(nn.Module):
    """The student with bytes at both ends and one blend for the picture."""

    def __init__(self, net: StyleNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, y: Tensor, uv: Tensor, style_weights: Tensor) -> tuple[Tensor, Tensor]:
        planes = self.net(y.float() / 255, uv.float() / 255, style_weights[None])
        painted = [(p * 255).round().clamp(0, 255).to(torch.uint8) for p in planes]
        return painted[0], painted[1]


def export_float(net: StyleNet, path: Path) -> None:
    """Write the plain float network, of standard operators only."""
    y = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    uv = torch.zeros(1, 2, 32, 32, dtype=torch.uint8)
    weights = torch.full((len(net.styles),), 1 / len(net.styles))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no onnxscript calls itself old
        torch.onnx.export(
            _Bytes(net.eval()),
            (y, uv, weights),
            str(path),
            input_names=["y", "uv", "style_weights"],
            output_names=["y_out", "uv_out"],
            dynamic_axes=AXES,
            opset_version=OPSET,
            dynamo=False,
        )
    _describe(path, net)


def export_int8(net: StyleNet, path: Path, ranges: Ranges) -> None:
    """Write the int8 network."""
    onnx.save(quantized_graph(net.eval(), ranges), path)
    _describe(path, net)


def _describe(path: Path, net: StyleNet) -> None:
    """Put the styles' names into the file and check it."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"layout": "i420", "styles": ",".join(net.styles)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
