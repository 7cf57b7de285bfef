"""`streamer styles`: lists, shows, adds and removes styles."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from streamer.errors import MediaError, UsageError
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import NONE

styles_app = typer.Typer(
    help="List, show, add and remove styles.", no_args_is_help=True, rich_markup_mode="rich"
)
_SHEET = Path("styles.jpg")


@styles_app.command("list")
def list_() -> None:
    """List all styles, and those that can be pulled."""
    from streamer.library.pull import is_here, published

    catalogue = Catalogue.load()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("style", no_wrap=True, style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("description")
    for name in catalogue:
        if name != NONE:
            model, look = catalogue.find(name)
            about = look.description or (f"({model.source})" if model.added else "")
            table.add_row(name, model.name, escape(about))
    for more in published().values():
        if not is_here(more):
            table.add_row(
                f"[dim]{more.style}[/dim]", "[dim]to pull[/dim]", escape(more.description)
            )
    console = Console()
    console.print(table)
    console.print(f"\n[dim]A stream starts with {catalogue.default}.[/dim]")


@styles_app.command()
def show(style: str) -> None:
    """Show where a style comes from, its licence and its checksum."""
    catalogue = Catalogue.load()
    model, look = catalogue.find(style)
    data = model.read()
    shared = [other.name for other in model.styles if other.name != look.name]
    facts = {
        "style": catalogue.check(style),
        "also called": ", ".join(look.aliases),
        "title": look.title,
        "description": look.description,
        "model": f"{model.name}, {'added by you' if model.added else 'built in'}",
        "blends at no extra cost with": ", ".join(shared),
        "layout": model.layout + (", also int8" if model.int8 else ""),
        "file": str(model.path),
        "size": f"{len(data) / 1e6:.1f} MB",
        "sha256": model.sha256 + ", which matches",
        "licence": model.license,
        "source": model.source,
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            table.add_row(name, escape(fact))
    Console().print(table)


@styles_app.command()
def sheet(
    picture: Path,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="JPEG or PNG file to write.")
    ] = _SHEET,
    style: Annotated[
        list[str] | None, typer.Option(help="Show only this style; repeatable.")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Number of columns.")] = 4,
    width: Annotated[int, typer.Option(min=64, max=1920, help="Width of a tile in pixels.")] = 320,
) -> None:
    """Stylize one picture in every style, and put them on one sheet."""
    from streamer.engine.stylizer import StylizerSpec
    from streamer.library.sheet import sheet as lay_out
    from streamer.library.sheet import stylized, tile
    from streamer.photo import decode_photo

    if output.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"{output} must end in .jpg or .png")
    if not picture.is_file():
        raise UsageError(f"no such file: {picture}")
    catalogue = Catalogue.load()
    names = [catalogue.check(name) for name in style or catalogue]
    image = tile(decode_photo(picture.read_bytes(), max_pixels=100_000_000), width)
    needed = dict.fromkeys(catalogue.find(name)[0] for name in names if name != NONE)
    stylizer = StylizerSpec("onnx", models=tuple(needed)).load()
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        tiles = list(progress.track(stylized(stylizer, image, names), total=len(names)))
    try:
        lay_out(tiles, names, min(columns, len(tiles))).save(output, quality=92)
    except OSError as error:
        raise MediaError(f"cannot write {output}: {error.strerror or error}") from None
    print(f"wrote {output}, {len(names)} styles")


@styles_app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names from `streamer styles list`.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Pull all that are missing.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Another name for the style; with one NAME only.")
    ] = None,
) -> None:
    """Download published networks; their SHA-256 is checked."""
    from streamer.library import pull as styles_pull

    wanted = [styles_pull.find(word) for word in names or ()]
    if all_:
        wanted += [m for m in styles_pull.published().values() if m not in wanted]
    if not wanted:
        raise UsageError(f"name what to pull: {', '.join(styles_pull.published())}; or --all")
    if name and len(wanted) > 1:
        raise UsageError("--name needs exactly one network")
    console = Console(stderr=True)
    for model in wanted:
        if styles_pull.is_here(model):
            console.print(f"{model.name} is here already", highlight=False)
            continue
        columns = (TextColumn(model.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        quiet = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
            task = progress.add_task(model.name, total=model.bytes)

            def advance(have: int, progress: Progress = progress, task: object = task) -> None:
                progress.update(task, completed=have)  # type: ignore[arg-type]

            style = styles_pull.pull(model, name, advance)
        print(f"{style} is here; it takes about 1 s for a 640x360 frame on one core")


@styles_app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Network or picture to add.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the style. Default: from the file name.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title shown on the page.")] = None,
    license: Annotated[
        str | None, typer.Option(help="Licence of the weights. Default: what the file says.")
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(help="Input range of the network: 0..255, 0..1 or -1..1. Default: detected."),
    ] = None,
) -> None:
    """Add a network or a picture as a style.

    [bold].onnx[/bold]  a network with one image in and one out, or one that streamer wrote

    [bold].pth .model[/bold]  the state dict of a TransformerNet (PyTorch examples)

    [bold].jpg .png ...[/bold]  any picture; a network imitates it
    """
    from streamer.library.add import adopt

    styles = adopt(file, name=name, title=title, license=license, values=values)
    print(f"{', '.join(styles)} {'is' if len(styles) == 1 else 'are'} here")


@styles_app.command()
def remove(style: str) -> None:
    """Remove a style that was pulled or added, and all others of its model."""
    from streamer.library.store import remove as forget

    print(f"removed {forget(style)}")
