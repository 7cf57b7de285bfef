"""The command line: finds the command, and shows failures as one line.

Only the wanted command's module is imported, so `streamer --help` is instant.
"""

import importlib
import inspect
import os
import re
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.main import get_command

from streamer import __version__, ending
from streamer.cli import config
from streamer.cli.completion import words_to_complete
from streamer.errors import StreamerError, UsageError, printable
from streamer.paths import another_streamer

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
    ("config", "streamer.cli.config", "config", "Show the settings that hold for every run."),
)
NAMES = [name for name, *_ in _COMMANDS]


def main() -> None:
    """Run the command line; exit code 2 for bad usage, 1 for failure."""
    ending.listen()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not None, as with pythonw
            stream.reconfigure(errors="replace")  # names of files, and arrows, in any locale
    arguments = sys.argv[1:]
    try:
        _group(arguments)(arguments, prog_name="streamer")
    except ending.Stopped as stopped:
        ending.end(int(stopped.code or 0))
    except StreamerError as failure:
        print(f"streamer: {printable(' '.join(str(failure).split()))}", file=sys.stderr)
        ending.end(ending.exit_code(2 if isinstance(failure, UsageError) else 1))
    except Exception:
        if not ending.told():
            raise
        ending.end(ending.exit_code(1))  # native code made something else of Stopped


def _group(arguments: list[str]) -> Any:
    """Click's command, with the settings of the user's file as defaults."""
    completed = words_to_complete(os.environ)
    words = arguments if completed is None else completed
    wanted = _wanted(words)
    group: Any = get_command(_commands(words))
    _tidy_help(group)
    if wanted and wanted in group.commands and completed is None and wanted != "config":
        try:
            group.context_settings["default_map"] = _settings(group, wanted)
        except UsageError as mistake:
            if not {"-h", "--help"} & set(arguments):
                raise
            print(f"streamer: {mistake}", file=sys.stderr)
    return group


def _settings(group: Any, wanted: str) -> dict[str, Any]:
    """Those of the user's file. Raises UsageError for a mistake in it; warns of variables."""
    command = group.commands[wanted]
    config.warn_of_variables({} if hasattr(command, "commands") else {wanted: command}, NAMES)
    settings = config.read()
    config.check_tables(settings, NAMES)
    config.check(settings, wanted, command)
    return settings


def _tidy_help(command: Any) -> None:
    """Paragraphs as wide as the terminal; no variables of options, which `config --help` explains.

    Typer keeps the line breaks of docstrings. One before an indented line is meant.
    """
    command.help = re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.cleandoc(command.help or ""))
    for option in command.params:
        option.show_envvar = option.envvar is not None
    for below in getattr(command, "commands", {}).values():
        _tidy_help(below)


def every_command() -> dict[str, Any]:
    """Click's commands that have settings, by name."""
    found: dict[str, Any] = {}
    for name, *_ in _COMMANDS:
        command = get_command(_commands([name])).commands[name]  # type: ignore[attr-defined]
        if not hasattr(command, "commands"):
            found[name] = command
    return found


def _wanted(words: list[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _commands(arguments: list[str]) -> typer.Typer:
    """All commands; only the one that is wanted is imported."""
    app = typer.Typer(
        help="Stylize live video with a neural style, frame by frame.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={
            "help_option_names": ["--help", "-h"],
            "auto_envvar_prefix": config.PREFIX,
        },
    )
    app.callback()(_common)
    wanted = _wanted(arguments)
    for name, module, attribute, summary in _COMMANDS:
        found: Any = _not_imported
        if name == wanted:
            found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, cls=config.Command, help=None if name == wanted else summary)(found)
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
    if conflict := another_streamer():
        print(f"streamer: {conflict}", file=sys.stderr)
