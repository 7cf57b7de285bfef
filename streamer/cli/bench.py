"""`streamer bench`: which ring is the fastest here, in a table, and kept for `serve` and `file`."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import UsageError

if TYPE_CHECKING:
    from streamer.diagnostics.trials import Trial
    from streamer.engine.backend import Backend
    from streamer.ring.setup import Setup


def bench(  # noqa: PLR0917 - one parameter an option is how Typer works
    style: Annotated[
        str | None, typer.Option(help="What to stylize; default: the usual one.")
    ] = None,
    height: Annotated[int, typer.Option(min=16, max=4320, help="Pixels to stylize at.")] = 360,
    fps: Annotated[float, typer.Option(min=1, max=240, help="What a live stream aims at.")] = 30.0,
    backend: Annotated[
        str | None,
        typer.Option(help="onnx, torch or onnx,torch; default: all that are installed."),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="Only rings with so many a worker.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of stylizing, for each ring.")] = 5.0,
    save: Annotated[bool, typer.Option(help="Have serve and file use the best.")] = True,
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop what was found, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Find the fastest ring on this machine: ONNX or Torch, how many workers and threads.

    `serve` and `file` use what was found, and say so, when they are given none of --backend,
    --workers, --threads, --gpus and --ray-address. Leave the machine alone meanwhile.
    """
    from streamer.diagnostics import saved as tuning

    if forget:
        print("forgotten" if tuning.forget() else "there was nothing to forget")
        return
    from streamer.diagnostics import trials
    from streamer.frame import Style
    from streamer.ring.setup import cores, gpus
    from streamer.styles.catalogue import Catalogue

    catalogue = Catalogue.load()
    blend = catalogue.parse(style or catalogue.default)
    rings = trials.candidates(_engines(backend) if backend else trials.engines(), cores(), gpus())
    rings = [one for one in rings if not threads or one.threads in threads]
    if not rings:
        raise UsageError(f"no ring of {cores()} cores has so many --threads a worker")
    found = []
    for one in rings:
        found.append(asyncio.run(trials.trial(one, catalogue, Style(blend), height, seconds)))
        if not as_json:
            print(_line(found[-1]), flush=True)
    live, film = trials.best_live(found, fps), trials.best_film(found)
    where = tuning.save(live, film, f"{date.today()}") if save else None
    if as_json:
        print(json.dumps(_told(found, live, film), indent=2))
    else:
        print(f"\nlive, at {fps:g} fps: streamer serve {live}\nfilms: streamer file {film} FILE...")
        print(f"kept in {where}; both use it from now on" if where else "not kept")


def _engines(text: str) -> "list[Backend]":
    """Those named, with commas between them. Raises UsageError."""
    known: tuple[Backend, ...] = ("onnx", "torch")
    names = text.split(",")
    if not set(names) <= set(known):
        raise UsageError(f"--backend {text}: onnx, torch or onnx,torch")
    return [engine for engine in known if engine in names]


def _line(trial: "Trial") -> str:
    one = trial.setup
    ring = f"{one.backend:6} {one.workers:3} x {one.threads:2} thread{'s' * (one.threads > 1):1}"
    ring = f"{one.backend:6} {one.gpus:3} GPU{'s' * (one.gpus > 1):8}" if one.gpus else ring
    if trial.speed is None:
        return f"{ring}  {trial.failure}"
    return f"{ring}  {trial.speed.fps:7.1f} fps  {1e3 * trial.speed.service_s:7.1f} ms a frame"


def _told(found: "Iterable[Trial]", live: "Setup", film: "Setup") -> dict[str, object]:
    rings = [asdict(one) for one in found]
    return {"rings": rings, "live": asdict(live), "film": asdict(film)}
