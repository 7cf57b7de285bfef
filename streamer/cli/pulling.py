"""Styles that a command names: checked before anything slow starts, and pulled when wanted."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from streamer.cli.options import LOOK_PANEL
from streamer.errors import UnknownStyleError, UsageError
from streamer.styles.catalogue import Catalogue
from streamer.styles.published import Published, published

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

    catalogue = Catalogue.load()
    by_name: Mapping[str, Published] = {
        name: one
        for one in published().values()
        if not catalogue.has_pulled(one)
        for name in (one.name, one.style)
    }
    network = by_name.get(unknown.name)
    if network is None:
        raise unknown
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
