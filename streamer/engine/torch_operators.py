"""torch_graph → **torch_operators**: ONNX operators in terms of Torch's.

Each takes the node's attributes and its inputs; an input left out is None. The ONNX operator
reference, opset 9 to 21, defines them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.errors import ModelError

Attributes = Mapping[str, Any]

_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}


def _ints(at: Attributes, name: str, given: Tensor | None) -> list[int] | None:
    """A list that is an attribute in older opsets and an input in newer ones."""
    found = at.get(name) if given is None else given.reshape(-1).tolist()
    return None if found is None else list(found)


def _slice(at: Attributes, x: Tensor, *given: Tensor | None) -> Tensor:
    """Inputs starts, ends, axes, steps."""
    starts, ends, axes, steps = (*given, None, None, None, None)[:4]
    begins, stops = _ints(at, "starts", starts) or [], _ints(at, "ends", ends) or []
    where = _ints(at, "axes", axes) or range(len(begins))
    strides = _ints({}, "", steps) or [1] * len(begins)
    for begin, stop, axis, stride in zip(begins, stops, where, strides, strict=True):
        window = slice(begin, stop, stride)
        if stride > 0:
            x = x[(slice(None),) * (axis % x.dim()) + (window,)]
        else:  # Torch has no views that run backwards
            picked = range(*window.indices(x.shape[axis]))
            x = x.index_select(axis, torch.tensor(list(picked), device=x.device))
    return x


def _reshape(at: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(n) for n in shape.tolist()]
    if not at.get("allowzero", 0):
        sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x.reshape(sizes)


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(at: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = _ints(at, "axes", axes) or list(range(x.dim()))
        return function(x, dim=dims, keepdim=bool(at.get("keepdims", 1)))

    return run


def _clip(
    at: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    least = at.get("min") if low is None else float(low)
    most = at.get("max") if high is None else float(high)
    return x.clamp(least, most)


def _gemm(at: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a, b = (m.T if at.get(flag) else m for m, flag in ((a, "transA"), (b, "transB")))
    product: Tensor = at.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + at.get("beta", 1.0) * c


def _squeeze(at: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    dims = _ints(at, "axes", axes)
    return x.squeeze() if dims is None else x.squeeze(tuple(dims))


def _unsqueeze(at: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    dims = _ints(at, "axes", axes) or []
    rank = x.dim() + len(dims)
    for dim in sorted(d % rank for d in dims):
        x = x.unsqueeze(dim)
    return x


def _gather(at: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = at.get("axis", 0) % x.dim()
    picked = x.index_select(axis, index.reshape(-1).to(x.device) % x.shape[axis])
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _split(at: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, parts = at.get("axis", 0), _ints(at, "split", sizes)
    return torch.split(x, parts or -(-x.shape[axis] // at["num_outputs"]), axis)


def _constant(at: Attributes) -> Tensor:
    (value,) = at.values()
    return value if isinstance(value, Tensor) else torch.tensor(value)


def _filled(at: Attributes, shape: Tensor) -> Tensor:
    value = at.get("value", torch.zeros(1))
    return torch.full(shape.tolist(), value.item(), dtype=value.dtype)


def _norm(at: Attributes, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=shift, eps=at.get("epsilon", 1e-5))


def _pow(at: Attributes, x: Tensor, power: Tensor) -> Tensor:
    return x.square() if power.dim() == 0 and power == 2 else x**power  # ten times as fast


def _div(at: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


# --- operators that know height and width -------------------------------------------------------


def _conv(at: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel, rank = weight.shape[2:], weight.dim() - 2
    strides = at.get("strides", [1] * rank)
    dilations = at.get("dilations", [1] * rank)
    pads = list(at.get("pads", [0] * 2 * rank))
    if at.get("auto_pad", "NOTSET").startswith("SAME"):
        pads = _same(at["auto_pad"], x.shape[2:], kernel, strides, dilations)
    if pads[:rank] != pads[rank:]:
        x, pads = F.pad(x, _torch_pads(pads)), [0] * 2 * rank
    convolve = {1: F.conv1d, 2: F.conv2d}[rank]
    kind = weight.dtype  # half on CUDA; the result is float, for sums and normalisations
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


def _pad(
    at: Attributes,
    x: Tensor,
    given: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    pads = _ints(at, "pads", given) or []
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


def _resize(at: Attributes, x: Tensor, *rest: Tensor | None) -> Tensor:
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


def _depth_to_space(at: Attributes, x: Tensor) -> Tensor:
    block = at["blocksize"]
    if at.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(at: Attributes, x: Tensor) -> Tensor:
    block = at["blocksize"]
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * block**2, h // block, w // block)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda at, a, b: a + b,
    "Cast": lambda at, x: x.to(_DTYPES[at["to"]]),
    "Clip": _clip,
    "Concat": lambda at, *parts: torch.cat(parts, at["axis"]),
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Expand": lambda at, x, shape: x * x.new_ones(shape.tolist()),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda at, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda at, x: x,
    "InstanceNormalization": _norm,
    "LeakyRelu": lambda at, x: F.leaky_relu(x, at.get("alpha", 0.01)),
    "MatMul": lambda at, a, b: a @ b,
    "Max": lambda at, a, b: torch.maximum(a, b),
    "Min": lambda at, a, b: torch.minimum(a, b),
    "Mul": lambda at, a, b: a * b,
    "Pad": _pad,
    "Pow": _pow,
    "Reciprocal": lambda at, x: 1 / x,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda at, x: F.relu(x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Round": lambda at, x: x.round(),
    "Shape": lambda at, x: torch.tensor(x.shape),
    "Sigmoid": lambda at, x: x.sigmoid(),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": lambda at, x: x.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda at, a, b: a - b,
    "Tanh": lambda at, x: x.tanh(),
    "Transpose": lambda at, x: x.permute(at.get("perm", list(reversed(range(x.dim()))))),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
