"""`streamer doctor`: runs the checks, and shows the results on one screen."""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.options import (
    BackendOption,
    DeviceOption,
    GpusOption,
    RayAddressOption,
    ThreadsOption,
    WorkersOption,
    choose_setup,
    parse_ports,
)

if TYPE_CHECKING:
    from streamer.diagnostics.checks import Finding
    from streamer.diagnostics.doctor import Fps

_NEEDED = ("ray", "onnx", "codecs", "models")  # to start workers and have them stylize
_MARKS = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "fail": "[red]fail[/red]"}


def doctor(  # noqa: PLR0917 - Typer reads every option from here
    host: Annotated[
        str, typer.Option(help="Address to listen on; same as for `serve`.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; same as for `serve`.")
    ] = 8000,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate; same as for `serve`.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of its private key; same as for `serve`.")
    ] = None,
    udp_ports: Annotated[
        str | None,
        typer.Option(metavar="LOW-HIGH", help="UDP ports for media; same as for `serve`."),
    ] = None,
    backend: BackendOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = None,
    ray_address: RayAddressOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Start no workers, so measure no frame rates.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Check this machine: what works, what does not, and how to fix it.

    At the end it measures the frame rates to expect of a live stream. The exit code is 1 when a
    check failed.

    [bold]Examples[/bold]

    streamer doctor

    streamer doctor --quick
        checks only, no frame rates

    streamer doctor --backend torch --json
    """
    from streamer.diagnostics.doctor import engine, findings, load, speeds
    from streamer.server.config import Config, is_loopback
    from streamer.styles.catalogue import Catalogue

    setup, _ = choose_setup("live", backend, workers, threads, gpus, ray_address, device)
    config = Config(
        host=host,
        port=port,
        token=None if is_loopback(host) else secrets.token_urlsafe(24),
        tls_cert=tls_cert,
        tls_key=tls_key,
        udp_ports=parse_ports(udp_ports) if udp_ports else None,
        setup=setup,
        ray_address=ray_address,
    )
    checks: list[Finding] = []
    rows: list[Fps] = []
    with _progress(wanted=not as_json) as report:
        for one in findings(config):
            checks.append(one)
            report(one.name)
        if not quick and not any(_failed(checks, part) for part in _NEEDED):
            report("how busy this machine is")
            checks.append(load())
            more, rows = speeds(config, Catalogue.load(), report)
            checks += [*more, engine(config.setup)]
    _show(checks, rows, as_json)
    raise typer.Exit(_failed(checks))


def _failed(checks: "list[Finding]", name: str = "") -> bool:
    return any(one.state == "fail" and name in ("", one.name) for one in checks)


@contextlib.contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[str], None]]:
    """One line on the terminal that says what is being checked, and disappears."""
    if not wanted:
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _show(checks: "list[Finding]", rows: "list[Fps]", as_json: bool) -> None:
    if as_json:
        results = {
            "checks": [asdict(one) for one in checks],
            "live_fps": [asdict(one) for one in rows],
        }
        print(json.dumps(results, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(no_wrap=overflow != "fold", overflow=overflow)
    for one in checks:
        fix = f"\n[dim]→ {escape(one.fix)}[/dim]" if one.fix else ""
        table.add_row(_MARKS[one.state], one.name, escape(one.found) + fix)
    Console().print(table)
    if rows:
        Console().print(_fps(rows))


def _fps(rows: "list[Fps]") -> object:
    from rich.table import Table

    from streamer.diagnostics.measure import HEIGHTS_PX

    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.title = "\nframes per second of a live stream of 1280x720 at 30 fps, by --height"
    table.add_column("model")
    for height_px in HEIGHTS_PX:
        table.add_column(f"{height_px} px", justify="right")
    for row in rows:
        fps = (row.by_height_px.get(height_px) for height_px in HEIGHTS_PX)
        table.add_row(row.model, *("-" if one is None else f"{one:.1f}" for one in fps))
    return table
