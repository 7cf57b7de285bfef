"""Slow networks to learn from, behind one small protocol (`data.Teacher`)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from streamer.errors import ModelError
from streamer.training.data import Picture


class BlendTeacher:
    """An ONNX network with inputs `image` (1, 3, h, w in 0..1, RGB) and `style_weights`.

    `styles` maps the wanted names to their places in `style_weights`.
    """

    def __init__(self, path: Path, styles: Mapping[str, int], threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        shapes = {i.name: i.shape for i in self._session.get_inputs()}
        if set(shapes) != {"image", "style_weights"}:
            raise ModelError(f"{path} has inputs {sorted(shapes)}, not image and style_weights")
        self._count = shapes["style_weights"][0]
        self._places = tuple(styles.values())
        self.styles = tuple(styles)

    def paint(self, picture: Picture, style: int) -> Picture:
        """The picture in the style with this index, at the same size (multiples of 4)."""
        weights = np.zeros(self._count, np.float32)
        weights[self._places[style]] = 1
        image = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        (painted,) = self._session.run(None, {"image": image, "style_weights": weights})
        bytes_ = (painted[0] * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return np.ascontiguousarray(bytes_.transpose(1, 2, 0))
