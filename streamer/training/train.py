"""cli → **teach** → data, distill or perceptual, course, card: the two ways to train, whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from streamer.errors import UsageError, first_line
from streamer.i420 import to_rgb
from streamer.library.download import progress_bar
from streamer.library.store import to_name
from streamer.photo import decode_photo
from streamer.training import distill, perceptual, vgg
from streamer.training import model_card as card
from streamer.training.contrast import match_contrast
from streamer.training.data import Picture, photos
from streamer.training.loop import Files, attend, enrolled
from streamer.training.state import Recipe
from streamer.training.teachers import CatalogueTeacher, Origin

MAX_PIXELS = 100_000_000
MATCHED = 16  # photos by which a student's contrast is brought to its teacher's
STEPS = 25  # between two reports, each with a checkpoint


def by_teachers(sources: Sequence[str], content: Path, output: Path, recipe: Recipe) -> None:
    """Distill styles, networks and pictures into one network, and say how near it came.

    Raises StreamerErrors of many kinds, and a training that was interrupted as one.
    """
    files, teacher = _files(output, content), CatalogueTeacher(sources)
    shown, held_out = photos(content)
    run = enrolled(files, recipe, teacher.styles)
    reports = distill.train(run, shown, teacher, files.checkpoint, every=STEPS)
    attend(run, reports, files, held_out, lambda net: match_contrast(net, teacher, shown[:MATCHED]))
    scores = card.distances(output, teacher, held_out)
    card.finish(files, run, card.Story("distilled from", teacher.origins, len(shown)), scores)
    for style, row in zip(teacher.styles, scores.rows, strict=True):
        print(f"{style:24} {row[0]:5.1f}/255 from its teacher, {row[1]:.1f} in 8 bits")
    _say_where(files)


@dataclass(frozen=True, slots=True)
class Paintings:
    """Works to learn from, their shorter side brought to `side_px`."""

    paths: tuple[Path, ...]
    side_px: int
    license: str

    def read(self) -> list[Picture]:
        """Their pixels. Raises UsageError, MediaError."""
        works = []
        for path in self.paths:
            if not path.is_file():
                raise UsageError(f"there is no picture {path}")
            rgb = to_rgb(decode_photo(path.read_bytes(), MAX_PIXELS))
            scale = self.side_px / min(rgb.shape[:2])
            height, width = (round(side * scale) for side in rgb.shape[:2])
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            works.append(cv2.resize(rgb, (width, height), interpolation=way))
        return works

    @property
    def names(self) -> tuple[str, ...]:
        """One style each. Raises UsageError."""
        names = tuple(to_name(path.stem) for path in self.paths)
        if len(set(names)) < len(names):
            raise UsageError(f"two of the paintings have one name: {', '.join(names)}")
        return names


def by_paintings(
    paintings: Paintings,
    content: Path,
    output: Path,
    recipe: Recipe,
    taste: perceptual.Taste,
    *,
    weights: Path | None = None,
    device: str = "cpu",
) -> None:
    """Train on paintings with the eyes of VGG16, and say how near the network came.

    `weights`: its file; None is the published one. Raises as `by_teachers` does.
    """
    files, place = _files(output, content), _device(device)
    works, names = paintings.read(), paintings.names
    shown, held_out = photos(content)
    run = enrolled(files, recipe, names)
    critic = perceptual.Critic(vgg.load(weights or _fetched()), works, place)
    reports = perceptual.train(run, shown, critic, files.checkpoint, taste, every=STEPS)
    attend(run, reports, files, held_out)
    scores = card.tastes(output, critic, held_out)
    origins = [
        Origin(name, path.name, paintings.license)
        for name, path in zip(names, paintings.paths, strict=True)
    ]
    card.finish(files, run, card.Story("trained on", origins, len(shown)), scores)
    for name, row in zip(names, scores.rows, strict=True):
        print(f"{name:24} {row[0]:.3f} from its strokes; the photos are {row[2]:.3f}")
    _say_where(files)


def _files(output: Path, content: Path) -> Files:
    if not content.is_dir():
        raise UsageError(f"{content} is no folder")
    files = Files(output)
    files.check()
    return files


def _say_where(files: Files) -> None:
    output = files.output
    print(f"wrote {output} and {files.card.name}; use it with: streamer styles add {output}")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name} cannot be used here: {first_line(error)}") from None
    return device


def _fetched() -> Path:
    with progress_bar(vgg.FILE, vgg.BYTES) as progress:
        return vgg.fetched(progress)
