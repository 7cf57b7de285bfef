"""manifest → **model** → catalogue, engine: a model's file, the styles in it, its tensors.

Values only; loads no weights and imports no engine.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from streamer.errors import ModelError

if TYPE_CHECKING:
    from streamer.frame import Style

NONE = "none"  # the style that leaves the image as it is
Blend = tuple[tuple[str, float], ...]
LayoutName = Literal["rgb26", "rgb255", "rgb1", "rgb2"]


def names_of(blend: Blend) -> list[str]:
    """The styles of a blend that a network makes: all but `none`."""
    return [name for name, _ in blend if name != NONE]


def is_painted(style: "Style") -> bool:
    """Whether a network has a part in a style."""
    return style.strength > 0 and bool(names_of(style.blend))


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tensors of a network mean."""

    side_multiple: int  # both sides have to be multiples of this
    min_side_px: int  # and no smaller: reflecting pads need that many pixels
    max_pixels: int  # in one run; a larger image is stylized smaller, and enlarged
    black: float  # the value of black, in and out
    white: float  # the value of white, in and out
    blends: bool  # takes `style_weights`, one for each style


# At 4000x3000 rgb26 takes 4.4 GB and rgb255 more: `max_pixels` keeps both near 2 GB.
_SINGLE = Layout(
    side_multiple=4, min_side_px=32, max_pixels=3_000_000, black=0, white=255, blends=False
)
LAYOUTS: Mapping[str, Layout] = {
    "rgb26": Layout(
        side_multiple=4, min_side_px=32, max_pixels=6_000_000, black=0, white=1, blends=True
    ),
    "rgb255": _SINGLE,
    "rgb1": replace(_SINGLE, white=1),
    "rgb2": replace(_SINGLE, black=-1, white=1),
}


@dataclass(frozen=True, slots=True)
class StyleEntry:
    """One style of a model: its names, and its place in `style_weights`."""

    name: str
    title: str
    description: str = ""
    index: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A weights file and what is known about it."""

    name: str
    path: Path
    sha256: str
    layout: LayoutName
    styles: tuple[StyleEntry, ...]
    license: str = ""
    source: str = ""
    added: bool = False  # by the user, who may remove it
    listed: bool = True  # else its styles are reached as style@model only
    multiple: int = 0  # of both sides of an image; 0: the layout's own
    statistics: Path | None = None  # steady statistics of its norms, by style

    def found(self, find: Callable[[Path], Path]) -> "ModelFile":
        """The same on another machine, where `find` says where a file is."""
        statistics = self.statistics and find(self.statistics)
        return replace(self, path=find(self.path), statistics=statistics)

    def read(self) -> bytes:
        """The file's bytes. Raises ModelError when it is missing or its SHA-256 differs."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            text = f"model {self.name}: cannot read {self.path}: {reason}{self._hint}"
            raise ModelError(text) from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            text = f"model {self.name}: {self.path} is damaged (its SHA-256 differs)"
            raise ModelError(f"{text}{self._hint}")
        return data

    @property
    def _hint(self) -> str:
        return f"; remove it with: streamer styles remove {self.name}" if self.added else ""
