"""The engines a worker may run networks on; `none` returns every image as it came."""

from typing import Literal

Backend = Literal["onnx", "torch", "none"]
