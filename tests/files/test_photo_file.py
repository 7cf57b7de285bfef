"""Photos as files: upright, transparent where they were, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.errors import MediaError, UsageError
from streamer.files.batch import check_photo, stylize_photo
from streamer.files.inputs import items
from streamer.frame import Image, Style
from streamer.photo import Photo, write_photo
from streamer.ring.ring import Ring
from tests.support.fakes import ThreadWorkers
from tests.support.video_runs import files_of_at_most, leftovers

ORIENTATION, ARTIST = 0x0112, 0x013B


def colours(width: int = 60, height: int = 40) -> Pillow.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 220
    pixels[:, width // 2 :, 2] = 220
    return Pillow.fromarray(pixels)


async def stylize(source: Path, target: Path) -> None:
    async with Ring(lambda: ThreadWorkers(1)) as ring:
        await stylize_photo(source, target, Style(), ring)


def close(pixel: object, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(np.array(pixel, int)[: len(colour)] - colour).max() < 25)


async def test_a_photo_lying_on_its_side_comes_out_upright(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "me"  # to be turned clockwise
    colours().save(tmp_path / "in.jpg", exif=exif, quality=95)
    await stylize(tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Pillow.open(tmp_path / "out.jpg") as picture:
        assert picture.size == (40, 60)
        assert close(picture.getpixel((20, 5)), (220, 0, 0))  # left became top
        assert close(picture.getpixel((20, 55)), (0, 0, 220))
        assert dict(picture.getexif()) == {ARTIST: "me"}


@pytest.mark.parametrize("kind", ["png", "webp"])
async def test_transparency_is_kept(kind: str, tmp_path: Path) -> None:
    picture = colours()
    alpha = Pillow.fromarray(np.linspace(0, 255, 60 * 40).reshape(40, 60).astype(np.uint8))
    picture.putalpha(alpha)
    picture.save(tmp_path / f"in.{kind}", lossless=True)
    await stylize(tmp_path / f"in.{kind}", tmp_path / f"out.{kind}")
    with Pillow.open(tmp_path / f"out.{kind}") as made:
        assert made.mode == "RGBA"
        assert np.array_equal(np.asarray(made)[..., 3], np.asarray(alpha))
        assert close(made.getpixel((5, 38)), (220, 0, 0))


@pytest.mark.parametrize(
    ("name", "kind", "result"),
    [("in.mpo", "MPO", "JPEG"), ("in.jfif", "JPEG", "JPEG"), ("in.dib", "DIB", "PNG")],
)
async def test_photos_with_rare_suffixes(name: str, kind: str, result: str, tmp_path: Path) -> None:
    several = {"save_all": True, "append_images": [colours()]} if kind == "MPO" else {}
    colours().save(tmp_path / name, kind, **several)
    (item,) = items([str(tmp_path / name)], None, Style())
    await stylize(item.source, item.target)
    with Pillow.open(item.target) as made:
        assert (made.format, made.size) == (result, (60, 40))
        assert close(made.getpixel((5, 20)), (220, 0, 0))


async def test_an_opaque_photo_stays_opaque(tmp_path: Path) -> None:
    colours().save(tmp_path / "in.png")
    await stylize(tmp_path / "in.png", tmp_path / "out.webp")
    with Pillow.open(tmp_path / "out.webp") as made:
        assert (made.format, made.mode, made.size) == ("WEBP", "RGB", (60, 40))


async def test_a_damaged_photo_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    colours().save(source)
    source.write_bytes(source.read_bytes()[:60])
    with pytest.raises(MediaError, match=r"in\.png"):
        await stylize(source, tmp_path / "out.png")
    assert not leftovers(tmp_path, source)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    image = Image(70_000, 16, np.zeros(70_000 * 24, np.uint8))
    with pytest.raises(MediaError, match="No such file"):
        write_photo(tmp_path / "no" / "out.png", Photo(image, None, {}))
    with pytest.raises(MediaError):  # no JPEG is as wide
        write_photo(tmp_path / "out.jpg", Photo(image, None, {}))
    assert not leftovers(tmp_path)


def test_a_full_disk_keeps_the_photo_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    rng = np.random.default_rng(1)
    noise = Photo(Image(320, 160, rng.integers(0, 255, 76_800, np.uint8)), None, {})
    with files_of_at_most(10_000), pytest.raises(MediaError, match="File too large"):
        write_photo(target, noise)
    assert target.read_bytes() == b"mine" and not leftovers(tmp_path, target)


def test_photos_are_never_overwritten_unasked(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    with pytest.raises(UsageError, match="no such file"):
        check_photo(source, target, overwrite=False)
    source.touch()
    check_photo(source, target, overwrite=False)
    target.touch()
    with pytest.raises(UsageError, match="--overwrite"):
        check_photo(source, target, overwrite=False)
    check_photo(source, target, overwrite=True)
    with pytest.raises(UsageError, match="can be written as"):
        check_photo(source, tmp_path / "out.bmp", overwrite=False)
