"""manifest → **catalogue** → everyone: which model stylizes in which style, by name.

Reads manifests and checks names; loads no model and imports no engine.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from streamer.errors import UnknownStyleError, UsageError
from streamer.styles.manifest import read_all
from streamer.styles.model import NONE, Blend, ModelFile, StyleEntry, names_of
from streamer.styles.published import Published, published

MAX_LIVE_NETWORKS = 4  # in one blend: each runs once a frame


class Catalogue:
    """Every style there is, by name.

    Of two models with a style of one name, the first has the name; the other is `style@model`.
    """

    def __init__(self, models: Sequence[ModelFile], default: str = NONE) -> None:
        self.models = tuple(models)
        self._names: dict[str, str] = {NONE: NONE}  # name, alias or style@model → name
        self._entries: dict[str, tuple[ModelFile, StyleEntry]] = {}
        for model in models:
            for entry in model.styles:
                self._add(model, entry)
        self.default = self._names.get(default, NONE)

    def _add(self, model: ModelFile, entry: StyleEntry) -> None:
        qualified = f"{entry.name}@{model.name}"
        taken = entry.name in self._names or not model.listed
        name = qualified if taken else entry.name
        self._entries[name] = model, entry
        for known_as in (name, qualified, *(entry.aliases if model.listed else ())):
            self._names.setdefault(known_as, name)

    @classmethod
    def load(cls) -> Self:
        """The built-in styles, then those pulled or added. Raises ModelError."""
        models, default = read_all()
        return cls(models, default)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        yield from (NONE, *self._listed())

    def _listed(self) -> Iterator[str]:
        return (name for name, (model, _) in self._entries.items() if model.listed)

    def find(self, name: str) -> tuple[ModelFile, StyleEntry]:
        """The model and entry of a name or alias. Raises UnknownStyleError."""
        found = self._entries.get(self._names.get(name, ""))
        if found is None:
            raise self._unknown(name)
        return found

    def has_pulled(self, network: Published) -> bool:
        """Whether it is here, by whatever name."""
        return any(one.added and one.source == network.urls[0] for one in self.models)

    def _unknown(self, name: str) -> UnknownStyleError:
        to_pull = [one.style for one in published().values() if not self.has_pulled(one)]
        return UnknownStyleError(name, self, to_pull)

    def check(self, style: str) -> str:
        """The name of `style`, which may be an alias. Raises UnknownStyleError."""
        if style not in self._names:
            raise self._unknown(style)
        return self._names[style]

    def parse(self, style: str | Mapping[str, float]) -> Blend:
        """Read `mosaic`, `a:0.7,b:0.3` or `{"a": 0.7, "b": 0.3}`; the weights then sum to 1.

        Raises UnknownStyleError, or UsageError for weights that are negative, infinite or all 0.
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

    def parse_live(self, style: str | Mapping[str, float]) -> Blend:
        """As `parse`; raises UsageError for a blend that would hold up other streams, too."""
        blend = self.parse(style)
        networks = {self.find(name)[0].name for name in names_of(blend)}
        if len(networks) > MAX_LIVE_NETWORKS:
            limit = f"a live blend takes styles of at most {MAX_LIVE_NETWORKS} networks"
            raise UsageError(f"{limit}, not of {len(networks)}")
        return blend

    def listing(self) -> dict[str, Any]:
        """The body of `GET /styles`."""
        styles = [{"name": NONE, "title": "Camera", "model": "", "description": "As it comes"}]
        styles += [self.entry(name) for name in self._listed()]
        return {"default": self.default, "styles": styles}

    def entry(self, name: str) -> dict[str, Any]:
        """A style in the listing, other than `none`. Raises UnknownStyleError."""
        model, entry = self.find(name)
        return {
            "name": self.check(name),
            "title": entry.title,
            "model": model.name,
            "description": entry.description,
            "added": model.added,
        }


def _split(text: str) -> dict[str, float]:
    """`a:0.7,b:0.3` as a mapping; a name alone has weight 1."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = part.partition(":")
        name = name.strip()
        try:
            weights[name] = weights.get(name, 0.0) + (float(number) if colon else 1.0)
        except ValueError:
            raise UsageError(f"{number!r} is not a weight; write a:0.7,b:0.3") from None
    return weights
