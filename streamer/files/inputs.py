"""batch → **inputs**: the files that `streamer file` was given, and where each result goes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from streamer.errors import UsageError
from streamer.frame import Style

PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# Videos that are written as what they were, and those that become something else.
KEPT: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".mts"})
CHANGED: Final = {
    **dict.fromkeys((".gif", ".3gp"), ".mp4"),
    **dict.fromkeys((".avi", ".flv", ".mpg", ".mpeg", ".ogv", ".vob", ".wmv"), ".mkv"),
}
PIPE: Final = "-"
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Item:
    """One input and its target."""

    source: Path
    target: Path

    @property
    def is_photo(self) -> bool:
        """By its suffix."""
        return self.source.suffix.lower() in PHOTOS


def parse_time(text: str) -> Fraction:
    """Seconds of `90`, `1:30` or `0:01:30.5`. Raises UsageError."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a time; write 90, 1:30 or 0:01:30.5")
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def label(style: Style) -> str:
    """A style as part of a file name."""
    return re.sub(r"[^\w+-]+", "-", "+".join(name for name, _ in style.blend))


def items(inputs: Iterable[str], output: str | None, style: Style) -> list[Item]:
    """Every file to be made, in order. Raises UsageError when that is not clear."""
    name = label(style)
    sources = [source for given in inputs for source in _expand(Path(given), name)]
    if not sources:
        raise UsageError("no video or photo found")
    made = [Item(source, _target(source, output, name, len(sources) == 1)) for source in sources]
    targets = [item.target.absolute() for item in made]
    for item, target in zip(made, targets, strict=True):
        if targets.count(target) > 1:
            raise UsageError(f"two inputs would both become {item.target}")
    return made


def _expand(given: Path, name: str) -> list[Path]:
    if not given.is_dir():
        return [given]
    inside = sorted(path for path in given.iterdir() if not path.name.startswith("."))
    known = [path for path in inside if path.suffix.lower() in PHOTOS | KEPT | CHANGED.keys()]
    ours = {path.with_name(_name(path, name)) for path in known}
    return [path for path in known if path.is_file() and path not in ours]


def _target(source: Path, output: str | None, name: str, alone: bool) -> Path:
    if output is None:
        return source.with_name(_name(source, name))
    if Path(output).is_dir():
        return Path(output) / _name(source, name)
    if alone and not output.endswith("/"):
        return Path(output)
    raise UsageError(f"{output} is not a folder, and several files would be written to it")


def _name(source: Path, name: str) -> str:
    suffix = source.suffix.lower()
    suffix = source.suffix if suffix in PHOTOS | KEPT else CHANGED.get(suffix, ".mkv")
    return f"{source.stem}.{name}{suffix}"
