"""add → **read** → trial: any network or picture as an ONNX network that stylizes every size.

`from_pytorch` and `from_picture` convert what is not ONNX. The bytes are a stranger's: `add` has
them read in a process that is limited in time and memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamer.engine.onnx_file import Shape, inputs_of, make_size_dynamic, parse
from streamer.engine.steady import of_photos
from streamer.errors import ModelError, UsageError
from streamer.library.from_picture import MAX_PIXELS, picture_to_onnx
from streamer.library.from_pytorch import state_dict_to_onnx
from streamer.library.trial import find_multiple, find_range
from streamer.paths import built_in_models
from streamer.styles.manifest import NAME
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile, StyleEntry

CHECKPOINTS = (".pth", ".pt", ".model")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_FILE_BYTES = 256 * 2**20
MAX_STYLES = 1024
_BLENDING = ["image", "style_weights"]  # inputs of layout rgb26
_RANGES: dict[str, LayoutName] = {"0..255": "rgb255", "0..1": "rgb1", "-1..1": "rgb2"}


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """What a file became: an ONNX network that stylizes images of every size."""

    data: bytes
    layout: LayoutName
    names: tuple[str, ...]  # of its styles, in the order of `style_weights`
    multiple: int = 0  # of both sides of an image; 0: the layout's own
    facts: Mapping[str, str] = field(default_factory=dict)  # the file's own metadata
    statistics: bytes = b""  # steady ones, as a file; empty for a network that has none
    unfolded: str = ""  # why it runs as it was published

    @property
    def entries(self) -> tuple[StyleEntry, ...]:
        return tuple(
            StyleEntry(name, name.replace("-", " ").capitalize(), index=index)
            for index, name in enumerate(self.names)
        )

    def model(self, name: str) -> ModelFile:
        """Stands for it in a stylizer; its file is `data`."""
        return ModelFile(name, Path(name), "", self.layout, self.entries, multiple=self.multiple)


def read(
    path: Path, name: str, values: str | None = None, max_pixels: int = MAX_PIXELS
) -> ImportedModel:
    """The network in a file, or the one that stylizes like a picture; called `name`.

    `values` is what black and white are to a network of one style: `0..255`, `0..1` or `-1..1`;
    None finds out. Raises UsageError, ModelError, MediaError; TooLargeError for a picture of more
    than `max_pixels`.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if values is not None and values not in _RANGES:
        raise UsageError(f"the values are one of {', '.join(_RANGES)}, not {values}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    imported = _open(path, name, _RANGES.get(values or ""), max_pixels)
    multiple = find_multiple(imported.model("trial"), imported.data, path.name)
    imported = replace(imported, multiple=multiple)
    try:
        statistics = steady_of(imported.data, imported.layout, multiple)
    except ModelError as reason:  # of another family: it has no tone
        return replace(imported, unfolded=str(reason))
    return replace(imported, statistics=statistics)


def steady_of(data: bytes, name: LayoutName, multiple: int = 0) -> bytes:
    """The file of a network's steady statistics; empty for one that has none, or many styles.

    `multiple` is of both sides of an image; 0: the layout's own. Raises ModelError for a network
    that runs as it was published.
    """
    layout, photos = LAYOUTS[name], built_in_models() / "photos"
    multiple = max(multiple, layout.side_multiple)
    return of_photos(data, layout.black, layout.white, photos, multiple)


def _open(path: Path, name: str, layout: LayoutName | None, max_pixels: int) -> ImportedModel:
    ending = path.suffix.lower()
    if ending == ".onnx":
        return _open_onnx(path, name, layout)
    if ending in CHECKPOINTS:
        return ImportedModel(state_dict_to_onnx(path), "rgb255", (name,))
    if ending in PICTURES:
        return ImportedModel(picture_to_onnx(path, max_pixels), "rgb1", (name,))
    supported = ", ".join((".onnx", *CHECKPOINTS, *PICTURES))
    raise UsageError(f"{path.name}: unsupported file type; supported are {supported}")


def _open_onnx(path: Path, name: str, layout: LayoutName | None) -> ImportedModel:
    parsed = parse(path.read_bytes(), path.name)
    inputs = inputs_of(parsed)
    facts = {entry.key: entry.value for entry in parsed.metadata_props}
    if list(inputs) != _BLENDING:
        _check_image_input(path.name, inputs)
        make_size_dynamic(parsed)
        data = parsed.SerializeToString()
        layout = layout or find_range(data, _RANGES.values(), path.name)
        return ImportedModel(data, layout, (name,), facts=facts)
    names = _names(name, inputs["style_weights"], facts.get("styles", ""))
    return ImportedModel(parsed.SerializeToString(), "rgb26", names, facts=facts)


def _check_image_input(name: str, inputs: Mapping[str, Shape]) -> None:
    shape = next(iter(inputs.values()), ())
    if len(inputs) != 1 or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        shown = ", ".join(f"{tensor} {list(shape)}" for tensor, shape in inputs.items())
        wanted = "one input [1, 3, height, width], or image and style_weights"
        raise ModelError(f"{name} has the inputs {shown}; what can be added has {wanted}")


def _names(name: str, shape: Shape, listed: str) -> tuple[str, ...]:
    """A name for each style weight: those that the file lists, else numbered ones."""
    count = shape[0] if shape else None
    if not isinstance(count, int) or not 0 < count <= MAX_STYLES:
        raise ModelError(f"its input style_weights must have a fixed length up to {MAX_STYLES}")
    names = tuple(part.strip() for part in listed.split(","))
    if len(set(names)) == count == len(names) and all(map(NAME.fullmatch, names)):
        return names
    return (name,) if count == 1 else tuple(f"{name}-{i}" for i in range(count))
