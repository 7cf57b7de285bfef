"""stylizer_torch_graph → **stylizer_torch_ops**: ONNX operators in terms of Torch's.

Each takes the node's attributes and its inputs; an input left out is None. What an operator
means is told by the ONNX operator reference, opset 9 to 21.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from streamer.engine.torch_spatial import (
    Attributes,
    conv,
    depth_to_space,
    ints,
    pad,
    resize,
    space_to_depth,
)

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


def _slice(at: Attributes, x: Tensor, *given: Tensor | None) -> Tensor:
    """Inputs starts, ends, axes, steps."""
    starts, ends, axes, steps = (*given, None, None, None, None)[:4]
    begins, stops = ints(at, "starts", starts) or [], ints(at, "ends", ends) or []
    where = ints(at, "axes", axes) or range(len(begins))
    strides = ints({}, "", steps) or [1] * len(begins)
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
        dims = ints(at, "axes", axes) or list(range(x.dim()))
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
    dims = ints(at, "axes", axes)
    return x.squeeze() if dims is None else x.squeeze(tuple(dims))


def _unsqueeze(at: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    dims = ints(at, "axes", axes) or []
    rank = x.dim() + len(dims)
    for dim in sorted(d % rank for d in dims):
        x = x.unsqueeze(dim)
    return x


def _gather(at: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = at.get("axis", 0) % x.dim()
    picked = x.index_select(axis, index.reshape(-1).to(x.device) % x.shape[axis])
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _split(at: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, parts = at.get("axis", 0), ints(at, "split", sizes)
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


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda at, a, b: a + b,
    "Cast": lambda at, x: x.to(_DTYPES[at["to"]]),
    "Clip": _clip,
    "Concat": lambda at, *parts: torch.cat(parts, at["axis"]),
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Conv": conv,
    "DepthToSpace": depth_to_space,
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
    "Pad": pad,
    "Pow": _pow,
    "Reciprocal": lambda at, x: 1 / x,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda at, x: F.relu(x),
    "Reshape": _reshape,
    "Resize": resize,
    "Round": lambda at, x: x.round(),
    "Shape": lambda at, x: torch.tensor(x.shape),
    "Sigmoid": lambda at, x: x.sigmoid(),
    "Slice": _slice,
    "SpaceToDepth": space_to_depth,
    "Split": _split,
    "Sqrt": lambda at, x: x.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda at, a, b: a - b,
    "Tanh": lambda at, x: x.tanh(),
    "Transpose": lambda at, x: x.permute(at.get("perm", list(reversed(range(x.dim()))))),
    "Unsqueeze": _unsqueeze,
    "Upsample": resize,
}
