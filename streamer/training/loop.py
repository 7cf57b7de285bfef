"""A training from its first step to its files: told, shown, interrupted, gone on with."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn, TimeRemainingColumn

from streamer.errors import MediaError, StreamerError, UsageError
from streamer.training.data import Picture
from streamer.training.net import StyleNet
from streamer.training.sheet import sheet, write_all
from streamer.training.state import Progress, Recipe, Run, averaged, check_styles

LINE_S = 10.0  # between two lines of progress, where there is no terminal for a bar
PREVIEW_S = 60.0  # between two entries at what the student can do by now


@dataclass(frozen=True, slots=True)
class Files:
    """What a training writes, all beside `output`, which ends in .onnx."""

    output: Path

    @property
    def preview(self) -> Path:
        """One picture in every style."""
        return self.output.with_suffix(".png")

    @property
    def checkpoint(self) -> Path:
        """What a stopped training goes on from."""
        return self.output.with_suffix(".pt")

    @property
    def card(self) -> Path:
        """What is known of the network, as Markdown."""
        return self.output.with_suffix(".md")

    def check(self) -> None:
        """Before hours of work: raise UsageError or MediaError when nothing can be written."""
        if self.output.suffix != ".onnx":
            raise UsageError(f"--output {self.output} must end in .onnx")
        folder = self.output.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"cannot write to {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise MediaError(f"cannot write to {folder}: Permission denied")


def enrolled(files: Files, recipe: Recipe, styles: tuple[str, ...]) -> Run:
    """The run of the checkpoint, or a new one. Raises ModelError."""
    if files.checkpoint.exists():
        run = Run.load(files.checkpoint, recipe)
        check_styles(run, styles)
        print(f"going on at step {run.step} of {files.checkpoint}")
        return run
    return Run(StyleNet(styles), recipe)


def attend(
    run: Run,
    reports: Iterator[Progress],
    files: Files,
    photos: list[Picture],
    polish: Callable[[StyleNet], None] = lambda net: None,
) -> StyleNet:
    """Train to the end, with a bar and previews; the trained network, its files written.

    `photos`: some that are not trained on. `polish` has the last word on the network. Raises
    StreamerError when it is interrupted.
    """
    console, shown_at, told_at = Console(stderr=True), -PREVIEW_S, -LINE_S
    told = TextColumn("{task.fields[told]}")
    bars = (*Bar.get_default_columns()[:3], TimeRemainingColumn(), told)
    try:
        with Bar(*bars, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"{len(run.net.styles)} styles", total=1.0, told="")
            for report in reports:
                line = f"step {report.step}, loss {report.loss:.4f}, sway {report.unsteadiness:.4f}"
                bar.update(task, completed=report.done, told=line)
                now = time.monotonic()
                if not console.is_terminal and (now - told_at > LINE_S or report.done == 1):
                    print(f"{report.done:4.0%}  {line}", flush=True)
                    told_at = now
                if now - shown_at > PREVIEW_S:
                    sheet(averaged(files.checkpoint), photos[0], files.preview)
                    shown_at = time.monotonic()
    except KeyboardInterrupt:
        run.save(files.checkpoint)
        text = f"stopped at step {run.step}; the same command goes on from there"
        raise StreamerError(text) from None
    run.save(files.checkpoint)  # also when there was nothing left to learn
    net = averaged(files.checkpoint)
    polish(net)
    write_all(net, files.output, photos)
    sheet(net, photos[0], files.preview)
    return net
