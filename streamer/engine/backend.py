"""What a worker runs networks with.

`auto` runs them folded, by the engine and precision that this machine does fastest; `openvino`
the same by OpenVINO only; `onnx` and `torch` as they were published; `none` returns every image
as it came.
"""

from typing import Literal

Backend = Literal["auto", "openvino", "onnx", "torch", "none"]

# Where networks run: `gpu` and `npu` are what OpenVINO knows by these names, `cuda` is Torch's.
Device = Literal["auto", "cpu", "gpu", "npu", "cuda"]
