"""`streamer bench`: finds the fastest ring of this machine, and keeps it for `serve` and `file`."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from streamer import ending
from streamer.cli.options import DeviceOption
from streamer.errors import UsageError

BUSY = 0.1  # of the processor, by other programs, from which on numbers are too low

if TYPE_CHECKING:
    from streamer.diagnostics.trials import Trial, Whole
    from streamer.engine.backend import Backend
    from streamer.ring.setup import Setup


def bench(  # noqa: PLR0917 - Typer reads every option from here
    style: Annotated[
        str | None, typer.Option(help="Style, or blend such as a:0.7,b:0.3. Default: the first.")
    ] = None,
    height: Annotated[int, typer.Option(min=16, max=4320, help="Lines to stylize at.")] = 360,
    fps: Annotated[
        float, typer.Option(min=1, max=240, help="Frame rate that a live stream should reach.")
    ] = 30.0,
    backend: Annotated[
        str | None,
        typer.Option(help="auto, onnx, torch, or several: auto,onnx. Default: all installed ones."),
    ] = None,
    device: DeviceOption = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Try only this many CPU threads per worker; repeatable."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long to measure each ring, in seconds.")
    ] = 5.0,
    save: Annotated[
        bool | None,
        typer.Option(
            "--save/--no-save",
            help="Keep the result for serve and file. Default: unless other programs were busy.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the kept result, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Find the fastest ring on this machine: which engine, how many workers and threads.

    First the workers alone, in every ring; then what a live stream and a video file of 1280x720
    really get with the best one, decoding and encoding included. `serve` and `file` use the
    result, and say so, unless they are given --backend, --workers, --threads, --gpus or
    --ray-address. Do not use the machine for anything else meanwhile.

    [bold]Examples[/bold]

    streamer bench

    streamer bench --style mosaic --height 540 --no-save

    streamer bench --clear
    """
    from streamer.diagnostics import measure, saved, trials

    if clear:
        print("deleted" if saved.clear() else "nothing was kept")
        return
    from streamer.frame import Style
    from streamer.ring.setup import check_device, cores, gpus
    from streamer.styles.catalogue import Catalogue

    check_device(device or "auto")
    catalogue = Catalogue.load()
    blend = catalogue.parse(style or catalogue.default)
    engines = _engines(backend) if backend else trials.engines()
    rings = trials.candidates(engines, cores(), gpus(), device or "auto")
    rings = [one for one in rings if not threads or one.threads in threads]
    if not rings:
        raise UsageError(f"no ring of {cores()} cores has workers of --threads {threads}")
    load, found = measure.others_load(), []
    for one in rings:
        found.append(ending.run(trials.trial(one, catalogue, Style(blend), height, seconds)))
        if not as_json:
            print(_line(found[-1]), flush=True)
    live, file = trials.best_live(found, fps), trials.best_file(found)
    load = max(load, measure.others_load())
    whole = ending.run(trials.whole(live, file, catalogue, Style(blend), height, fps))
    kept = load <= BUSY if save is None else save
    where = saved.save(live, file, f"{date.today()}") if kept else None
    if as_json:
        print(json.dumps(_as_json(found, live, file, whole, load), indent=2))
    else:
        size = f"1280x720, stylized at {height} lines"
        print(f"\nlive, {whole.live_fps:.1f} of {fps:g} fps ({size}): streamer serve {live}")
        print(f"files, {whole.file_fps:.1f} fps ({size}): streamer file {file} FILE...")
        if load > BUSY:
            print(f"other programs took {load:.0%} of the processor: the numbers are too low")
        cure = "; --save keeps it all the same" if save is None else ""
        print(f"kept in {where}; both commands use it from now on" if where else f"not kept{cure}")


def _engines(text: str) -> "list[Backend]":
    """Comma-separated names. Raises UsageError."""
    from streamer.diagnostics.trials import ENGINES

    names = text.split(",")
    if not set(names) <= set(ENGINES):
        raise UsageError(f"--backend {text!r} must be of auto, onnx and torch, as in auto,onnx")
    return [engine for engine in ENGINES if engine in names]


def _line(trial: "Trial") -> str:
    one = trial.setup
    ring = f"{one.backend:6} {one.workers:3} x {one.threads:2} thread{'s' * (one.threads > 1):1}"
    ring = f"{one.backend:6} {one.gpus:3} GPU{'s' * (one.gpus > 1):8}" if one.gpus else ring
    ring = f"{one.backend:6} on {one.place}" if one.place in ("gpu", "npu") else ring
    if trial.speed is None:
        return f"{ring}  {trial.failure}"
    ms = f"{1e3 * trial.speed.service_s:7.1f} ms per frame"
    return f"{ring}  {trial.speed.fps:7.1f} fps of the workers alone  {ms}"


def _as_json(
    found: "Iterable[Trial]", live: "Setup", file: "Setup", whole: "Whole", load: float
) -> dict[str, object]:
    rings = [asdict(one) for one in found]
    best = {"live": asdict(live), "file": asdict(file)}
    return {"load": round(load, 3), "rings": rings, **best, **asdict(whole)}
