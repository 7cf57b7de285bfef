"""`streamer distill`: a slow style becomes a network that keeps up with a camera."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn, TimeRemainingColumn

from streamer.errors import ModelError, UsageError

if TYPE_CHECKING:
    from streamer.training.data import Teacher
    from streamer.training.distill import Recipe

_MISSING = "training needs {name}: pip install 'streamer[train]'"


def distill(
    teacher: Annotated[list[str], typer.Option(help="A style's name, or an ONNX file; repeat it.")],
    content: Annotated[Path, typer.Option(help="A folder of photos to learn on.")],
    output: Annotated[Path, typer.Option(help="What to write.")] = Path("student.onnx"),
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train, in all.")] = 60.0,
    rate: Annotated[float, typer.Option(help="Adam's first learning rate.")] = 2e-3,
) -> None:
    """Teach one fast I420 network all the styles of slow ones.

    Started again with the same --output it goes on where it stopped. Writes OUTPUT in float,
    beside it .int8.onnx, a contact sheet .png, and the checkpoint .pt.
    """
    if not content.is_dir():
        raise UsageError(f"{content} is no folder")
    try:
        from streamer.training.distill import Recipe
        from streamer.training.teachers import CatalogueTeacher
    except ModuleNotFoundError as missing:
        raise ModelError(_MISSING.format(name=missing.name)) from None
    recipe = Recipe(minutes=minutes, learning_rate=rate)
    teach(CatalogueTeacher(teacher), content, output, recipe)


def teach(teacher: "Teacher", content: Path, output: Path, recipe: "Recipe") -> None:
    """Train with a progress bar, write all files and say how near the student came."""
    from streamer.training.data import photos
    from streamer.training.distill import Run, averaged, distance, train
    from streamer.training.net import StyleNet
    from streamer.training.sheet import sheet, write_all

    console, checkpoint = Console(), output.with_suffix(".pt")
    shown, held_out = photos(content)
    going_on = checkpoint.exists()
    run = Run.load(checkpoint, recipe) if going_on else Run(StyleNet(teacher.styles), recipe)
    told = TextColumn("{task.fields[told]}")
    with Bar(*Bar.get_default_columns()[:3], TimeRemainingColumn(), told, console=console) as bar:
        task = bar.add_task(f"{len(teacher.styles)} styles", total=1.0, told="")
        for report in train(run, shown, teacher, checkpoint):
            loss = f"step {report.step}, loss {report.loss:.4f}, sway {report.unsteadiness:.4f}"
            bar.update(task, completed=report.done, told=loss)
    net = averaged(checkpoint)
    write_all(net, output, held_out)
    sheet(net, held_out[0], output.with_suffix(".png"))
    for index, style in enumerate(teacher.styles):
        away = distance(net, held_out[:4], teacher, index)
        console.print(f"{style:24} {away:5.1f}/255 from its teacher")
    console.print(f"wrote {output}; use it with: streamer styles add {output}")
