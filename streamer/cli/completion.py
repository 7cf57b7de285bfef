"""What a shell offers for the values of options: styles, cameras."""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path


def words_to_complete(environment: Mapping[str, str]) -> list[str] | None:
    """The words after `streamer` on the line that a shell completes; None when none does."""
    if "_STREAMER_COMPLETE" not in environment:
        return None
    line = environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS", "")
    try:
        return shlex.split(line)[1:]
    except ValueError:  # a quotation mark is still open
        return line.split()[1:]


def styles(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of styles with what they look like, also for the last one of a blend."""
    from streamer.errors import StreamerError
    from streamer.styles.catalogue import Catalogue

    before, comma, _ = incomplete.rpartition(",")
    try:
        listing = Catalogue.load().listing()["styles"]
    except StreamerError:
        return
    for style in listing:
        yield f"{before}{comma}{style['name']}", style["description"]


def added_styles(incomplete: str) -> list[str]:
    """Those that can be removed."""
    from streamer.styles.catalogue import Catalogue

    catalogue = Catalogue.load()
    return [name for name in catalogue if name != "none" and catalogue.find(name)[0].added]


def published(incomplete: str) -> list[tuple[str, str]]:
    """Networks that can be pulled."""
    from streamer.styles.published import published as every

    return [(one.name, one.description) for one in every().values()]


def cameras(incomplete: str) -> list[tuple[str, str]]:
    """The cameras of this machine by number, and the screen."""
    found = [("screen", "what the screen shows")]
    for path in sorted(Path("/sys/class/video4linux").glob("video*/name")):
        number = re.sub(r"\D", "", path.parent.name)
        found.append((number, path.read_text(errors="replace").strip()))
    return found


def virtual_cameras(incomplete: str) -> list[str]:
    """Devices that a virtual camera may be."""
    if not sys.platform.startswith("linux"):
        return []
    devices = sorted(Path("/sys/devices/virtual/video4linux").glob("video*"))
    return [os.fspath(Path("/dev") / device.name) for device in devices]
