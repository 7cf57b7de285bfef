"""bench → **saved** → serve, file, doctor: the best workers for this machine, kept by `bench`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import StreamerError
from streamer.paths import data_dir, written_whole
from streamer.ring.setup import Setup, cores, gpus

Use = Literal["live", "file"]


@dataclass(frozen=True, slots=True)
class Saved:
    """The best for live streams and for files; it counts only on a machine of the same kind."""

    live: Setup
    file: Setup
    date: str
    cores: int
    gpus: int


def load_saved(use: Use, *given: object) -> tuple[Setup, str] | None:
    """What `bench` saved, and a line that says so; None when any option is `given`."""
    saved = None if any(option is not None for option in given) else load()
    if saved is None:
        return None
    best = saved.live if use == "live" else saved.file
    return best, f"using what `streamer bench` found best on {saved.date}: {best}"


def path() -> Path:
    return data_dir() / "bench.json"


def load() -> Saved | None:
    """What was saved on this machine, if anything can be read."""
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
        live, file = Setup(**found.pop("live")), Setup(**found.pop("file"))
        saved = Saved(live, file, **found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return saved if (saved.cores, saved.gpus) == (cores(), gpus()) else None


def save(live: Setup, file: Setup, date: str) -> Path:
    """Returns where. Raises StreamerError."""
    saved, target = Saved(live, file, date, cores(), gpus()), path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as out:
            out.write(json.dumps(asdict(saved), indent=2).encode() + b"\n")
    except OSError as error:
        raise StreamerError(f"cannot write {target}: {error.strerror}") from None
    return target


def clear() -> bool:
    """Whether there was anything to delete."""
    existed = path().exists()
    path().unlink(missing_ok=True)
    return existed
