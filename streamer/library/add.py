"""A file of the user's → **styles_adopt** → the library: any network or picture as a style."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamer.engine.onnx_file import free_sides, refuse_external_data
from streamer.engine.onnx_network import OnnxNetwork, describe
from streamer.engine.stylizer import Stylizer
from streamer.errors import ModelError, UsageError
from streamer.frame import Image, Style, i420_size
from streamer.library import store as library
from streamer.styles.manifest import NAME
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile, StyleEntry

CHECKPOINTS = (".pth", ".pt", ".model")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_FILE_BYTES = 512 * 2**20
MAX_STYLES = 1024
_TRIALS = ((64, 48), (100, 68))  # sides differ, or a network of one fixed size would pass
_MULTIPLES = (0, 8, 16, 32, 64)  # of a picture's sides; 0: the layout's own
_BY_INPUTS: dict[tuple[str, ...], LayoutName] = {
    ("image", "style_weights"): "rgb26",
    ("y", "uv", "style_weights"): "i420",
}
_RANGES: dict[str, LayoutName] = {"0..255": "rgb255", "0..1": "rgb1", "-1..1": "rgb2"}


@dataclass(frozen=True, slots=True)
class Network:
    """What was made of a file: an ONNX network that stylizes pictures of every size."""

    data: bytes
    layout: LayoutName
    names: tuple[str, ...]  # of its styles
    int8: bytes | None = None
    multiple: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)  # what the file says of itself

    @property
    def entries(self) -> tuple[StyleEntry, ...]:
        """Its styles, in the order of `style_weights`."""
        return tuple(
            StyleEntry(name, name.replace("-", " ").capitalize(), index=index)
            for index, name in enumerate(self.names)
        )

    def model(self, name: str) -> ModelFile:
        """Stands for it in a stylizer; its file is `data`."""
        return ModelFile(name, Path(name), "", self.layout, self.entries, multiple=self.multiple)


def adopt(
    path: Path,
    *,
    name: str | None = None,
    title: str | None = None,
    license: str | None = None,
    values: str | None = None,
) -> tuple[str, ...]:
    """Add an ONNX network, a TransformerNet's state dict or a picture; returns its styles.

    `license`: None is what the file says, else unknown. Raises UsageError, ModelError, MediaError,
    UnavailableError.
    """
    called = library.to_name(name or path.stem)
    library.check_free(called)
    network = read(path, called, values)
    entries = network.entries
    if title:
        entries = (replace(entries[0], title=title), *entries[1:])
    return library.add(
        library.NewModel(
            called,
            network.data,
            network.layout,
            entries,
            license or network.facts.get("license", "unknown"),
            network.facts.get("source", f"added from {path.name}"),
            network.int8,
            network.multiple,
        )
    )


def read(path: Path, name: str, values: str | None = None) -> Network:
    """The network in a file, or the one that stylizes like a picture; called `name`.

    `values` is what black and white are to a network of one style: `0..255`, `0..1` or `-1..1`;
    None finds out. Raises UsageError, ModelError, MediaError, UnavailableError.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if values is not None and values not in _RANGES:
        raise UsageError(f"the values are one of {', '.join(_RANGES)}, not {values}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    network = _open(path, name, _RANGES.get(values or ""))
    return replace(network, multiple=_try(network, path.name))


def _open(path: Path, name: str, layout: LayoutName | None) -> Network:
    ending = path.suffix.lower()
    if ending == ".onnx":
        return _open_onnx(path, name, layout)
    if ending in CHECKPOINTS:
        from streamer.library.from_pytorch import to_onnx

        return Network(to_onnx(path), "rgb255", (name,))
    if ending in PICTURES:
        from streamer.library.from_picture import picture_to_onnx

        return Network(picture_to_onnx(path), "rgb1", (name,))
    kinds = ", ".join((".onnx", *CHECKPOINTS, *PICTURES))
    raise UsageError(f"{path.name} is neither a network nor a picture: {kinds}")


def _open_onnx(path: Path, name: str, layout: LayoutName | None) -> Network:
    data = path.read_bytes()
    refuse_external_data(data)
    inputs, facts = describe(data, path.name)
    known = _BY_INPUTS.get(tuple(inputs))
    if known is None:
        _check_picture_input(path.name, inputs)
        data = free_sides(data)
        return Network(data, layout or _guess(data, path.name), (name,), facts=facts)
    names = _names(name, inputs["style_weights"], facts.get("styles", ""))
    beside = path.with_suffix(".int8.onnx")
    int8 = beside.read_bytes() if known == "i420" and beside.is_file() else None
    return Network(data, known, names, int8, facts=facts)


def _check_picture_input(name: str, inputs: Mapping[str, Sequence[int | str]]) -> None:
    shape = next(iter(inputs.values()), ())
    if len(inputs) != 1 or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        shown = ", ".join(f"{tensor} {list(shape)}" for tensor, shape in inputs.items())
        wanted = "one input [1, 3, height, width], or image and style_weights"
        raise ModelError(f"{name} has the inputs {shown}; what can be added has {wanted}")


def _names(name: str, shape: Sequence[int | str], listed: str) -> tuple[str, ...]:
    """A name for each style weight: as the file itself has them, else numbered."""
    count = shape[0] if shape else None
    if not isinstance(count, int) or not 0 < count <= MAX_STYLES:
        raise ModelError("its input style_weights has no fixed length")
    names = tuple(part.strip() for part in listed.split(","))
    if len(set(names)) == count == len(names) and all(map(NAME.fullmatch, names)):
        return names
    return (name,) if count == 1 else tuple(f"{name}-{i}" for i in range(count))


def _guess(data: bytes, name: str) -> LayoutName:
    """The layout in whose range a network answers a picture of that range, and fills it."""
    rows, columns = np.mgrid[0:1:64j, 0:1:64j].astype(np.float32)
    picture = np.stack([rows, columns, (rows + columns) / 2])[None]

    def fit(layout_name: LayoutName) -> float:
        layout = LAYOUTS[layout_name]
        span = np.float32(layout.white - layout.black)
        network = OnnxNetwork(ModelFile(name, Path(name), "", layout_name, ()), data, 1)
        stylized = network.stylize(
            picture * span + np.float32(layout.black), np.ones(1, np.float32)
        )
        share = (stylized - layout.black) / span
        return float(((share > -0.1) & (share < 1.1)).mean() * share.clip(0, 1).std())

    try:
        return max(_RANGES.values(), key=fit)
    except Exception as error:  # whatever the engine says
        raise ModelError(
            f"{name} cannot stylize a picture of 64x64: {_first_line(error)}"
        ) from None


def _try(network: Network, name: str) -> int:
    """Stylize pictures of unlike sizes in every file of a network.

    Returns the multiple that their sides have to be filled up to, 0 for that of the layout.
    Raises ModelError when no size comes back.
    """
    failure = ""
    for multiple in _MULTIPLES:
        try:
            for data in filter(None, (network.data, network.int8)):
                _stylize_trials(replace(network, data=data, multiple=multiple))
        except Exception as error:  # whatever the engine says, or a picture of another size
            failure = failure or _first_line(error)
        else:
            return multiple
    raise ModelError(f"{name} cannot stylize pictures of every size: {failure}")


def _stylize_trials(network: Network) -> None:
    model = network.model("it")
    stylizer = Stylizer({model: OnnxNetwork(model, network.data, os.cpu_count() or 1)})
    style = Style(((network.names[0], 1.0),))
    for width, height in _TRIALS:
        ramp = np.linspace(16, 235, i420_size(width, height)).astype(np.uint8)
        stylizer.stylize(Image(width, height, ramp), style)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
