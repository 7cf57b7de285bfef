"""stylizer_torch_ops → **stylizer_torch_spatial**: ONNX operators that know height and width."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.errors import ModelError

Attributes = Mapping[str, Any]


def ints(at: Attributes, name: str, given: Tensor | None) -> list[int] | None:
    """A list that older opsets have as an attribute and newer ones as an input."""
    found = at.get(name) if given is None else given.reshape(-1).tolist()
    return None if found is None else list(found)


def conv(at: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel, rank = weight.shape[2:], weight.dim() - 2
    strides = at.get("strides", [1] * rank)
    dilations = at.get("dilations", [1] * rank)
    pads = list(at.get("pads", [0] * 2 * rank))
    if at.get("auto_pad", "NOTSET").startswith("SAME"):
        pads = _same(at["auto_pad"], x.shape[2:], kernel, strides, dilations)
    if pads[:rank] != pads[rank:]:
        x, pads = F.pad(x, _torch_pads(pads)), [0] * 2 * rank
    convolve = {1: F.conv1d, 2: F.conv2d}[rank]
    kind = weight.dtype  # of all three; back in single, where sums and normalisations belong
    bias = None if bias is None else bias.to(kind)
    convolved = convolve(
        x.to(kind), weight, bias, strides, pads[:rank], dilations, at.get("group", 1)
    )
    return convolved.float()


def _same(mode: str, size: Any, kernel: Any, strides: Any, dilations: Any) -> list[int]:
    begins, ends = [], []
    for length, k, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        reach = (-(-length // stride) - 1) * stride + dilation * (k - 1) + 1
        total = max(reach - length, 0)
        less, more = total // 2, total - total // 2
        begins.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return begins + ends


def _torch_pads(pads: list[int]) -> list[int]:
    """ONNX: all begins, then all ends. Torch: begin and end by dimension, the last one first."""
    rank = len(pads) // 2
    return [pads[side] for d in reversed(range(rank)) for side in (d, d + rank)]


def pad(
    at: Attributes,
    x: Tensor,
    given: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    pads = ints(at, "pads", given) or []
    if axes is not None:
        whole = torch.zeros(2, x.dim(), dtype=torch.int64)
        whole[:, axes] = torch.tensor(pads).reshape(2, -1)
        pads = whole.reshape(-1).tolist()
    mode = str(at.get("mode", "constant")).replace("edge", "replicate")
    if mode == "constant":
        fill = float(value) if value is not None else at.get("value", 0.0)
        return F.pad(x, _torch_pads(pads), value=fill)
    torch_pads = _torch_pads(pads)
    if x.dim() != 4 or any(torch_pads[4:]):
        return _pad_anywhere(x, pads, mode)
    return F.pad(x, torch_pads[:4], mode=mode)


def _pad_anywhere(x: Tensor, pads: list[int], mode: str) -> Tensor:
    """What `F.pad` does for the last two dimensions only, as with channels last."""
    for axis, size in enumerate(x.shape):
        before, after = pads[axis], pads[axis + x.dim()]
        if before or after:
            places = torch.arange(-before, size + after, device=x.device)
            if mode == "reflect":
                places = size - 1 - (size - 1 - places.abs()).abs()
            x = x.index_select(axis, places.clamp(0, size - 1))
    return x


def resize(at: Attributes, x: Tensor, *rest: Tensor | None) -> Tensor:
    """Inputs roi, scales, sizes; `Upsample` has the scales alone, or as an attribute."""
    inputs = [*rest, None, None, None]
    scales = inputs[0] if len(rest) == 1 else inputs[1]
    if inputs[2] is not None and inputs[2].numel():
        size = inputs[2].tolist()[2:]
    else:
        factors = scales.tolist() if scales is not None else at["scales"]
        size = [int(n * f) for n, f in zip(x.shape[2:], factors[2:], strict=True)]
    mode = at.get("mode", "nearest")
    where = at.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest" and all(n % m == 0 for n, m in zip(size, x.shape[2:], strict=True)):
        return F.interpolate(x, size, mode="nearest")
    if mode == "linear" and where in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        aligned = where == "align_corners"
        return F.interpolate(x, size, mode="bilinear", align_corners=aligned)
    raise ModelError(f"Torch cannot resize by {mode}, {where}")


def depth_to_space(at: Attributes, x: Tensor) -> Tensor:
    block = at["blocksize"]
    if at.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(at: Attributes, x: Tensor) -> Tensor:
    block = at["blocksize"]
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)
