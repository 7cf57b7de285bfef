"""The command line: finds the command, and shows failures as one line.

Only the wanted command's module is imported, so `streamer --help` is instant.
"""

import importlib
import sys
from typing import Annotated, Any

import typer

from streamer import __version__
from streamer.errors import StreamerError, UsageError

_COMMANDS = (  # name, module, attribute, summary for `streamer --help`
    ("serve", "streamer.cli.serve", "serve", "Serve the page, WHIP and WHEP: stylize live video."),
    ("file", "streamer.cli.file", "file", "Stylize video files and photos."),
    ("camera", "streamer.cli.camera", "camera", "Stylize a camera for Zoom, Meet and OBS."),
    ("styles", "streamer.cli.styles", "styles_app", "List, show, add and remove styles."),
    ("token", "streamer.cli.token", "token_app", "Make, list and revoke access tokens."),
    ("node", "streamer.cli.node", "node_app", "Make this machine part of a Ray cluster."),
    ("status", "streamer.cli.status", "status", "Show what a running server does, and where."),
    ("doctor", "streamer.cli.doctor", "doctor", "Check this machine, and say how to fix it."),
    ("bench", "streamer.cli.bench", "bench", "Find the fastest workers for this machine."),
    ("train", "streamer.cli.train", "train", "Make a painting a style."),
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
    """All commands; only the one that is wanted is imported."""
    app = typer.Typer(
        help="Stylize live video with a neural style, frame by frame.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_common)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, module, attribute, summary in _COMMANDS:
        found: Any = _not_imported
        if name == wanted:
            found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, help=None if name == wanted else summary)(found)
    return app


def _not_imported() -> None:
    """Stands for a command in the help of all."""


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"streamer {__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Stylize live video with a neural style, frame by frame."""
