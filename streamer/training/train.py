"""cli → **train** → data, run: a network learns one painting, from the first step to its file."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import onnx
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn, TimeRemainingColumn

from streamer.ending import Stopped
from streamer.errors import MediaError, StreamerError, UsageError
from streamer.i420 import Pixels, to_rgb
from streamer.library.download import progress_bar
from streamer.library.from_pytorch import transformer_net
from streamer.photo import decode_photo
from streamer.training import vgg
from streamer.training.data import photos, scaled, to_pixels, to_tensor
from streamer.training.net import TransformerNet
from streamer.training.perceptual_loss import PerceptualLoss
from streamer.training.run import Progress, Recipe, Run

MAX_PIXELS = 100_000_000
LINE_S = 10.0  # between two lines of progress, where there is no terminal for a bar
PREVIEW_S = 60.0  # between two previews
STEPS = 25  # between two reports, each with a checkpoint
MEASURED, MEASURED_PX = 4, 360  # photos, and their shorter side


@dataclass(frozen=True, slots=True)
class Files:
    """What a training writes, all beside `output`, which ends in .onnx."""

    output: Path

    @property
    def preview(self) -> Path:
        """What the network can do by now."""
        return self.output.with_suffix(".png")

    @property
    def checkpoint(self) -> Path:
        """What a stopped training goes on from."""
        return self.output.with_suffix(".pt")

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


@dataclass(frozen=True, slots=True)
class Painting:
    """A work to learn from, at a shorter side of `side_px`."""

    path: Path
    side_px: int
    license: str

    def read(self) -> Pixels:
        """Its pixels. Raises UsageError, MediaError."""
        if not self.path.is_file():
            raise UsageError(f"there is no picture {self.path}")
        return scaled(to_rgb(decode_photo(self.path.read_bytes(), MAX_PIXELS)), self.side_px)


def train(
    painting: Painting,
    content: Path,
    output: Path,
    recipe: Recipe,
    *,
    channels: int = 16,
    weights: Path | None = None,
    device: str = "cpu",
) -> None:
    """Train a TransformerNet on a painting and photos, write it, and say how near it came.

    `content` is a folder of photos; `weights` the file of VGG16, None for the published one.
    Raises StreamerErrors of many kinds, and a training that was interrupted as one.
    """
    files, place = Files(output), _device(device)
    if not content.is_dir():
        raise UsageError(f"{content} is no folder")
    files.check()
    work = painting.read()
    shown, held_out = photos(content)
    if files.checkpoint.exists():
        run = Run.load(files.checkpoint, recipe, place)
        print(f"going on at step {run.step} of {files.checkpoint}")
    else:
        run = Run(TransformerNet(channels), recipe, place)
    eyes = vgg.load(weights or _fetched()).to(place)
    perceptual = PerceptualLoss(eyes, to_tensor([work]).to(place))
    attend(run, run.train(shown, perceptual, files.checkpoint, STEPS), files, held_out[0])
    write(run.net, files.output, painting)
    strokes, before = _distances(run, perceptual, held_out)
    print(f"strokes {strokes:.3f} from the painting's; those of the photos are {before:.3f}")


def attend(run: Run, reports: Iterator[Progress], files: Files, photo: Pixels) -> None:
    """Follow a training to its end, with a bar and previews of `photo`.

    Raises StreamerError when it is interrupted.
    """
    console, shown_at, told_at = Console(stderr=True), -PREVIEW_S, -LINE_S
    bars = (
        *Bar.get_default_columns()[:3],
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    try:
        with Bar(*bars, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("training", total=1.0, told="")
            for report in reports:
                line = f"step {report.step}, loss {report.loss:.4f}"
                bar.update(task, completed=report.done, told=line)
                now = time.monotonic()
                if not console.is_terminal and (now - told_at > LINE_S or report.done == 1):
                    print(f"{report.done:4.0%}  {line}", flush=True)
                    told_at = now
                if now - shown_at > PREVIEW_S or report.done == 1:
                    preview(run, photo, files.preview)
                    shown_at = time.monotonic()
    except (KeyboardInterrupt, Stopped):
        run.save(files.checkpoint)
        text = f"stopped at step {run.step}; the same command goes on from there"
        raise StreamerError(text) from None


def preview(run: Run, photo: Pixels, path: Path) -> None:
    """Write the photo as the network stylizes it by now."""
    with torch.no_grad():
        stylized = to_pixels(run.net(_held_out(photo, run)))
    cv2.imwrite(str(path), stylized[:, :, ::-1])


def write(net: TransformerNet, output: Path, painting: Painting) -> None:
    """Write the network, with licence and source as `streamer styles add` reads them."""
    model = transformer_net(net.weights())
    facts = {"license": painting.license, "source": f"trained on {painting.path.name}"}
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, output)


@torch.no_grad()
def _distances(run: Run, perceptual: PerceptualLoss, held_out: list[Pixels]) -> tuple[float, float]:
    """How far the strokes of stylized photos, and of the photos, are from the painting's."""
    found = []
    for photo in held_out[:MEASURED]:
        rgb = _held_out(photo, run)
        found.append([perceptual.judge(x, rgb)[1] for x in (run.net(rgb).clamp(0, 1), rgb)])
    stylized, before = torch.tensor(found).mean(0).tolist()
    return stylized, before


def _held_out(photo: Pixels, run: Run) -> torch.Tensor:
    small = scaled(photo, min(MEASURED_PX, *photo.shape[:2]))
    height, width = (side // 4 * 4 for side in small.shape[:2])
    return to_tensor([small[:height, :width]]).to(run.device)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise UsageError(f"--device {name} cannot be used here: {first}") from None
    return device


def _fetched() -> Path:
    with progress_bar(vgg.FILE, vgg.BYTES) as progress:
        return vgg.fetched(progress)
