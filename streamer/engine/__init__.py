"""Networks and what runs them: ONNX Runtime and Torch."""
