"""Slow networks to learn from: anything the catalogue can paint, or an ONNX file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx

from streamer.errors import ModelError
from streamer.frame import Style
from streamer.planes import from_rgb, to_rgb
from streamer.styles import Catalogue, LayoutName, Look, ModelFile
from streamer.stylizer import StylizerSpec
from streamer.training.data import Picture


class CatalogueTeacher:
    """Paints with any style streamer knows, and with ONNX files: `data.Teacher`.

    `sources`: style names, or paths that end in .onnx. Raises UnknownStyleError, ModelError.
    """

    def __init__(self, sources: Sequence[str], threads: int = 1) -> None:
        catalogue = Catalogue.load()
        found: list[tuple[ModelFile, Look]] = []
        for source in sources:
            if source.endswith(".onnx"):
                model = from_file(Path(source))
                found += [(model, look) for look in model.styles]
            else:
                found.append(catalogue.find(source))
        models = tuple(dict.fromkeys(model for model, _ in found))
        self._stylizer = StylizerSpec("onnx", threads, models=models).load()
        self._blends = [Style(((f"{look.name}@{model.name}", 1.0),)) for model, look in found]
        self.styles = tuple(look.name for _, look in found)
        if len(set(self.styles)) < len(self.styles):
            raise ModelError(f"two of the styles have one name: {', '.join(self.styles)}")

    def paint(self, picture: Picture, style: int) -> Picture:
        """The picture in the style with this index, at its own size."""
        return to_rgb(self._stylizer.stylize(from_rgb(picture), self._blends[style]))


def from_file(path: Path) -> ModelFile:
    """A network file by its inputs. Raises ModelError for a layout nobody knows."""
    try:
        data = path.read_bytes()
        inputs = onnx.load_from_string(data).graph.input
    except Exception as error:  # protobuf and the file system have errors of many kinds
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from None
    layouts: dict[tuple[str, ...], LayoutName] = {
        ("image", "style_weights"): "rgb26",
        ("y", "uv", "style_weights"): "i420",
    }
    known = layouts.get(tuple(i.name for i in inputs))
    if known is None and len(inputs) != 1:
        raise ModelError(f"{path} has the inputs {', '.join(i.name for i in inputs)}")
    stem = path.stem.lower().replace("_", "-")
    count = inputs[-1].type.tensor_type.shape.dim[0].dim_value if known else 1
    names = [stem] if count == 1 else [f"{stem}-{i}" for i in range(count)]
    looks = tuple(Look(name, name, index=i) for i, name in enumerate(names))
    return ModelFile(stem, path, hashlib.sha256(data).hexdigest(), known or "rgb255", looks)
