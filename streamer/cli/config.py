"""`streamer config`: settings that hold for every run, from a file and the environment.

An option on the command line counts most, then its variable, then the file, then its default.
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from streamer.errors import UsageError
from streamer.paths import config_file

PREFIX = "STREAMER"
_SECRET = ("token", "secret")
NAMED = {  # variables that are not named after one option: those of folders, and of our tests
    *("STREAMER_CONFIG", "STREAMER_DATA_DIR", "STREAMER_CACHE_DIR"),
    *("STREAMER_TOKEN", "STREAMER_TURN_SECRET", "STREAMER_URL"),
    *("STREAMER_FUZZ_EXAMPLES", "STREAMER_NO_BROWSER_TESTS", "STREAMER_NO_NIX_TESTS"),
}
# What Kubernetes and Docker set for every container beside a service called `streamer`.
_OF_CONTAINERS = re.compile(r"STREAMER_(SERVICE|PORT)(_|$)")


class Command(TyperCommand):
    """One whose errors say where a wrong value was set, when it was not on the command line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is not None and (where := _set_by(ctx, error.param)):
                error.message += f" (set by {where})"
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            for option in _options(self):
                if _is_named(option, ctx.params, str(error)) and (where := _set_by(ctx, option)):
                    error.args = (f"{error} ({max(option.opts, key=len)} is set by {where})",)
            raise


def _is_named(option: Any, values: Mapping[str, Any], text: str) -> bool:
    """Whether an error names an option, or quotes its value."""
    names = "|".join(map(re.escape, option.opts))
    named = re.search(rf"(?<![\w-])({names})(?![\w-])", text) is not None
    return named or repr(values.get(option.name)) in re.findall(r"'.*?'", text)


def _set_by(context: Any, option: Any) -> str:
    """The file or variable that an option's value comes from; "" for others."""
    source = context.get_parameter_source(option.name)
    if source is not None and source.name == "ENVIRONMENT":
        return f"${_variable(context.info_name, option)}"
    return str(config_file()) if source is not None and source.name == "DEFAULT_MAP" else ""


def read() -> dict[str, Any]:
    """Click's `default_map`: a table for each command. Raises UsageError."""
    file = config_file()
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    for name, table in found.items():
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {name} must stand in the table of a command, as [serve]")
    return {
        name: {option.replace("-", "_"): value for option, value in table.items()}
        for name, table in found.items()
    }


def check(settings: Mapping[str, Any], name: str, command: Any) -> None:
    """Raises UsageError for a setting that the command does not have."""
    known = [str(option.name) for option in _options(command)]
    for setting in settings.get(name, {}):
        if setting not in known:
            raise UsageError(f"{config_file()}: [{name}] has no {setting}{_meant(setting, known)}")


def check_tables(settings: Mapping[str, Any], commands: list[str]) -> None:
    """Raises UsageError for a table that belongs to no command."""
    for name in settings:
        if name not in commands:
            raise UsageError(f"{config_file()}: there is no command {name}{_meant(name, commands)}")


def _meant(word: str, known: list[str], cutoff: float = 0.6) -> str:
    close = get_close_matches(word, known, 1, cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def _options(command: Any) -> list[Any]:
    return [
        one
        for one in command.params
        if one.param_type_name == "option" and one.name not in ("help", None)
    ]


def _variables(name: str, option: Any) -> list[str]:
    given = option.envvar
    named = [given] if isinstance(given, str) else list(given or ())
    return [*named, f"{PREFIX}_{name.upper()}_{str(option.name).upper()}"]


def _variable(name: str, option: Any) -> str | None:
    """The one that sets this option of a command."""
    return next((one for one in _variables(name, option) if os.environ.get(one)), None)


def warn_of_variables(commands: Mapping[str, Any], every: list[str]) -> None:
    """Name variables that look like ours, and that neither these commands nor others read."""
    read_by = {
        one
        for name, command in commands.items()
        for option in _options(command)
        for one in _variables(name, option)
    } | NAMED
    others = tuple(f"{PREFIX}_{name.upper()}_" for name in every if name not in commands)
    for variable, value in sorted(os.environ.items()):
        if not variable.startswith(f"{PREFIX}_") or not value or variable in read_by:
            continue
        if not variable.startswith(others) and not _OF_CONTAINERS.match(variable):
            meant = _meant(variable, sorted(read_by), 0.8)  # all begin alike
            print(f"streamer: nothing reads ${variable}{meant}", file=sys.stderr)


def _set(settings: Mapping[str, Any], name: str, command: Any) -> Iterator[list[str]]:
    """Command, option, value and where it is set."""
    for option in _options(command):
        variable = _variable(name, option)
        in_file = settings.get(name, {})
        if variable is not None:
            value, source = os.environ[variable], f"${variable}"
        elif option.name in in_file:
            value, source = str(in_file[option.name]), "file"
        else:
            continue
        hidden = any(word in str(option.name) for word in _SECRET)
        yield [name, str(option.name).replace("_", "-"), "(set)" if hidden else value, source]


def config(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Show the settings that hold for every run, and where they are set.

    Every option can be set in a file, in a table for its command, or by a variable,
    STREAMER_COMMAND_OPTION. The command line counts most, then the variable, then the file.

    [bold]Examples[/bold]

    streamer config

    streamer config --json

    STREAMER_SERVE_PORT=8123 streamer config

    [bold]A file[/bold]

    \\[serve]
        port = 8123
        style = "mosaic"

    \\[file]
        codec = "hevc"
    """
    import json

    from streamer.cli.main import NAMES, every_command

    settings, rows = read(), list[list[str]]()
    commands = every_command()
    check_tables(settings, list(commands))
    warn_of_variables(commands, NAMES)
    for name, command in commands.items():
        check(settings, name, command)
        rows += _set(settings, name, command)
    if as_json:
        keys = ("command", "option", "value", "source")
        found = [dict(zip(keys, row, strict=True)) for row in rows]
        print(json.dumps({"file": str(config_file()), "settings": found}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    exists = config_file().exists()
    print(f"{config_file()}{'' if exists else ' (not there; it would be read)'}")
    if not rows:
        print("nothing is set; every option has its default")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("command", "option", "value", "set by"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
