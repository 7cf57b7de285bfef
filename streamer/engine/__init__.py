"""Networks and the engines that run them, chosen by measurement.

Engines are imported below this package only, so that here is the place to silence them.
"""

import os
import sys


def silence_telemetry() -> None:
    """Nothing is ever sent: ONNX Runtime is told so, OpenVINO's telemetry package is not loaded.

    Has to run before either engine is imported.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO's Python package falls back to one that does nothing when this import fails.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


silence_telemetry()
