"""cli/bench → **trials** → measure, ring: tries every sensible ring, and picks the best.

Pure except for `trial`, which starts and stops a ring.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from streamer.diagnostics import measure
from streamer.diagnostics.measure import Speed
from streamer.engine.backend import Backend
from streamer.errors import StreamerError
from streamer.frame import Style
from streamer.ring.setup import Setup
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

ALIKE = 0.95  # of the best frame rate: within the noise, so latency decides


@dataclass(frozen=True, slots=True)
class Trial:
    """One ring, with its speed or its failure."""

    setup: Setup
    speed: Speed | None
    failure: str = ""


ENGINES: tuple[Backend, ...] = ("auto", "onnx", "torch")  # `auto` is the fastest of OpenVINO's too


def engines() -> tuple[Backend, ...]:
    """The installed ones."""
    return ENGINES if find_spec("torch") else ENGINES[:2]


def candidates(backends: Iterable[Backend], cores: int, gpus: int) -> list[Setup]:
    """Rings that use all cores: workers with 1, 2, 4, ... threads.

    Also one that leaves a core for decoding and encoding; and for Torch, one worker per GPU.
    """
    found: list[Setup] = []
    for backend in backends:
        threads = 1
        while threads < cores:
            found.append(Setup(backend, cores // threads, threads))
            threads *= 2
        found.append(Setup(backend, 1, cores))
        if cores > 1:
            found.append(Setup(backend, cores - 1))
        if backend == "torch" and gpus:
            found += [Setup(backend, count, 1, count) for count in sorted({1, gpus})]
    return list(dict.fromkeys(found))


async def trial(
    one: Setup, catalogue: Catalogue, style: Style, height_px: int, seconds: float
) -> Trial:
    """Start this ring, measure it at `height_px` for `seconds`, and stop it."""
    try:
        async with ring_of(one, catalogue, style) as ring:
            return Trial(one, await measure.speed(ring, style, height_px, seconds=seconds))
    except StreamerError as failure:
        return Trial(one, None, str(failure))


@dataclass(frozen=True, slots=True)
class Whole:
    """What the two commands do with the rings that were found best, of a video of measure.SIZE."""

    live_fps: float
    file_fps: float


async def whole(  # noqa: PLR0917 - two rings, and what to measure with each
    live: Setup, file: Setup, catalogue: Catalogue, style: Style, height_px: int, fps: float
) -> Whole:
    """Measure a live stream at `fps`, and a file, each with its ring. Raises StreamerError."""
    async with ring_of(live, catalogue, style) as ring:
        live_fps = await measure.live_fps(ring, style, height_px, fps=fps)
        if file == live:
            return Whole(live_fps, await measure.file_fps(ring, style, height_px))
    async with ring_of(file, catalogue, style) as ring:
        return Whole(live_fps, await measure.file_fps(ring, style, height_px))


def best_file(trials: Iterable[Trial]) -> Setup:
    """The one with the highest frame rate. Raises StreamerError when no ring worked."""
    return _fastest(_worked(trials))[0]


def best_live(trials: Iterable[Trial], target_fps: float) -> Setup:
    """The lowest latency among those that reach `target_fps`, else the highest frame rate.

    Raises StreamerError when no ring worked.
    """
    worked = _worked(trials)
    enough = [(one, speed) for one, speed in worked if speed.fps >= target_fps]
    return min(enough, key=lambda pair: pair[1].service_s)[0] if enough else _fastest(worked)[0]


def _fastest(worked: list[tuple[Setup, Speed]]) -> tuple[Setup, Speed]:
    most = max(speed.fps for _, speed in worked)
    alike = [(one, speed) for one, speed in worked if speed.fps >= ALIKE * most]
    return min(alike, key=lambda pair: pair[1].service_s)


def _worked(trials: Iterable[Trial]) -> list[tuple[Setup, Speed]]:
    every = list(trials)
    worked = [(one.setup, one.speed) for one in every if one.speed is not None]
    if not worked:
        reasons = "; ".join(dict.fromkeys(one.failure for one in every))
        raise StreamerError(f"no ring works on this machine: {reasons}")
    return worked
