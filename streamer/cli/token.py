"""`streamer token`: makes, lists and revokes tokens for a server that others can reach."""

from typing import Annotated

import typer

from streamer.cli.options import check_stream
from streamer.server.access import Role

token_app = typer.Typer(
    help="Make, list and revoke tokens.", no_args_is_help=True, rich_markup_mode="rich"
)


@token_app.command()
def add(
    role: Annotated[
        Role,
        typer.Option(help="watch: only watch. publish: also publish and stylize. admin: all."),
    ],
    stream: Annotated[
        str | None, typer.Option(help="The only stream that it may watch or publish.")
    ] = None,
    note: Annotated[str, typer.Option(help="Whom or what it is for.")] = "",
) -> None:
    """Make a token, and print it once.

    A server that is running accepts it at once. Send it as `Authorization: Bearer TOKEN`, or open
    a page with ?token=TOKEN at the end of its URL.

    [bold]Examples[/bold]

    streamer token add --role watch --stream page --note "the projector"

    streamer token add --role publish --stream obs
    """
    from streamer.server import tokens

    _, text = tokens.add(role, check_stream(stream) if stream else None, note)
    print(text)


@token_app.command("list")
def list_() -> None:
    """List all tokens by id; the tokens themselves are not kept.

    [bold]Example[/bold]

    streamer token list
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from streamer.server import tokens

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "role", "stream", "created", "note"):
        table.add_column(column, no_wrap=column != "note")
    for token in tokens.load():
        table.add_row(
            token.id, token.role, token.stream or "any", token.created, escape(token.note)
        )
    Console().print(table)


@token_app.command()
def revoke(id_: Annotated[str, typer.Argument(metavar="ID", help="From the list.")]) -> None:
    """Revoke a token; a running server refuses it at once, and ends what it opened.

    [bold]Example[/bold]

    streamer token revoke ID
    """
    from streamer.server import tokens

    token = tokens.revoke(id_)
    print(f"revoked {token.id} ({token.role})")
