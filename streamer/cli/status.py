"""`streamer status`: what a running server does, and where."""

import json
from typing import Annotated, Any

import typer


def status(
    url: Annotated[
        str, typer.Argument(help="The server.", envvar="STREAMER_URL")
    ] = "http://127.0.0.1:8000",
    token: Annotated[
        str | None, typer.Option(envvar="STREAMER_TOKEN", help="Token, if the server needs one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As GET /stats has it.")] = False,
) -> None:
    """Show a running server's workers and streams: which is where, doing what.

    [bold]Examples[/bold]

    streamer status

    streamer status http://192.168.1.10:8000 --json
    """
    told = _get(f"{url.rstrip('/')}/stats", token)
    if as_json:
        print(json.dumps(told, indent=2))
        return
    from rich.console import Console

    console = Console()
    console.print(f"streamer {told['version']}, {'ready' if told['ready'] else 'not ready'}")
    if told.get("waits_for"):
        console.print(told["waits_for"], markup=False)
    console.print(_workers(told["workers"]))
    if told.get("processes"):
        console.print(_processes(told["processes"]))
    console.print(_streams(told["streams"]) if told["streams"] else "no live streams")


def _get(url: str, token: str | None) -> dict[str, Any]:
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from streamer.errors import UnavailableError, UsageError

    try:
        request = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urlopen(request, timeout=5) as response:
            told: dict[str, Any] = json.load(response)
    except HTTPError as error:
        if error.code == 401:
            raise UsageError(f"{url} needs a token: give --token or STREAMER_TOKEN") from None
        raise UnavailableError(f"{url} answers {error.code} {error.reason}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(f"no server answers at {url}: {reason}") from None
    except ValueError as error:
        raise UsageError(f"{url} is no streamer: {error}") from None
    return told


def _workers(workers: list[dict[str, Any]]) -> Any:
    table = _table(
        "worker", "state", "frames", "lost", "host", "engine", "ms/frame", "instructions"
    )
    for index, worker in enumerate(workers):
        about = worker["about"] or {}
        _add(
            table,
            str(index),
            worker["failure"] or worker["state"],
            str(worker["frames"]),
            str(worker["lost"]),
            f"{about['host']} ({about['address']})" if about else "",
            about.get("engine", ""),
            str(about.get("frame_ms", "")),
            " ".join(about.get("instructions", ())),
        )
    return table


def _processes(processes: list[dict[str, Any]]) -> Any:
    table = _table("process", "state", "streams", "cores used", "deaths")
    for index, one in enumerate(processes):
        state = "up" if one["up"] else "restarting"
        counts = str(one["streams"]), f"{one['cpu']:.2f}", str(one["deaths"])
        _add(table, str(index), state, *counts)
    return table


def _streams(streams: dict[str, dict[str, Any]]) -> Any:
    table = _table(
        "stream", "process", "fps in", "fps out", "latency ms", "height", "codec", "style"
    )
    for stream in streams.values():
        _add(
            table,
            stream["name"],
            str(stream.get("process", "")),
            str(stream["in_fps"]),
            str(stream["out_fps"]),
            str(stream["latency_ms"]["p50"]),
            str(stream["height_px"]),
            str(stream["codec"]),
            ", ".join(stream["style"]),
        )
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _add(table: Any, *cells: str) -> None:
    from rich.markup import escape

    table.add_row(*(escape(cell) for cell in cells))
