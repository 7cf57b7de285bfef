"""program → **look** → style: how pictures are to look, and what there is to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamer.errors import UsageError
from streamer.frame import SMOOTHEST, Style
from streamer.look import BRUSHES, DEFAULT_TONE, Brush, parse_tone
from streamer.styles.catalogue import Catalogue

DEFAULT_BRUSH: Brush = "medium"


@dataclass(frozen=True, slots=True)
class StyleInfo:
    """A style that is installed."""

    name: str
    title: str
    description: str
    model: str
    """The network it is in: styles of one network blend at no extra cost."""


@dataclass(frozen=True, slots=True)
class Look:
    """How pictures are to look. Wherever one is taken, a style's name alone will do.

    Raises UsageError for values that are out of range; a style is looked up where it is used.
    """

    style: str | Mapping[str, float] | None = None
    """A name, or a blend: `"mosaic:0.7,ember:0.3"`, `{"mosaic": 0.7, "ember": 0.3}`. None: the
    default style."""
    strength: float = 1.0
    """0 leaves a picture as it is, 1 shows the style alone."""
    preserve_color: bool = False
    """Whether the picture keeps its own colours under the strokes."""
    smooth: float = 0.0
    """0 to 0.95: reduces flicker between frames where nothing moves."""
    tone: float | str = DEFAULT_TONE
    """Colours and contrast: `own` follows the picture (0), `steady` is the same for every picture
    (1), `calm` and `half` lie between."""
    brush: Brush | None = None
    """Size of the strokes: `fine`, `medium` and `bold` stylize at 720, 540 and 360 lines. None:
    `medium` for live streams, the picture's own size elsewhere."""

    def __post_init__(self) -> None:
        for name, most in (("strength", 1.0), ("smooth", SMOOTHEST)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"{name} is a number from 0 to {most:g}")
        parse_tone(str(self.tone))
        if self.brush is not None and self.brush not in BRUSHES:
            raise UsageError(f"brush is {', '.join(BRUSHES)}, not {self.brush!r}")


Styled = Look | str | Mapping[str, float] | None
"""A Look, or its style alone."""


def look_of(look: Styled) -> Look:
    """The look that is meant."""
    return look if isinstance(look, Look) else Look(look)


def lines_of(look: Look) -> int | None:
    """The lines to stylize at; None: the picture's own."""
    return None if look.brush is None else BRUSHES[look.brush]


def style_of(look: Look, catalogue: Catalogue) -> Style:
    """With names that exist, and weights that sum to 1. Raises UnknownStyleError, UsageError."""
    blend = catalogue.parse(catalogue.default if look.style is None else look.style)
    return replace(
        Style(blend, look.strength, look.preserve_color),
        smooth=look.smooth,
        tone=parse_tone(str(look.tone)),
    )


def list_styles() -> list[StyleInfo]:
    """Every style that is installed: those that come with streamer, then pulled and added ones."""
    listing = Catalogue.load().listing()["styles"]
    return [StyleInfo(s["name"], s["title"], s["description"], s["model"]) for s in listing]
