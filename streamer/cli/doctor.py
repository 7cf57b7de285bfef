"""`streamer doctor`: flags to checks, checks to one screen."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from streamer.diagnostics.doctor import Fps
    from streamer.diagnostics.finding import Finding

_NEEDED = ("ray", "onnx", "codecs", "models")  # to start workers and have them stylize
_MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "fail": "[red]fail[/red]"}


def doctor(  # noqa: PLR0917 - one parameter an option is how Typer works
    host: Annotated[str, typer.Option(help="As you would serve.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="As you would serve.")] = 8000,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM.")] = None,
    udp_ports: Annotated[str | None, typer.Option(metavar="LOW-HIGH")] = None,
    backend: Annotated[
        Literal["onnx", "torch", "none"] | None, typer.Option(help="Default: onnx.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=1024)] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=1024)] = None,
    gpus: Annotated[int | None, typer.Option(min=0, max=1024)] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Start no workers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check this machine: what works, what does not, and what to do about it.

    Last comes how many frames a second a live stream may expect. Exit code 1 when something
    failed.
    """
    from streamer.diagnostics.doctor import findings, speeds
    from streamer.diagnostics.saved import recall
    from streamer.server.config import Config, is_loopback, parse_ports
    from streamer.styles.catalogue import Catalogue

    if found := recall("live", backend, workers, threads, gpus, ray_address):
        size = found[0]
        backend, workers, threads, gpus = size.backend, size.workers, size.threads, size.gpus
    config = Config(
        host=host,
        port=port,
        token=None if is_loopback(host) else secrets.token_urlsafe(24),
        tls_cert=tls_cert,
        tls_key=tls_key,
        udp_ports=parse_ports(udp_ports) if udp_ports else None,
        backend=backend or "onnx",
        workers=workers,
        threads=threads,
        gpus=gpus,
        ray_address=ray_address,
    )
    checks: list[Finding] = []
    rows: list[Fps] = []
    with _progress(wanted=not as_json) as told:
        for one in findings(config):
            checks.append(one)
            told(one.name)
        if not quick and not any(_failed(checks, part) for part in _NEEDED):
            up, rows = speeds(config, Catalogue.load(), told)
            checks.append(up)
    _tell(checks, rows, as_json)
    raise typer.Exit(_failed(checks))


def _failed(checks: "list[Finding]", name: str = "") -> bool:
    return any(one.state == "fail" and name in ("", one.name) for one in checks)


@contextlib.contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[str], None]]:
    """One line on the terminal that says what is being looked at, and goes away."""
    if not wanted:
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _tell(checks: "list[Finding]", rows: "list[Fps]", as_json: bool) -> None:
    if as_json:
        told = {
            "checks": [asdict(one) for one in checks],
            "live_fps": [asdict(one) for one in rows],
        }
        print(json.dumps(told, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(no_wrap=overflow != "fold", overflow=overflow)
    for one in checks:
        fix = f"\n[dim]→ {one.fix}[/dim]" if one.fix else ""
        table.add_row(_MARKS[one.state], one.name, one.found + fix)
    Console().print(table)
    if rows:
        Console().print(_fps(rows))


def _fps(rows: "list[Fps]") -> object:
    from rich.table import Table

    from streamer.diagnostics.measure import HEIGHTS_PX

    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.title = "\nframes a second to expect of one live stream, by --height"
    table.add_column("model")
    for height_px in HEIGHTS_PX:
        table.add_column(f"{height_px} px", justify="right")
    for row in rows:
        fps = (row.by_height_px.get(height_px) for height_px in HEIGHTS_PX)
        table.add_row(row.model, *("-" if one is None else f"{one:.1f}" for one in fps))
    return table
