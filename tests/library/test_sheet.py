"""The contact sheet: pictures in every style."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.library.add import import_model
from streamer.styles.catalogue import Catalogue
from tests.support.commands import Command


def test_the_sheet_shows_a_picture_in_every_style(
    tmp_path: Path, paintings: tuple[Path, Path], streamer: Command
) -> None:
    import_model(paintings[0])
    output = tmp_path / "sheet.png"
    code, out, err = streamer(
        "styles", "sheet", paintings[1], "-o", output, "--width", 80, "--columns", 6
    )
    count = len(list(Catalogue.load()))
    assert (code, out, err) == (0, f"wrote {output}, {count} styles\n", "")
    written = cv2.imread(str(output))
    assert written is not None
    rows = -(-count // 6)
    assert written.shape == (rows * (60 + 26 + 8) + 8, 6 * (80 + 8) + 8, 3)
    tiles = [
        written[8 + row * 94 : 68 + row * 94, 8 + column * 88 : 88 + column * 88]
        for row in range(rows)
        for column in range(6)
    ][:count]
    assert all(tile.std() > 8 for tile in tiles)
    assert all(np.abs(tile.astype(int) - tiles[0]).mean() > 4 for tile in tiles[1:])
    assert (written[72:90] < 80).any()  # something is written below


def test_the_sheet_shows_only_what_was_asked_for(
    tmp_path: Path, paintings: tuple[Path, Path], streamer: Command
) -> None:
    output = tmp_path / "two.jpg"
    words = ("--style", "ember", "--style", "copper", "--width", 64)
    assert streamer("styles", "sheet", paintings[0], "-o", output, *words)[0] == 0
    with Pillow.open(output) as written:
        assert written.size == (2 * 72 + 8, 48 + 26 + 16)


def test_several_pictures_stand_side_by_side(
    tmp_path: Path, paintings: tuple[Path, Path], streamer: Command
) -> None:
    upright, output = tmp_path / "upright.png", tmp_path / "both.png"
    Pillow.new("RGB", (90, 180), "white").save(upright)
    words = ("--style", "none", "--style", "ember", "--width", 220)  # shapes 4:3 and 1:2
    assert streamer("styles", "sheet", paintings[0], upright, "-o", output, *words)[0] == 0
    with Pillow.open(output) as written:
        assert written.size == (2 * 228 + 8, 120 + 26 + 16)
        plain = np.asarray(written.convert("L"))[8:128, 8:228].astype(int)
    assert plain[:, :150].std() > 8
    assert plain[:, 170:].min() > 240, "the white one begins at 160, and touches no other"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("{picture}", "-o", "sheet.gif"), 2, "must end in .jpg or .png"),
        (("nowhere.jpg",), 2, "no such file: nowhere.jpg"),
        (("{picture}", "nowhere.jpg"), 2, "no such file: nowhere.jpg"),
        (("{picture}", "--style", "vortex"), 2, "unknown style 'vortex'"),
        (("{picture}", "--style", "ember", "-o", "no/where.png"), 1, "cannot write no/where.png"),
        (("{letter}",), 1, "not a picture"),
    ],
)
def test_what_the_sheet_cannot_do_is_one_line(
    paintings: tuple[Path, Path], streamer: Command, words: tuple[str, ...], code: int, text: str
) -> None:
    letter = paintings[0].with_name("letter.jpg")
    letter.write_text("Dear Sir or Madam")
    filled = [word.format(picture=paintings[0], letter=letter) for word in words]
    left, _, err = streamer("styles", "sheet", *filled)
    assert (left, err.count("\n")) == (code, 1)
    assert text in err
