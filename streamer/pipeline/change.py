"""page → **change** → style control: what a client wants to look different.

Messages of the data channel and of `PATCH /streams/NAME`, checked; nothing in them is trusted.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from streamer.errors import UsageError
from streamer.frame import SMOOTHEST, Style
from streamer.look import BRUSHES, Brush, parse_tone

Height = int | Literal["auto"]
Blend = str | dict[str, float]
Looks = tuple[tuple[str, float], ...]

MAX_MESSAGE_CHARACTERS = 4096
MAX_TRANSITION_S = 60.0
_KNOWN = {
    "style",
    "strength",
    "preserve_color",
    "smooth",
    "tone",
    "transition_s",
    "brush",
    "height_px",
}


@dataclass(frozen=True, slots=True)
class Change:
    """What a client wants to be different; None leaves a thing as it is."""

    style: str | dict[str, float] | None = None
    strength: float | None = None
    preserve_color: bool | None = None
    smooth: float | None = None
    tone: float | None = None
    transition_s: float = 0.0
    brush: Brush | None = None
    height_px: Height | None = None


def read_id(text: str) -> object:
    """The `id` of a message, to answer even one that is otherwise unfit; None without one."""
    try:
        message = json.loads(text[:MAX_MESSAGE_CHARACTERS])
    except (ValueError, RecursionError):
        return None
    found = message.get("id") if isinstance(message, dict) else None
    return found if isinstance(found, int | str) else None


def read_change(text: str) -> Change:
    """The change a message asks for: `{"id": 7, "set": {...}}`. Raises UsageError."""
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise UsageError(f"a message has at most {MAX_MESSAGE_CHARACTERS} characters")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("a message must be JSON") from None
    wanted = message.get("set") if isinstance(message, dict) else None
    if not isinstance(wanted, dict) or not wanted:
        raise UsageError('a message looks like {"id": 1, "set": {"style": "mosaic"}}')
    return change(wanted)


def change(wanted: dict[str, object]) -> Change:
    """Check what stands under `set`. Raises UsageError."""
    if unknown := wanted.keys() - _KNOWN:
        raise UsageError(
            f"cannot set {', '.join(sorted(unknown))}; only {', '.join(sorted(_KNOWN))}"
        )
    return Change(
        style=_style(wanted.get("style")),
        strength=_number("strength", wanted.get("strength"), 1.0),
        preserve_color=_flag("preserve_color", wanted.get("preserve_color")),
        smooth=_number("smooth", wanted.get("smooth"), SMOOTHEST),
        transition_s=_number("transition_s", wanted.get("transition_s"), MAX_TRANSITION_S) or 0.0,
        tone=_tone(wanted.get("tone")),
        brush=_brush(wanted.get("brush")),
        height_px=_height(wanted.get("height_px")),
    )


def altered(style: Style, wanted: Change, parse: Callable[[Blend], Looks]) -> Style:
    """A style after a change; `parse` knows the names. Raises UnknownStyleError, UsageError."""
    if wanted.style is not None:
        style = replace(style, blend=parse(wanted.style))
    if wanted.strength is not None:
        style = replace(style, strength=wanted.strength)
    if wanted.preserve_color is not None:
        style = replace(style, preserve_color=wanted.preserve_color)
    if wanted.smooth is not None:
        style = replace(style, smooth=wanted.smooth)
    if wanted.tone is not None:
        style = replace(style, tone=wanted.tone)
    return style


def _style(value: object) -> str | dict[str, float] | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict) or not all(_is_number(weight) for weight in value.values()):
        raise UsageError('style is a name or a blend such as {"a": 0.7, "b": 0.3}')
    return {str(name): float(weight) for name, weight in value.items()}


def _number(name: str, value: object, most: float) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not 0 <= float(value) <= most:  # type: ignore[arg-type]
        raise UsageError(f"{name} is a number from 0 to {most:g}")
    return float(value)  # type: ignore[arg-type]


def _flag(name: str, value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise UsageError(f"{name} is true or false")


def _tone(value: object) -> float | None:
    return parse_tone(value) if isinstance(value, str) else _number("tone", value, 1.0)


def _brush(value: object) -> Brush | None:
    if value is None:
        return None
    found = next((brush for brush in BRUSHES if brush == value), None)
    if found is None:
        raise UsageError(f"brush is {', '.join(BRUSHES)}")
    return found


def _height(value: object) -> Height | None:
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if not isinstance(value, int) or isinstance(value, bool) or not 16 <= value <= 4320:
        raise UsageError('height_px is "auto" or a number of pixels from 16 to 4320')
    return value


def _is_number(value: object) -> bool:
    """JSON has integers that no float can hold, and Python reads NaN and Infinity, too."""
    try:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False
