"""add → **trial**: what a network's file does not say shows when the network runs."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamer.engine.onnx_network import OnnxNetwork
from streamer.engine.stylizer import Stylizer
from streamer.errors import ModelError, first_line
from streamer.frame import Image, Style, i420_size
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile

_MULTIPLES = (0, 8, 16, 32, 64)  # of both sides of an image; 0: the layout's own
# Sides differ, filled up to a multiple as well: a network of one size or that swaps them fails.
_SIZES = ((64, 160), (200, 68))


def find_range(data: bytes, layouts: Iterable[LayoutName], name: str) -> LayoutName:
    """The layout in whose range a network answers an image of that range, and fills it.

    Raises ModelError when it cannot stylize an image of 64x64.
    """
    rows, columns = np.mgrid[0:1:64j, 0:1:64j].astype(np.float32)
    image = np.stack([rows, columns, (rows + columns) / 2])[None]

    def fit(layout_name: LayoutName) -> float:
        layout = LAYOUTS[layout_name]
        span = np.float32(layout.white - layout.black)
        network = OnnxNetwork(ModelFile(name, Path(name), "", layout_name, ()), data, 1)
        stylized = network.stylize(image * span + np.float32(layout.black), np.ones(1, np.float32))
        share = (stylized - layout.black) / span
        return float(((share > -0.1) & (share < 1.1)).mean() * share.clip(0, 1).std())

    try:
        return max(layouts, key=fit)
    except Exception as error:  # whatever ONNX Runtime raises
        raise ModelError(f"{name} cannot stylize an image of 64x64: {first_line(error)}") from None


def find_multiple(model: ModelFile, networks: Sequence[bytes], name: str) -> int:
    """What the sides of an image have to be multiples of for every network of a model.

    0 stands for the multiple of the layout. Raises ModelError when no size comes back.
    """
    failure = ""
    for multiple in _MULTIPLES:
        try:
            for data in networks:
                _stylize_all_sizes(replace(model, multiple=multiple), data)
        except Exception as error:  # whatever ONNX Runtime raises, or an image of another size
            failure = failure or first_line(error)
        else:
            return multiple
    raise ModelError(f"{name} cannot stylize images of every size: {failure}")


def _stylize_all_sizes(model: ModelFile, data: bytes) -> None:
    stylizer = Stylizer({model: OnnxNetwork(model, data, os.cpu_count() or 1)})
    style = Style(((model.styles[0].name, 1.0),))
    for width, height in _SIZES:
        ramp = np.linspace(16, 235, i420_size(width, height)).astype(np.uint8)
        stylizer.stylize(Image(width, height, ramp), style)
