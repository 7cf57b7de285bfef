"""bench → **saved** → serve, file, doctor: what `streamer bench` found best on this machine."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import StreamerError
from streamer.paths import data_dir
from streamer.ring.setup import Setup, cores, gpus

Use = Literal["live", "film"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What `streamer bench` found, and for which machine."""

    live: Setup
    film: Setup
    date: str
    cores: int
    gpus: int


def recall(use: Use, *asked: object) -> tuple[Setup, str] | None:
    """What the bench found best, and a line that says so; None when anything was `asked` for."""
    if any(one is not None for one in asked):
        return None
    tuned = load()
    if tuned is None:
        return None
    best = tuned.live if use == "live" else tuned.film
    return best, f"as `streamer bench` found best on {tuned.date}: {best}"


def place() -> Path:
    """The file in which findings are kept."""
    return data_dir() / "bench.json"


def load() -> Tuned | None:
    """The findings for this machine, if there are any; those of another machine do not count."""
    try:
        told = json.loads(place().read_text(encoding="utf-8"))
        live, film = Setup(**told.pop("live")), Setup(**told.pop("film"))
        tuned = Tuned(live, film, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return tuned if (tuned.cores, tuned.gpus) == (cores(), gpus()) else None


def save(live: Setup, film: Setup, date: str) -> Path:
    """Keep findings; returns where. Raises StreamerError."""
    tuned, path = Tuned(live, film, date, cores(), gpus()), place()
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(tuned), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise StreamerError(f"cannot write {path}: {error.strerror}") from None
    return path


def forget() -> bool:
    """Remove the findings; whether there were any."""
    there = place().exists()
    place().unlink(missing_ok=True)
    return there
