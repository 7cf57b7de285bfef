"""batch → **inputs**: the files that `streamer file` was given, and where each result goes."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from streamer.errors import UsageError
from streamer.files import animation
from streamer.files.checkpoint import short
from streamer.frame import Style
from streamer.photo import WRITES, is_animated

# Photos and videos whose results have the same suffix, and those whose results have another.
PHOTOS: Final = {
    **{suffix: suffix for suffix in WRITES},
    **dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), ".jpg"),
    **dict.fromkeys((".jfif", ".jpe", ".mpo"), ".jpg"),  # JPEG, by names few programs know
    **dict.fromkeys((".bmp", ".dib"), ".png"),
    ".avifs": ".avif",
}
_MKV: Final = (
    ".264", ".265", ".amv", ".apng", ".asf", ".avi", ".divx", ".dv", ".dvr-ms", ".flc",
    ".fli", ".flv", ".gxf", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t",
    ".m2v", ".mjpeg", ".mjpg", ".mod", ".mpe", ".mpeg", ".mpg", ".mxf", ".nut", ".obu",
    ".ogm", ".ogv", ".pva", ".rm", ".rmvb", ".swf", ".tod", ".tp", ".trp", ".vob", ".vro",
    ".wmv", ".wtv", ".xvid", ".y4m",
)  # fmt: skip
KEPT: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".mts"})
CHANGED: Final = {
    **dict.fromkeys((".3g2", ".3gp", ".f4v", ".gif"), ".mp4"),
    **dict.fromkeys(_MKV, ".mkv"),
    ".qt": ".mov",
}
PIPE: Final = "-"
SPOOLED: Final = ".video"  # suffix of what came by a pipe and is no picture
NAME_BYTES: Final = 255  # of a file name, on most file systems
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Item:
    """One input and its target."""

    source: Path
    target: Path
    is_photo: bool


def parse_time(text: str) -> Fraction:
    """Seconds of `90`, `1:30` or `0:01:30.5`. Raises UsageError."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a time; write 90, 1:30 or 0:01:30.5")
    hours, minutes, seconds = (Fraction(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def label(style: Style) -> str:
    """A style as part of a file name."""
    return short("+".join(_plain(name) for name, _ in style.blend), 60)


def items(
    inputs: Iterable[str],
    output: str | None,
    style: Style,
    styles: Iterable[str] = (),
    *,
    unreadable: list[OSError] | None = None,
) -> list[Item]:
    """Every file to be made, in order; two never get the same name.

    Folders are read with all that is in them, but for results of ours, which end in one of
    `styles`; for those that cannot be read, `unreadable` gets what was raised. Raises UsageError
    when there is nothing to do, or several files and one output file.
    """
    failures = [] if unreadable is None else unreadable
    labels = {_plain(name) for name in styles} | set(label(style).split("+"))
    found = {
        source.resolve(): (source, folder)
        for given in map(Path, inputs)
        for source, folder in _expand(given, Path(output or os.devnull), labels, failures)
    }
    if not found and failures:
        return []
    if not found:
        raise UsageError("no video or photo found")
    sources = list(found.values())
    if output is not None and not _is_folder(output, inputs, len(sources)):
        return [_named(sources[0][0], Path(output))]
    folders = [source.parent if output is None else Path(output) / at for source, at in sources]
    photos = [_is_photo(source) for source, _ in sources]
    names = _distinct(
        [
            lambda full, source=source, photo=photo: _name(source, label(style), photo, full)  # type: ignore[misc]
            for (source, _), photo in zip(sources, photos, strict=True)
        ],
        folders,
    )
    return [
        Item(source, folder / name, photo)
        for (source, _), folder, name, photo in zip(sources, folders, names, photos, strict=True)
    ]


def _named(source: Path, target: Path) -> Item:
    if not _is_dir(target.parent):
        raise UsageError(f"{target.parent}: no such folder")
    return Item(source, target, _is_photo(source))


def _is_folder(output: str, inputs: Iterable[str], count: int) -> bool:
    """Whether results go into `output`, which need not exist."""
    if output.endswith(("/", os.sep)) or _is_dir(Path(output)):
        return True
    suffix = Path(output).suffix.lower()
    if suffix in PHOTOS.keys() | KEPT | CHANGED.keys():
        if count > 1:
            raise UsageError(f"{output} is one file, and {count} files would be written to it")
        return False
    return count > 1 or any(_is_dir(Path(given)) for given in inputs)


def _is_dir(path: Path) -> bool:
    """False also where one may not look: whoever reads it as a file says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_photo(source: Path) -> bool:
    suffix = source.suffix.lower()
    return suffix in PHOTOS and not (suffix in animation.SUFFIXES and is_animated(source))


def _expand(
    given: Path, output: Path, labels: Collection[str], unreadable: list[OSError]
) -> Iterator[tuple[Path, Path]]:
    """Files, each with its folder below the given one."""
    if not _is_dir(given):
        yield given, Path()
        return
    known = PHOTOS.keys() | KEPT | CHANGED.keys()
    for at, folders, names in os.walk(given, onerror=unreadable.append):
        here = Path(at)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != output.resolve()
        )
        files = sorted(Path(n) for n in names if not n.startswith("."))
        files = [file for file in files if file.suffix.lower() in known]
        stems = {stem for file in files for stem in (file.stem, file.name)}
        for file in files:
            original, _, said = file.stem.rpartition(".")
            ours = original in stems and set(said.split("+")) <= set(labels)
            if not ours:
                yield here / file, here.relative_to(given)


def _distinct(names: list[Callable[[bool], str]], folders: list[Path]) -> list[str]:
    """A name for each file: with its old suffix, then with a number, where names collide."""

    def key(folder: Path, name: str) -> tuple[Path, str]:
        return folder.absolute(), name.casefold()  # some file systems take A and a for the same

    plain = Counter(key(f, name(False)) for f, name in zip(folders, names, strict=True))
    taken: set[tuple[Path, str]] = set()
    chosen = []
    for folder, name in zip(folders, names, strict=True):
        best = name(plain[key(folder, name(False))] > 1)
        for number in range(2, len(names) + 2):
            if key(folder, best) not in taken:
                break
            stem, dot, rest = name(True).rpartition(".")
            best = f"{stem}-{number}{dot}{rest}"
        taken.add(key(folder, best))
        chosen.append(best)
    return chosen


def _name(source: Path, style: str, photo: bool, full: bool) -> str:
    suffix = source.suffix.lower()
    if photo:
        kept = PHOTOS[suffix] == suffix
        suffix = source.suffix if kept else PHOTOS[suffix]
    elif suffix in KEPT:
        suffix = source.suffix
    else:  # an animated picture, or a format that is not written
        suffix = CHANGED.get(suffix, ".mp4" if suffix in PHOTOS or suffix == SPOOLED else ".mkv")
    rest = f".{style}{suffix}"
    most = NAME_BYTES - len(os.fsencode(rest)) - 3
    return short(source.name if full else source.stem, most) + rest


def _plain(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name)
