"""Styles that a command names: checked before anything slow starts, and pulled when wanted."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated

import typer

from streamer.cli.options import LOOK_PANEL
from streamer.errors import UnknownStyleError, UsageError
from streamer.styles.catalogue import Catalogue

PullOption = Annotated[
    bool,
    typer.Option(
        "--pull",
        help="Download a published style that --style names, if it is not here.",
        rich_help_panel=LOOK_PANEL,
    ),
]


def check_style(style: str | None, pull: bool) -> None:
    """Pull what `style` names and may be pulled: with `pull`, or when a person says yes.

    Raises UnknownStyleError, UsageError, ModelError.
    """
    if style is None:
        return
    while True:
        catalogue = Catalogue.load()
        try:
            catalogue.parse(style)
            return
        except UnknownStyleError as unknown:
            _pull(unknown, pull)


def _pull(unknown: UnknownStyleError, agreed: bool) -> None:
    from streamer.library import pull as library  # imports ONNX: only for a style that is unknown
    from streamer.library.download import progress_bar

    by_name: Mapping[str, library.Published] = {
        name: one
        for one in library.published().values()
        if not library.is_here(one)
        for name in (one.name, one.style)
    }
    network = by_name.get(unknown.name)
    if network is None:
        close = get_close_matches(unknown.name.casefold(), by_name, 1)
        if not close or "did you mean" in str(unknown):
            raise unknown
        rest = f"did you mean {close[0]}? `streamer styles pull {close[0]}` gets it"
        raise UsageError(f"unknown style {unknown.name!r}; {rest}")
    size = f"{network.bytes / 1e6:.1f} MB"
    if not agreed and sys.stdin.isatty() and sys.stderr.isatty():
        question = f"{network.style} is not here; download it ({size}, {network.license})?"
        agreed = typer.confirm(question, default=True, err=True)
    if not agreed:
        raise UsageError(
            f"the style {unknown.name!r} is not here; --pull downloads it ({size}), and so does "
            f"`streamer styles pull {network.name}`"
        )
    with progress_bar(network.name, network.bytes) as progress:
        style = library.pull(network, None, progress)
    print(f"{style} is here", file=sys.stderr)
