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
from streamer.frame import Image, Style
from streamer.planes import from_rgb
from streamer.styles_adopt import read
from streamer.stylizer import Stylizer
from streamer.stylizer_onnx import OnnxNetwork
from streamer.training.course import Files
from streamer.training.data import Picture, Teacher
from streamer.training.distill import Run
from streamer.training.teachers import Origin

MEASURED = 4  # photos
FORMS = ("float", "8 bits")


@dataclass(frozen=True, slots=True)
class Scores:
    """A table: a row of numbers for each style, and a sentence that says what they are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    meaning: str


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
        for photo in photos[:MEASURED]:
            image, wanted = from_rgb(photo), from_rgb(teacher.paint(photo, index))
            painted = [*painters.paint(image, style), image]
            away.append([float(np.abs(p.data - wanted.data.astype(int)).mean()) for p in painted])
        rows.append(tuple(np.mean(away, 0).tolist()))
    meaning = (
        "Mean absolute difference to what the teacher paints, over I420 bytes (0..255); last, "
        "for comparison, that of the photo as it is."
    )
    return Scores((*FORMS, "photo"), tuple(rows), meaning)


def stamp(output: Path, origins: Sequence[Origin], how: str) -> None:
    """Write licence and source into both files; `streamer styles add` reads them there."""
    licenses = " and ".join(dict.fromkeys(origin.license for origin in origins))
    sources = ", ".join(origin.source for origin in origins)
    for path in (output, output.with_suffix(".int8.onnx")):
        model = onnx.load(path)
        facts = {entry.key: entry.value for entry in model.metadata_props}
        facts |= {"license": licenses, "source": f"{how} {sources}"}
        onnx.helper.set_model_props(model, facts)
        onnx.save(model, path)


def write_card(
    files: Files, run: Run, origins: Sequence[Origin], scores: Scores, photos: tuple[int, int]
) -> None:
    """`photos`: how many were trained on, and measured on."""
    head = ["style", "from", "its licence", *scores.columns]
    table = [head, ["---"] * 3 + ["---:"] * len(scores.columns)]
    for origin, row in zip(origins, scores.rows, strict=True):
        table.append([origin.style, origin.source, origin.license, *(f"{n:.1f}" for n in row)])
    parts = [
        f"# {files.output.name}",
        "A style network for live video: I420 planes in and out, any blend of its styles. "
        f"Made by streamer {__version__}, with `{_command()}`.",
        "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in table),
        f"{scores.meaning} Measured on {photos[1]} photos that were not trained on.",
        f"Trained for {run.step} steps ({run.elapsed_s / 60:.1f} minutes) on {photos[0]} photos.",
        "What came of others stays under their licences: a network that imitates a work may "
        "be bound by what binds that work.",
        "| file | bytes | SHA-256 |\n|---|---:|---|\n" + "\n".join(_files(files)),
        f"Use it with `streamer styles add {files.output.name}`.",
    ]
    files.card.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _files(files: Files) -> Iterator[str]:
    for path in (files.output, files.output.with_suffix(".int8.onnx")):
        data = path.read_bytes()
        yield f"| `{path.name}` | {len(data)} | `{hashlib.sha256(data).hexdigest()}` |"


def _command() -> str:
    return " ".join(["streamer", *sys.argv[1:]])


def _cell(text: str) -> str:
    return text.replace("|", "/")
