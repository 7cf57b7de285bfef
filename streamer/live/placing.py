"""placement → **placing**: which process takes a new stream. Pure: knows numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass

USUAL_COST = 0.15  # of a core, for a stream whose like was not measured yet
LEAST_COST = 0.02


@dataclass(frozen=True, slots=True)
class Load:
    """What is known of one process, and of the machine it is on.

    `cpu` is in cores, of this process over the last look; `streams` those that it had then, and
    `since` those that were placed there after. `room` is how many cores it may take in all.
    """

    up: bool
    cpu: float = 0.0
    streams: int = 0
    since: int = 0
    room: float = 1.0


def choose(loads: Sequence[Load]) -> int | None:
    """The index of the process that will have most room left; None when none is up."""
    cost = cost_of(loads)
    up = [index for index, load in enumerate(loads) if load.up]
    return min(up, key=lambda index: _share(loads[index], cost), default=None)


def cost_of(loads: Sequence[Load]) -> float:
    """Cores that one stream takes, as measured over all processes."""
    streams = sum(load.streams for load in loads)
    if streams == 0:
        return USUAL_COST
    return max(LEAST_COST, sum(load.cpu for load in loads if load.streams) / streams)


def _share(load: Load, cost: float) -> tuple[float, int]:
    """How full it would be with one more. What it does without streams will not last."""
    cpu = load.cpu if load.streams else 0.0
    return (cpu + cost * (load.since + 1)) / load.room, load.streams + load.since


@dataclass(frozen=True, slots=True)
class Rate:
    """One stream's frame rates, and how long it has run."""

    in_fps: float
    out_fps: float
    age_s: float


SETTLED_S = 8.0  # by then a stream has the height that it can hold
LEAST_FPS = 12.0  # on average; with less, one more stream would only take from the others


def full(rates: Sequence[Rate]) -> str | None:
    """Why no more streams fit; None: they do."""
    settled = [rate for rate in rates if rate.age_s > SETTLED_S and rate.in_fps > LEAST_FPS]
    if not settled:
        return None
    fps = sum(rate.out_fps for rate in settled) / len(settled)
    if fps >= LEAST_FPS:
        return None
    who = f"{len(settled)} streams get" if len(settled) > 1 else "1 stream gets"
    return f"the workers are full: {who} {fps:.0f} frames a second each; try again later"
