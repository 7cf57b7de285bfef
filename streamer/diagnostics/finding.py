"""checks → **finding** → doctor: what one look at this machine showed."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`note` is something that works, or is only needed for what not everybody does."""

    name: str
    state: Literal["ok", "note", "fail"]
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Finding:
    """As it should be."""
    return Finding(name, "ok", found)


def note(name: str, found: str, fix: str) -> Finding:
    """Good enough to go on."""
    return Finding(name, "note", found, fix)


def fail(name: str, found: str, fix: str) -> Finding:
    """Streamer cannot do its work like this."""
    return Finding(name, "fail", found, fix)
