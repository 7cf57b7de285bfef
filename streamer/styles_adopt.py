"""A file of the user's → **styles_adopt** → the library: any network or picture as a style."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streamer import styles_library as library
from streamer.errors import ModelError, UsageError
from streamer.frame import Image, Style, i420_size
from streamer.manifest import NAME
from streamer.onnx_file import free_sides, refuse_external_data
from streamer.planes import Pixels
from streamer.styles import LayoutName, Look, ModelFile
from streamer.stylizer import Stylizer
from streamer.stylizer_onnx import OnnxNetwork, describe

CHECKPOINTS = (".pth", ".pt", ".model")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_FILE_BYTES = 512 * 2**20
MAX_STYLES = 1024
_TRIALS = ((64, 48), (104, 72))  # both sides differ, or a network of one fixed size would pass
_BY_INPUTS: dict[tuple[str, ...], LayoutName] = {
    ("image", "style_weights"): "rgb26",
    ("y", "uv", "style_weights"): "i420",
}
_RANGES: dict[str, LayoutName] = {"0..255": "rgb255", "0..1": "rgb1", "-1..1": "rgb2"}


def adopt(
    path: Path,
    *,
    name: str | None = None,
    title: str | None = None,
    license: str = "unknown",
    values: str | None = None,
) -> tuple[str, ...]:
    """Add an ONNX network, a TransformerNet's state dict or a picture; returns its styles.

    `values` is what black and white are to a network of one style: `0..255`, `0..1` or `-1..1`;
    None finds out. Raises UsageError, ModelError, MediaError.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    called = library.to_name(name or path.stem)
    library.check_free(called)
    network = _read(path, called, _layout(values))
    looks = [
        Look(n, n.replace("-", " ").capitalize(), index=i) for i, n in enumerate(network.names)
    ]
    if title:
        looks[0] = replace(looks[0], title=title)
    source = f"added from {path.name}"
    new = library.NewModel(
        called, network.data, network.layout, tuple(looks), license, source, network.int8
    )
    _try(new)
    return library.add(new)


@dataclass(frozen=True, slots=True)
class _Network:
    data: bytes
    layout: LayoutName
    names: tuple[str, ...]
    int8: bytes | None = None


def _read(path: Path, name: str, layout: LayoutName | None) -> _Network:
    ending = path.suffix.lower()
    if ending == ".onnx":
        return _read_network(path, name, layout)
    if ending in CHECKPOINTS:
        from streamer.styles_checkpoint import to_onnx

        return _Network(to_onnx(path), "rgb255", (name,))
    if ending in PICTURES:
        from streamer.styles_picture import picture_to_onnx

        return _Network(picture_to_onnx(path), "rgb1", (name,))
    kinds = ", ".join((".onnx", *CHECKPOINTS, *PICTURES))
    raise UsageError(f"{path.name} is neither a network nor a picture: {kinds}")


def _layout(values: str | None) -> LayoutName | None:
    if values is None:
        return None
    if values not in _RANGES:
        raise UsageError(f"the values are one of {', '.join(_RANGES)}, not {values}")
    return _RANGES[values]


def _read_network(path: Path, name: str, layout: LayoutName | None) -> _Network:
    data = path.read_bytes()
    refuse_external_data(data)
    inputs, metadata = describe(data, path.name)
    known = _BY_INPUTS.get(tuple(inputs))
    if known is None:
        data = free_sides(data)
        return _Network(data, layout or _guess(data, name, inputs), (name,))
    names = _names(name, inputs["style_weights"], metadata.get("styles", ""))
    beside = path.with_suffix(".int8.onnx")
    int8 = beside.read_bytes() if known == "i420" and beside.is_file() else None
    return _Network(data, known, names, int8)


def _names(name: str, shape: Sequence[int | str], listed: str) -> tuple[str, ...]:
    """A name for each style weight: as the file itself has them, else numbered."""
    count = shape[0] if shape else None
    if not isinstance(count, int) or not 0 < count <= MAX_STYLES:
        raise ModelError("its input style_weights has no fixed length")
    names = tuple(part.strip() for part in listed.split(","))
    if len(set(names)) == count == len(names) and all(map(NAME.fullmatch, names)):
        return names
    return (name,) if count == 1 else tuple(f"{name}-{i}" for i in range(count))


def _try(new: library.NewModel) -> None:
    """Paint two pictures of unlike sizes. Raises ModelError when they do not come back."""
    model = ModelFile(new.name, Path(new.name), "", new.layout, new.looks)
    style = Style(((new.looks[0].name, 1.0),))
    for data in (new.data, new.int8):
        if data is None:
            continue
        stylizer = Stylizer({model: OnnxNetwork(model, data, os.cpu_count() or 1)})
        try:
            for size in _TRIALS:
                stylizer.stylize(_gradient(*size), style)
        except Exception as error:  # whatever the engine says, or a picture of another size
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{new.name} cannot paint pictures of every size: {first}") from None


def _gradient(width: int, height: int) -> Image:
    ramp = np.linspace(16, 235, i420_size(width, height)).astype(np.uint8)
    return Image(width, height, ramp)


def _guess(data: bytes, name: str, inputs: dict[str, Sequence[int | str]]) -> LayoutName:
    """The layout in whose range a network answers when it is shown a ramp of greys."""
    shape = next(iter(inputs.values()), ())
    if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, "3"):
        wanted = "one input [1, 3, height, width], or image and style_weights"
        raise ModelError(f"{name} has the inputs {_shown(inputs)}; it takes {wanted}")
    ramp = np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)

    def painted(layout: LayoutName) -> Pixels:
        network = OnnxNetwork(ModelFile(name, Path(name), "", layout, ()), data, 1)
        return network.rgb(ramp, np.ones(1, np.float32))

    if painted("rgb255").max() > 2:
        return "rgb255"
    return "rgb2" if painted("rgb2").min() < 120 else "rgb1"  # 127: it never went below 0


def _shown(inputs: dict[str, Sequence[int | str]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())
