"""`streamer distill` and `streamer train`: a fast network of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import ModelError, UsageError

if TYPE_CHECKING:
    from streamer.training.data import Teacher
    from streamer.training.distill import Recipe
    from streamer.training.teachers import Origin

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
    if not content.is_dir():
        raise UsageError(f"{content} is no folder")
    try:
        from streamer.training.distill import Recipe
        from streamer.training.teachers import CatalogueTeacher
    except ModuleNotFoundError as missing:
        raise ModelError(_MISSING.format(name=missing.name)) from None
    painter = CatalogueTeacher(teacher)
    recipe = Recipe(minutes=minutes, steps=steps, learning_rate=rate)
    teach(painter, content, output, recipe, painter.origins)


def teach(
    teacher: "Teacher",
    content: Path,
    output: Path,
    recipe: "Recipe",
    origins: "Sequence[Origin]",
) -> None:
    """Train, write all files, and say how near the student came."""
    from streamer.training import card
    from streamer.training.course import Files, attend, enrolled
    from streamer.training.data import photos
    from streamer.training.distill import train

    files = Files(output)
    files.check()
    shown, held_out = photos(content)
    run = enrolled(files, recipe, teacher.styles)
    attend(run, train(run, shown, teacher, files.checkpoint), files, held_out)
    scores = card.distances(output, teacher, held_out)
    card.stamp(output, origins, "distilled from")
    measured = min(len(held_out), card.MEASURED)
    card.write_card(files, run, origins, scores, (len(shown), measured))
    for style, row in zip(teacher.styles, scores.rows, strict=True):
        print(f"{style:24} {row[0]:5.1f}/255 from its teacher, {row[1]:.1f} in 8 bits")
    print(f"wrote {output} and {files.card.name}; use it with: streamer styles add {output}")
