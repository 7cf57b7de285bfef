"""`streamer distill` and `streamer train`: a fast network of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from streamer.errors import ModelError

_MISSING = "training needs {name}: pip install 'streamer[train]'"


def distill(  # noqa: PLR0917 - Typer reads every option from here
    teacher: Annotated[
        list[str],
        typer.Option(help="A style's name, a network (.onnx, .pth) or any picture; repeat it."),
    ],
    content: Annotated[Path, typer.Option(help="A folder of photos to learn on.")],
    output: Annotated[Path, typer.Option(help="What to write.")] = Path("student.onnx"),
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train, in all.")] = 60.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="So many steps instead, however long they take.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Adam's first learning rate.")] = 2e-3,
) -> None:
    """Teach one fast I420 network all the styles of slow ones.

    Started again with the same --output it goes on where it stopped. Writes OUTPUT in float and
    .int8.onnx, and beside them .png (all styles; a preview while it trains), .md (what it is and
    how near it came) and .pt (what to go on from).
    """
    try:
        from streamer.training.state import Recipe
        from streamer.training.train import by_teachers
    except ModuleNotFoundError as missing:
        raise ModelError(_MISSING.format(name=missing.name)) from None
    by_teachers(teacher, content, output, Recipe(minutes, steps, learning_rate=rate))


def train(  # noqa: PLR0917 - Typer reads every option from here
    style_image: Annotated[
        list[Path], typer.Option(help="A painting to learn from; repeat it for more styles.")
    ],
    content: Annotated[Path, typer.Option(help="A folder of photos to learn on.")],
    output: Annotated[Path, typer.Option(help="What to write.")] = Path("painter.onnx"),
    vgg: Annotated[
        Path | None,
        typer.Option(help="vgg16-397923af.pth of torchvision; default: fetched once, 553 MB."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train, in all.")] = 240.0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="So many steps instead, however long they take.")
    ] = None,
    style_weight: Annotated[
        float, typer.Option(min=0, help="More: more of the painting, less of the photo.")
    ] = 5.0,
    style_size: Annotated[
        int, typer.Option(min=64, max=2048, help="Shorter side of the painting: its strokes' size.")
    ] = 256,
    rate: Annotated[float, typer.Option(help="Adam's first learning rate.")] = 2e-3,
    license: Annotated[str, typer.Option(help="Of the paintings; kept in the files.")] = "unknown",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
) -> None:
    """Teach a fast I420 network to paint like a painting, without a teacher.

    The perceptual loss of Johnson et al. 2016. Every step runs VGG16 to and fro, which is work
    for a GPU, or for a CPU and a night. Files, resuming and previews are those of `distill`.
    """
    try:
        from streamer.training.perceptual import Taste
        from streamer.training.state import Recipe
        from streamer.training.train import Paintings, by_paintings
    except ModuleNotFoundError as missing:
        raise ModelError(_MISSING.format(name=missing.name)) from None
    recipe = Recipe(minutes, steps, crop_px=192, learning_rate=rate)
    paintings = Paintings(tuple(style_image), style_size, license)
    taste = Taste(style=style_weight)
    by_paintings(paintings, content, output, recipe, taste, weights=vgg, device=device)
