"""What is to be known of a trained network: a card beside it, the same in short inside its files.

Measured on the files themselves, as streamer will run them, on photos that were not trained on.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from streamer import __version__
from streamer.engine.onnx_network import OnnxNetwork
from streamer.engine.stylizer import Stylizer
from streamer.frame import Image, Style
from streamer.i420 import from_rgb, to_rgb
from streamer.library.read import read
from streamer.training.data import Picture, Teacher, fitted
from streamer.training.loop import Files
from streamer.training.perceptual import Critic
from streamer.training.state import Run
from streamer.training.teachers import Origin

MEASURED = 4  # photos
LONGEST_PX = 360
FORMS = ("float", "8 bits")


@dataclass(frozen=True, slots=True)
class Scores:
    """A table: a row of numbers for each style, and a sentence that says what they are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    meaning: str
    photos: int  # measured on


@dataclass(frozen=True, slots=True)
class Story:
    """How a network came to be: "distilled from" or "trained on" what, with how many photos."""

    how: str
    origins: Sequence[Origin]
    photos: int


def _measured(photos: Sequence[Picture]) -> list[Picture]:
    """Some of the photos, no larger than a network paints at its strokes' own size."""
    return [fitted(photo, min(LONGEST_PX, max(photo.shape[:2]))) for photo in photos[:MEASURED]]


class Painters:
    """Both files of a student, each painting as streamer will have it paint."""

    def __init__(self, output: Path) -> None:
        network = read(output, "student")
        model = network.model("student")
        assert network.int8 is not None
        self.styles = network.names
        self._stylizers = [
            Stylizer({model: OnnxNetwork(model, data, 1)}) for data in (network.data, network.int8)
        ]

    def paint(self, image: Image, style: str) -> Iterator[Image]:
        """In float, then in 8 bits."""
        for stylizer in self._stylizers:
            yield stylizer.stylize(image, Style(((style, 1.0),)))


def distances(output: Path, teacher: Teacher, photos: Sequence[Picture]) -> Scores:
    """How far both files are from the teacher, in each style."""
    painters = Painters(output)
    rows = []
    for index, style in enumerate(painters.styles):
        away = []
        for photo in _measured(photos):
            image, wanted = from_rgb(photo), from_rgb(teacher.paint(photo, index))
            painted = [*painters.paint(image, style), image]
            away.append([float(np.abs(p.data - wanted.data.astype(int)).mean()) for p in painted])
        rows.append(tuple(np.mean(away, 0).tolist()))
    meaning = (
        "Mean absolute difference to what the teacher paints, over I420 bytes (0..255); last, "
        "for comparison, that of the photo as it is."
    )
    return Scores((*FORMS, "photo"), tuple(rows), meaning, len(photos[:MEASURED]))


def tastes(output: Path, critic: Critic, photos: Sequence[Picture]) -> Scores:
    """How near both files come to the works they learned from, and to the photo."""
    painters = Painters(output)
    shown, rows = _measured(photos), []
    for index, style in enumerate(painters.styles):
        both = zip(*(painters.paint(from_rgb(photo), style) for photo in shown), strict=True)
        painted = [[to_rgb(image) for image in form] for form in both]
        judged = [critic.judge_pictures(pictures, shown, index) for pictures in (*painted, shown)]
        rows.append((*(strokes for _, strokes in judged), *(c for c, _ in judged[:-1])))
    columns = ("strokes, float", "8 bits", "photo", "content, float", "8 bits")
    meaning = (
        "How far the answers of VGG16 are apart, 0 being the same and 1 as far as nothing at all: "
        "of the strokes (Gram matrices) from the work's, with the photo as it is for comparison, "
        "and of the content (relu2_2) from the photo's."
    )
    return Scores(columns, tuple(rows), meaning, len(shown))


def finish(files: Files, run: Run, story: Story, scores: Scores) -> None:
    """Write what is known into both network files and, at length, into the card."""
    for path in _networks(files):
        _stamp(path, story)
    files.card.write_text("\n\n".join(_card(files, run, story, scores)) + "\n", encoding="utf-8")


def _stamp(path: Path, story: Story) -> None:
    """Licence and source, as `streamer styles add` reads them."""
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    facts["license"] = " and ".join(dict.fromkeys(origin.license for origin in story.origins))
    facts["source"] = f"{story.how} {', '.join(origin.source for origin in story.origins)}"
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)


def _card(files: Files, run: Run, story: Story, scores: Scores) -> Iterator[str]:
    yield f"# {files.output.name}"
    yield "A style network for live video: I420 planes in and out, any blend of its styles."
    yield f"Made by streamer {__version__} with `{' '.join(['streamer', *sys.argv[1:]])}`."
    head = ["style", story.how, "under the licence", *scores.columns]
    table = [head, ["---"] * 3 + ["---:"] * len(scores.columns)]
    for origin, row in zip(story.origins, scores.rows, strict=True):
        table.append([origin.style, origin.source, origin.license, *(f"{n:.3g}" for n in row)])
    yield "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in table)
    yield f"{scores.meaning} Measured on {scores.photos} photos that were not trained on."
    minutes = f"{run.elapsed_s / 60:.1f} minutes"
    yield f"Trained for {run.step} steps ({minutes}) on {story.photos} photos."
    yield (
        "What came of others stays under their licences: a network that imitates a work may be "
        "bound by what binds that work."
    )
    yield "\n".join(["| file | bytes | SHA-256 |", "|---|---:|---|", *_files(files)])
    yield f"Use it with `streamer styles add {files.output.name}`."


def _networks(files: Files) -> tuple[Path, Path]:
    return files.output, files.output.with_suffix(".int8.onnx")


def _files(files: Files) -> Iterator[str]:
    for path in _networks(files):
        data = path.read_bytes()
        yield f"| `{path.name}` | {len(data)} | `{hashlib.sha256(data).hexdigest()}` |"


def _cell(text: str) -> str:
    return text.replace("|", "/")
