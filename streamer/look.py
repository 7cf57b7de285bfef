"""The words of a look, as the command line, the page and the API take them."""

import math
from collections.abc import Mapping
from typing import Literal

from streamer.errors import UsageError

Brush = Literal["fine", "medium", "bold"]  # the size of the strokes
BRUSHES: Mapping[Brush, int] = {"fine": 720, "medium": 540, "bold": 360}  # lines to stylize at
TONES: Mapping[str, float] = {"own": 0.0, "calm": 0.25, "half": 0.5, "steady": 1.0}
DEFAULT_TONE = "calm"  # faces as open as halfway, and in dim light as bright as with their own

LIVE_SMOOTH = 0.3  # a hundredth of the detail, a tenth of the flicker


def parse_tone(text: str) -> float:
    """A name or a number: 0, the picture's own, to 1, steady. Raises UsageError."""
    try:
        tone = TONES[text] if text in TONES else float(text)
    except ValueError:
        tone = math.nan
    if not 0 <= tone <= 1:
        raise UsageError(f"tone {text!r} is not {', '.join(TONES)} or a number from 0 to 1")
    return tone
