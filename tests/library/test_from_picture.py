"""Any picture as a style, and the contact sheet of all of them."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.engine.backend import Backend
from streamer.engine.stylizer import StylizerSpec
from streamer.errors import MediaError, UnavailableError
from streamer.frame import Image, Style
from streamer.i420 import Pixels, to_rgb
from streamer.library.add import import_model
from streamer.styles.catalogue import Catalogue
from tests.support.commands import Command
from tests.support.pictures import picture, smooth_rgb


@pytest.fixture
def home(data_dir: Path) -> Path:
    return data_dir / "models"


def stripes() -> Pixels:
    """A red and yellow picture of hard slanted stripes."""
    rows, columns = np.mgrid[:300, :400]
    bright = ((rows + columns) // 12 % 2)[..., None]
    return np.asarray(bright * (250, 210, 20) + (1 - bright) * (180, 10, 10), np.uint8)


def clouds() -> Pixels:
    """A blue picture of soft patches."""
    soft = smooth_rgb(400, 300, seed=4).mean(2, keepdims=True) / 255
    return np.asarray(soft * (120, 160, 250), np.uint8)


@pytest.fixture
def paintings(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "stripes.png", tmp_path / "clouds.jpg"
    for file, pixels in zip(files, (stripes(), clouds()), strict=True):
        Pillow.fromarray(pixels).save(file)
    return files


def stylized(name: str, image: Image, backend: Backend = "onnx") -> Image:
    catalogue = Catalogue.load()
    model, _ = catalogue.find(name)
    stylizer = StylizerSpec(backend, models=(model,)).load()
    return stylizer.stylize(image, Style(((name, 1.0),)))


def test_two_pictures_are_two_styles_with_their_pictures_colours(
    paintings: tuple[Path, Path],
) -> None:
    assert [import_model(file) for file in paintings] == [("stripes",), ("clouds",)]
    image = picture(160, 120)
    red, blue = (to_rgb(stylized(name, image)).mean((0, 1)) for name in ("stripes", "clouds"))
    camera = to_rgb(image).mean((0, 1))
    assert red[0] - red[2] > camera[0] - camera[2] + 30
    assert blue[2] - blue[0] > camera[2] - camera[0] + 30


@pytest.mark.parametrize("size", [(64, 64), (97, 55), (33, 201), (384, 384)])
def test_every_size_comes_back_at_its_size(
    paintings: tuple[Path, Path], size: tuple[int, int]
) -> None:
    import_model(paintings[0])
    for backend in ("onnx", "torch"):
        image = stylized("stripes", picture(*size), backend)
        assert (image.width, image.height) == size


def test_the_engines_agree(paintings: tuple[Path, Path]) -> None:
    import_model(paintings[0])
    image = picture(128, 72)
    one, other = (stylized("stripes", image, b).data.astype(int) for b in ("onnx", "torch"))
    assert np.percentile(np.abs(one - other), 99) <= 2
    assert np.abs(one - image.data).mean() > 10


def test_what_is_no_picture_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    with pytest.raises(MediaError, match="not a picture"):
        import_model(tmp_path / "letter.jpg")
    Pillow.new("RGB", (8, 8)).save(tmp_path / "dot.png")
    with pytest.raises(MediaError, match="too small"):
        import_model(tmp_path / "dot.png")
    assert not home.exists()


def test_without_onnx_the_extra_is_named(
    paintings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnavailableError, match=r"pip install 'streamer\[any-style\]'"):
        import_model(paintings[0])


# --- the contact sheet -------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("{picture}", "-o", "sheet.gif"), 2, "must end in .jpg or .png"),
        (("nowhere.jpg",), 2, "there is no picture nowhere.jpg"),
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
