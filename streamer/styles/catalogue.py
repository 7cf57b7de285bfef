"""Names → **styles** → models: the catalogue that knows which weights file paints which style.

Reads manifests and checks names; loads no model and imports no engine.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from streamer.errors import ModelError, UnknownStyleError, UsageError

if TYPE_CHECKING:
    from streamer.engine.stylizer import Backend, StylizerSpec

NONE = "none"  # the style that is the camera picture itself
Blend = tuple[tuple[str, float], ...]
LayoutName = Literal["rgb26", "rgb255", "rgb1", "rgb2", "i420"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tensors of a network mean."""

    multiple: int  # both sides have to be multiples of this
    least: int  # and no smaller: reflecting pads need that many pixels
    most: int  # pixels to paint at once; larger pictures are painted smaller, and enlarged
    black: float  # the value of black, in and out
    white: float  # the value of white, in and out
    blends: bool  # takes `style_weights`, one a style
    strokes_px: int | None = None  # shorter side at which strokes have their size; None: any


# A 4000x3000 photo as it is takes rgb26 4.4 GB and rgb255 more: `most` keeps both near 2 GB.
_SINGLE = Layout(multiple=4, least=32, most=3_000_000, black=0, white=255, blends=False)
LAYOUTS: Mapping[str, Layout] = {
    "rgb26": Layout(multiple=4, least=32, most=6_000_000, black=0, white=1, blends=True),
    "rgb255": _SINGLE,
    "rgb1": replace(_SINGLE, white=1),
    "rgb2": replace(_SINGLE, black=-1, white=1),
    "i420": Layout(
        multiple=8, least=16, most=64_000_000, black=0, white=255, blends=True, strokes_px=360
    ),
}


@dataclass(frozen=True, slots=True)
class Look:
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
    styles: tuple[Look, ...]
    license: str = ""
    source: str = ""
    added: bool = False  # by the user, who may remove it
    listed: bool = True  # else its styles are reached as style@model only
    int8: "ModelFile | None" = None  # the same network in 8 bits, for processors good at them
    multiple: int = 0  # of both sides of a picture, where the layout's own does not do

    def read(self) -> bytes:
        """The file's bytes. Raises ModelError when it is missing or not the one it should be."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            text = f"model {self.name}: cannot read {self.path}: {reason}{self._way_out}"
            raise ModelError(text) from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            text = f"model {self.name}: {self.path} is damaged (its SHA-256 differs)"
            raise ModelError(f"{text}{self._way_out}")
        return data

    @property
    def _way_out(self) -> str:
        return f"; forget it with: streamer styles remove {self.name}" if self.added else ""


class Catalogue:
    """Every style there is. Of two models with a style of one name, the first has the name.

    The other one is reached as `style@model`.
    """

    def __init__(self, models: Sequence[ModelFile], default: str = NONE) -> None:
        self.models = tuple(models)
        self._names: dict[str, str] = {NONE: NONE}  # whatever may be asked for → the style's name
        self._looks: dict[str, tuple[ModelFile, Look]] = {}
        for model in models:
            for look in model.styles:
                self._add(model, look)
        self.default = self._names.get(default, NONE)

    def _add(self, model: ModelFile, look: Look) -> None:
        qualified = f"{look.name}@{model.name}"
        taken = look.name in self._names or not model.listed
        name = qualified if taken else look.name
        self._looks[name] = model, look
        for known_as in (name, qualified, *(look.aliases if model.listed else ())):
            self._names.setdefault(known_as, name)

    @classmethod
    def load(cls) -> Self:
        """The built-in styles, then those pulled or added. Raises ModelError."""
        from streamer.styles.manifest import read_all

        models, default = read_all()
        return cls(models, default)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        yield from (NONE, *self._listed())

    def _listed(self) -> Iterator[str]:
        return (name for name, (model, _) in self._looks.items() if model.listed)

    def find(self, name: str) -> tuple[ModelFile, Look]:
        """The model and look behind a name or alias. Raises UnknownStyleError."""
        look = self._looks.get(self._names.get(name, ""))
        if look is None:
            raise UnknownStyleError(name, self)
        return look

    def check(self, style: str) -> str:
        """The name that `style`, perhaps an alias, stands for. Raises UnknownStyleError."""
        if style not in self._names:
            raise UnknownStyleError(style, self)
        return self._names[style]

    def parse(self, style: str | Mapping[str, float]) -> Blend:
        """Read `mosaic`, `a:0.7,b:0.3` or `{"a": 0.7, "b": 0.3}`; weights will sum to 1.

        Raises UnknownStyleError, or UsageError for weights that make no blend.
        """
        weights = _split(style) if isinstance(style, str) else style
        shares: dict[str, float] = {}
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise UsageError(f"the weight of {name} must be 0 or more, not {weight:g}")
            known = self.check(name)
            shares[known] = shares.get(known, 0.0) + weight
        total = sum(shares.values())
        if not 0 < total < math.inf:
            raise UsageError("a blend needs one weight above 0, as in mosaic:0.7,ember:0.3")
        return tuple((name, share / total) for name, share in shares.items() if share > 0)

    def listing(self) -> dict[str, Any]:
        """What `GET /styles` says."""
        styles = [{"name": NONE, "title": "Camera", "model": "", "description": "As it comes"}]
        styles += [self.entry(name) for name in self._listed()]
        return {"default": self.default, "styles": styles}

    def entry(self, name: str) -> dict[str, str]:
        """What the listing says of a style but `none`. Raises UnknownStyleError."""
        model, look = self.find(name)
        return {
            "name": self.check(name),
            "title": look.title,
            "model": model.name,
            "description": look.description,
        }

    def spec(
        self, backend: "Backend", *, threads: int = 1, device: str = "cpu", grows: bool = False
    ) -> "StylizerSpec":
        """What a worker needs to paint every style of the catalogue; `grows`: later ones, too."""
        from streamer.engine.stylizer import StylizerSpec

        models = () if backend == "none" else self.models
        return StylizerSpec(backend, threads, device, models, grows)


def _split(text: str) -> dict[str, float]:
    """`a:0.7,b:0.3` as a mapping; a name alone has weight 1."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = part.partition(":")
        name = name.strip()
        try:
            weights[name] = weights.get(name, 0.0) + (float(number) if colon else 1.0)
        except ValueError:
            raise UsageError(f"{number!r} is no weight; write a:0.7,b:0.3") from None
    return weights
