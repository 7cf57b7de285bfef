"""`streamer styles`: list, show, pull, add and remove styles."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from streamer.cli import completion
from streamer.errors import MediaError, UsageError
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import NONE
from streamer.styles.published import find_published, published, titled

styles_app = typer.Typer(
    help="List, show, add and remove styles.", no_args_is_help=True, rich_markup_mode="rich"
)
_SHEET = Path("styles.jpg")


@styles_app.command("list")
def list_() -> None:
    """List every style, and those that can be pulled.

    [bold]Example[/bold]

    streamer styles list
    """
    catalogue = Catalogue.load()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("style", no_wrap=True, style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("description")
    for name in catalogue:
        if name != NONE:
            model, entry = catalogue.find(name)
            about = entry.description or (f"({model.source})" if model.added else "")
            table.add_row(name, model.name, escape(about))
    for more in published().values():
        if not catalogue.has_pulled(more):
            table.add_row(
                f"[dim]{more.style}[/dim]", "[dim]to pull[/dim]", escape(more.description)
            )
    console = Console()
    console.print(table)
    console.print(f"\n[dim]The default is {catalogue.default}.[/dim]")


@styles_app.command()
def show(
    style: Annotated[str, typer.Argument(autocompletion=completion.styles)],
) -> None:
    """Show where a style comes from, its licence and its checksum.

    [bold]Example[/bold]

    streamer styles show mosaic
    """
    catalogue = Catalogue.load()
    there = None if style in catalogue else find_published(style)
    if there and not catalogue.has_pulled(there):
        _print_facts(
            {
                "style": f"{there.style}, not here",
                "title": titled(there.style),
                "looks like": there.description,
                "size": f"{there.bytes / 1e6:.1f} MB",
                "licence": there.license,
                "source": there.urls[0],
                "to get it": f"streamer styles pull {there.name}",
            }
        )
        return
    model, entry = catalogue.find(style)
    data = model.read()
    shared = [other.name for other in model.styles if other.name != entry.name]
    _print_facts(
        {
            "style": catalogue.check(style),
            "also called": ", ".join(entry.aliases),
            "title": entry.title,
            "looks like": entry.description,
            "model": f"{model.name}, {'added by you' if model.added else 'built in'}",
            "blends at no extra cost with": ", ".join(shared),
            "layout": model.layout,
            "file": str(model.path),
            "size": f"{len(data) / 1e6:.1f} MB",
            "sha256": model.sha256 + ", verified",
            "licence": model.license,
            "source": model.source,
        }
    )


def _print_facts(facts: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            table.add_row(name, escape(fact))
    Console().print(table)


@styles_app.command()
def sheet(
    pictures: list[Path],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .jpg or .png to write.")
    ] = _SHEET,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--style",
            help="Show only this style; repeat for more.",
            autocompletion=completion.styles,
        ),
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Tiles in a row.")] = 4,
    width: Annotated[int, typer.Option(min=64, max=1920, help="Width of a tile in pixels.")] = 320,
) -> None:
    """Write a contact sheet: one picture in every style, or several side by side.

    [bold]Examples[/bold]

    streamer styles sheet photo.jpg

    streamer styles sheet photo.jpg -s mosaic -s ember -o two.jpg

    streamer styles sheet anna.jpg ben.jpg sea.jpg --columns 2 --width 640
    """
    from streamer.engine.stylizer import StylizerSpec
    from streamer.library.sheet import sheet as lay_out
    from streamer.library.sheet import stylized
    from streamer.photo import decode_photo

    if output.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"{output} must end in .jpg or .png")
    for picture in pictures:
        if not picture.is_file():
            raise UsageError(f"no such file: {picture}")
    catalogue = Catalogue.load()
    names = [catalogue.check(name) for name in style or catalogue]
    images = [decode_photo(one.read_bytes(), max_pixels=100_000_000) for one in pictures]
    needed = dict.fromkeys(catalogue.find(name)[0] for name in names if name != NONE)
    stylizer = StylizerSpec("auto", models=tuple(needed)).load()
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        made = stylized(stylizer, images, names, width)
        tiles = list(progress.track(made, total=len(names)))
    try:
        lay_out(tiles, names, min(columns, len(tiles))).save(output, quality=85)
    except OSError as error:
        raise MediaError(f"cannot write {output}: {error.strerror or error}") from None
    print(f"wrote {output}, {len(names)} styles")


@styles_app.command()
def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Networks that `streamer styles list` shows as to pull.",
            autocompletion=completion.published,
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Pull every network that is not here yet.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the style, if only one network is pulled.")
    ] = None,
) -> None:
    """Download published networks, checked by their SHA-256.

    [bold]Examples[/bold]

    streamer styles pull candy

    streamer styles pull --all
    """
    from streamer.library import pull as library
    from streamer.library.download import progress_bar

    wanted = [library.find(word) for word in names or ()]
    if all_:
        wanted += [model for model in published().values() if model not in wanted]
    if not wanted:
        raise UsageError(f"pull which? {', '.join(published())}, or --all")
    if name and len(wanted) > 1:
        raise UsageError("--name is for pulling one network")
    for model in wanted:
        if Catalogue.load().has_pulled(model):
            print(f"{model.name} is here already", file=sys.stderr)
            continue
        with progress_bar(model.name, model.bytes) as progress:
            style = library.pull(model, name, progress)
        print(f"{style} is here")


@styles_app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A network (.onnx, .pth, .model) or a picture.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the style; default: the file's name.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title on the page.")] = None,
    license: Annotated[
        str | None, typer.Option(help="Licence of the weights; default: what the file says.")
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(help="Range of its input: 0..255, 0..1 or -1..1; default: detected."),
    ] = None,
) -> None:
    """Add a network or a picture as a style.

    [bold].onnx[/bold]  a network with one image in and one out, or with style weights, too

    [bold].pth .model[/bold]  the state dict of a TransformerNet (PyTorch examples)

    [bold].jpg .png ...[/bold]  any picture; a network imitates it

    [bold]Examples[/bold]

    streamer styles add painting.jpg

    streamer styles add painting.jpg --name swirls --title "My swirls"
    """
    from streamer.library.add import import_model

    styles = import_model(file, name=name, title=title, license=license, values=values)
    print(f"{', '.join(styles)} {'is' if len(styles) == 1 else 'are'} here")


@styles_app.command()
def remove(
    style: Annotated[str, typer.Argument(autocompletion=completion.added_styles)],
) -> None:
    """Remove a pulled or added style, and all others of its model.

    [bold]Example[/bold]

    streamer styles remove swirls
    """
    from streamer.library import store

    print(f"removed {store.remove(style)}")
