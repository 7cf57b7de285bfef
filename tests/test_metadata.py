"""What a picture file says of itself is in the result, too, as far as it is true of that."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from streamer.i420 import to_rgb
from streamer.metadata import JPEG_XMP_BYTES, MAX_TEXT_BYTES, MAX_XMP_BYTES, ORIENTATION
from streamer.photo import open_photo, read_photo, write_photo
from tests.support.heic import heic
from tests.support.pictures import smooth_rgb

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmp:Rating="4" {}>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Blümlisalp, by GPS</rdf:li></rdf:Alt></dc:title>
{}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
PLAIN = PACKET.format("", "").encode()
LOCATED = [
    PACKET.format('exif:GPSLatitude="46,30.5N"', ""),
    PACKET.format("", "<exif:GPSLatitude>46,30.5N</exif:GPSLatitude>"),
    PACKET.format('drone-dji:GpsLatitude="46.5"', ""),
]
ELSEWHERE = [
    'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123"',
    'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"',
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"',
    'xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"',
]
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".avif": "AVIF"}


def written(path: Path, xmp: bytes | None = None, texts: PngInfo | None = None) -> Path:
    """A picture that lies on its side, with EXIF."""
    exif = Pillow.Exif()
    exif[0x013B] = "me"
    options: dict[str, Any] = {"exif": exif}
    if xmp is not None and path.suffix == ".png":
        texts = texts or PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp is not None and path.suffix == ".tif":
        exif[700] = xmp
    elif xmp is not None:
        options["xmp"] = xmp
    options |= {} if texts is None else {"pnginfo": texts}
    Pillow.fromarray(smooth_rgb(64, 48)).save(path, FORMATS[path.suffix], **options)
    return path


def through(source: Path, target: Path, **options: Any) -> tuple[Pillow.Image, tuple[str, ...]]:
    """The result, and all notes."""
    photo = read_photo(source, **options)
    notes = (*photo.notes, *write_photo(target, photo))
    with Pillow.open(target) as result:
        result.load()
        assert result.getexif()[0x013B] == "me"
        return result, notes


@pytest.mark.parametrize("suffix", FORMATS)
def test_xmp_is_kept_by_every_format(suffix: str, tmp_path: Path) -> None:
    result, notes = through(written(tmp_path / f"a{suffix}", PLAIN), tmp_path / f"b{suffix}")
    assert result.info["xmp"] == PLAIN and not notes


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("packet", LOCATED)
def test_a_location_in_xmp_is_kept_only_when_asked_for(
    suffix: str, packet: str, tmp_path: Path
) -> None:
    source = written(tmp_path / f"a{suffix}", packet.encode())
    _, (note,) = through(source, tmp_path / f"b{suffix}")
    made = (tmp_path / f"b{suffix}").read_bytes()
    assert "--keep-location" in note and b"Latitude" not in made
    result, notes = through(source, tmp_path / f"c{suffix}", keep_location=True)
    assert result.info["xmp"] == packet.encode() and not notes


@pytest.mark.parametrize("attributes", ELSEWHERE)
def test_xmp_of_what_is_not_in_the_result_is_left_out(attributes: str, tmp_path: Path) -> None:
    source = written(tmp_path / "a.jpg", PACKET.format(attributes, "").encode())
    result, (note,) = through(source, tmp_path / "b.jpg", keep_location=True)
    assert "parts that are not kept" in note and "xmp" not in result.info


@pytest.mark.parametrize(
    "turn", [('tiff:Orientation="6"', ""), ("", "<tiff:Orientation>6</tiff:Orientation>")]
)
def test_a_turn_that_xmp_asks_for_is_made_once(turn: tuple[str, str], tmp_path: Path) -> None:
    source = written(tmp_path / "a.png", PACKET.format(*turn).encode())
    result, _ = through(source, tmp_path / "b.png")
    assert result.size == (48, 64) and result.getexif().get(ORIENTATION, 1) == 1
    assert result.info["xmp"] == PLAIN


@pytest.mark.parametrize(
    ("packet", "note"),
    [
        (b"\xff\xfe<\0x\0", "damaged"),
        ("<x:xmpmeta/>".encode("utf-16-be"), "damaged"),
        (b"x" * (MAX_XMP_BYTES + 1), "longer than 1024 KiB"),
    ],
)
def test_xmp_that_is_none_costs_the_xmp_only(packet: bytes, note: str, tmp_path: Path) -> None:
    result, (said,) = through(written(tmp_path / "a.tif", packet), tmp_path / "b.tif")
    assert note in said and "xmp" not in result.info


def test_what_a_jpeg_is_too_small_for_is_left_out_with_a_note(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x013B], exif[0x010E] = "me", "x" * 70_000
    source = written(tmp_path / "a.webp", PLAIN + b" " * JPEG_XMP_BYTES + b"<!-- -->")
    photo = read_photo(source)
    photo.extra["exif"] = exif.tobytes()
    notes = write_photo(tmp_path / "b.jpg", photo)
    assert [note for note in notes if "too long for a JPEG" in note] == list(notes)
    with Pillow.open(tmp_path / "b.jpg") as result:
        assert not result.getexif() and "xmp" not in result.info
        assert np.abs(np.asarray(result).astype(int) - to_rgb(photo.image)).mean() < 4


def texts(**more: str) -> PngInfo:
    info = PngInfo()
    for key, value in ({"Title": "Blümlisalp", "parameters": "steps: 20, ∞"} | more).items():
        info.add_text(key, value)
    info.add_text("Comment", "x" * 5000, zip=True)
    info.add_itxt("Author", "das Blümlein", "de", "Autor")
    return info


def test_the_texts_of_a_png_are_kept(tmp_path: Path) -> None:
    source = written(tmp_path / "a.png", PLAIN, texts())
    result, notes = through(source, tmp_path / "b.png")
    assert not notes
    assert {key: result.info[key] for key in ("Title", "parameters", "Comment", "Author")} == {
        "Title": "Blümlisalp", "parameters": "steps: 20, ∞", "Comment": "x" * 5000,
        "Author": "das Blümlein",
    }  # fmt: skip
    assert result.info["Author"].lang == "de" and result.info["xmp"] == PLAIN
    _, (note,) = through(source, tmp_path / "b.jpg")
    assert "texts of the PNG are left out" in note


def test_texts_that_hold_the_location_or_are_endless_are_left_out(tmp_path: Path) -> None:
    located = texts(**{"exif:GPSLatitude": "46/1", "Raw profile type APP1": "\nexif\n 4\n00ff"})
    result, (note,) = through(written(tmp_path / "a.png", texts=located), tmp_path / "b.png")
    assert "--keep-location" in note and result.info["Title"] == "Blümlisalp"
    assert not {"exif:GPSLatitude", "Raw profile type APP1"} & result.info.keys()
    endless = texts(Story="x" * MAX_TEXT_BYTES)
    result, (note,) = through(written(tmp_path / "a.png", texts=endless), tmp_path / "b.png")
    assert "texts are longer" in note and "Title" not in result.info


def test_heic_keeps_its_exif_in_a_jpeg(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x013B] = "me"
    (tmp_path / "a.heic").write_bytes(heic(smooth_rgb(64, 48), exif=exif.tobytes()))
    assert not through(tmp_path / "a.heic", tmp_path / "b.jpg")[1]


@given(
    st.dictionaries(
        st.sampled_from(
            ["dpi", "exif", "xmp", "icc_profile", "gamma", "Raw profile type exif", "Title", "loop"]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    )
)
def test_no_text_of_a_png_keeps_it_from_being_written(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, str]
) -> None:
    """Pillow has them in one place with what it found out itself."""
    info = PngInfo()
    for key, value in found.items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    Pillow.new("RGB", (20, 18)).save(buffer, "PNG", pnginfo=info)
    photo = open_photo(buffer.getvalue(), 1000)
    for suffix in FORMATS:
        write_photo(tmp_path_factory.getbasetemp() / f"texts{suffix}", photo)
