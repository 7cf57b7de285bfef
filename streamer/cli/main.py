"""The command line: flags in, the right part started, failures shown as one line.

Heavy libraries are imported by the command that needs them, so `streamer --help` is instant.
"""

import importlib
import sys
from typing import Annotated, Any

import typer

from streamer import __version__
from streamer.errors import StreamerError, UsageError

# Commands that live beside what they do: name, module, attribute, line in the help.
_ELSEWHERE = (
    ("serve", "streamer.cli.serve", "serve", "Serve the page, WHIP and WHEP: live, stylized."),
    ("file", "streamer.cli.file", "file", "Stylize a video file into another file."),
    ("camera", "streamer.cli.camera", "camera", "Stylize a camera, for Zoom, Meet and OBS."),
    ("styles", "streamer.cli.styles", "styles_app", "List, check and fetch styles."),
    ("doctor", "streamer.cli.doctor", "doctor", "Check this machine, and say what to fix."),
    ("bench", "streamer.cli.bench", "bench", "Find the fastest settings for this machine."),
    ("distill", "streamer.cli.train", "distill", "Teach a fast network slow styles."),
    ("train", "streamer.cli.train", "train", "Teach a fast network to stylize like a painting."),
)


def main() -> None:
    """Run the command line; exit code 2 for bad usage, 1 for failure."""
    arguments = sys.argv[1:]
    try:
        _commands(arguments)(arguments, prog_name="streamer")
    except StreamerError as failure:
        print(f"streamer: {' '.join(str(failure).split())}", file=sys.stderr)
        sys.exit(2 if isinstance(failure, UsageError) else 1)


def _commands(arguments: list[str]) -> typer.Typer:
    """All commands; of those that live elsewhere only the one asked for is imported."""
    app = typer.Typer(
        help="Stylize live video with a neural style, frame by frame.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_common)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, module, attribute, summary in _ELSEWHERE:
        found: Any = _elsewhere
        if name == wanted:
            found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, help=None if name == wanted else summary)(found)
    return app


def _elsewhere() -> None:
    """Stands in the help for a command that was not asked for."""


def _show_version(asked: bool) -> None:
    if asked:
        print(f"streamer {__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Stylize live video with a neural style, frame by frame."""
