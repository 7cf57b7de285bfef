"""`streamer train`: a style from a painting, in seconds or thoroughly."""

from pathlib import Path
from typing import Annotated

import typer

from streamer.errors import ModelError, UsageError, to_install


def train(  # noqa: PLR0917 - Typer reads every option from here
    painting: Annotated[Path, typer.Argument(help="Any picture.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the style; default: the file's name.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title on the page.")] = None,
    license: Annotated[str, typer.Option(help="Licence of the painting.")] = "unknown",
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Train a network on it; all below is for this.")
    ] = False,
    content: Annotated[Path | None, typer.Option(help="A folder of photos to learn on.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="What to write; default: NAME.onnx here."),
    ] = None,
    vgg: Annotated[
        Path | None,
        typer.Option(help="vgg16-397923af.pth of torchvision; default: fetched once, 553 MB."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train, in all.")] = 240.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="This many steps instead, however long they take.")
    ] = None,
    channels: Annotated[
        int, typer.Option(min=4, max=64, help="Of the first layer: 8 is fast, 32 the paper's.")
    ] = 16,
    style_weight: Annotated[
        float, typer.Option(min=0, help="More: more of the painting, less of the photo.")
    ] = 5.0,
    style_size: Annotated[
        int, typer.Option(min=64, max=2048, help="Shorter side of the painting: its strokes' size.")
    ] = 256,
    rate: Annotated[float, typer.Option(help="Adam's first learning rate.")] = 2e-3,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
) -> None:
    """Make a painting a style.

    In seconds, by a network that imitates any picture, as `streamer styles add` does; or
    thoroughly, by a network that learns this painting's strokes (Johnson et al. 2016). That is
    work for a GPU, or for a CPU and a night; started again with the same --output, it goes on
    where it stopped. Beside OUTPUT it writes .png (a preview while it trains) and .pt (what to go
    on from).

    [bold]Examples[/bold]

    streamer train painting.jpg --name strokes

    streamer train painting.jpg --thorough --content PHOTOS --minutes 600
    """
    from streamer.library import store
    from streamer.library.add import import_model

    file = painting
    if thorough:
        if content is None:
            raise UsageError("--thorough learns on photos: give a folder of them with --content")
        style = store.to_name(name or painting.stem)
        store.check_free(style)
        file = output or Path(f"{style}.onnx")
        try:
            from streamer.training.run import Recipe
            from streamer.training.train import Painting
            from streamer.training.train import train as learn
        except ModuleNotFoundError as missing:
            hint = to_install("torch")
            raise ModelError(f"--thorough needs {missing.name}; {hint}") from None
        recipe = Recipe(minutes, steps, learning_rate=rate, style=style_weight)
        work = Painting(painting, style_size, license)
        learn(work, content, file, recipe, channels=channels, weights=vgg, device=device)
        name = style
    elif content is not None:
        raise UsageError("--content is for --thorough")
    (made,) = import_model(file, name=name, title=title, license=license)
    print(f"{made} is here")
