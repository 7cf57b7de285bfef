"""Uploaded pictures: every common kind is read upright and right, everything else refused."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms

from streamer.errors import MediaError, TooLargeError
from streamer.i420 import Pixels, to_rgb
from streamer.photo import (
    MAX_FILE_PIXELS,
    MAX_SCANS,
    decode_photo,
    encode_jpeg,
    is_animated,
    open_photo,
    photo_of,
    read_photo,
    write_photo,
)
from tests.support.heic import heic
from tests.support.pictures import smooth_rgb

PIXELS = 1_000_000


def file(picture: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Pixels:
    return to_rgb(decode_photo(data, PIXELS))


def flat(mode: str, color: object, size: tuple[int, int] = (20, 18)) -> Pillow.Image:
    return Pillow.new(mode, size, color)  # type: ignore[arg-type]


def assert_color(rgb: Pixels, expected: tuple[int, int, int], within: int = 3) -> None:
    assert np.abs(rgb.astype(int) - expected).max() <= within


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_common_formats_are_read(kind: str) -> None:
    rgb = decoded(file(flat("RGB", (200, 40, 90)), kind))
    assert rgb.shape == (18, 20, 3)
    assert_color(rgb, (200, 40, 90), within=5)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (flat("L", 77), (77, 77, 77)),
        (flat("1", 1), (255, 255, 255)),
        (flat("RGBA", (200, 0, 0, 0)), (255, 255, 255)),
        (flat("RGBA", (200, 0, 0, 255)), (200, 0, 0)),
        (flat("RGBA", (0, 0, 0, 128)), (127, 127, 127)),
        (flat("LA", (0, 128)), (127, 127, 127)),
        (flat("RGB", (10, 200, 30)).quantize(4), (10, 200, 30)),
        (flat("I;16", 0x8000), (128, 128, 128)),
        (flat("I;16", 0xFFFF), (255, 255, 255)),
        (flat("RGBA", (205, 214, 0, 128)), (230, 234, 127)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(
    picture: Pillow.Image, expected: tuple[int, int, int]
) -> None:
    assert_color(decoded(file(picture)), expected)


def test_transparency_by_palette_is_flattened() -> None:
    picture = flat("P", 0)
    picture.putpalette([200, 0, 0, 0, 200, 0])
    assert_color(decoded(file(picture, transparency=0)), (255, 255, 255))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (flat("RGBA", (205, 214, 0, 128)), (205, 214, 0, 128)),
        (flat("LA", (60, 128)), (60, 60, 60, 128)),
        (flat("RGBA", (0, 0, 0, 1)), (0, 0, 0, 1)),
        (flat("RGBA", (0, 0, 0, 0)), (255, 255, 255, 0)),
    ],
)
def test_what_shines_through_is_blended_by_who_shows_it_and_not_before(
    kind: str, picture: Pillow.Image, colour: tuple[int, ...], tmp_path: Path
) -> None:
    exact: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    source, target = tmp_path / f"in.{kind.lower()}", tmp_path / f"out.{kind.lower()}"
    picture.convert("RGBA").save(source, **exact)
    write_photo(target, read_photo(source))
    with Pillow.open(target) as made:
        seen = np.asarray(made)
    if kind != "WEBP" or colour[3]:  # lossy WebP drops what does not show
        assert np.abs(seen.astype(int) - colour).max() <= 6


def test_a_jpeg_of_what_shines_through_is_on_white(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(file(flat("RGBA", (205, 214, 0, 128))))
    write_photo(tmp_path / "out.jpg", read_photo(tmp_path / "in.png"))
    with Pillow.open(tmp_path / "out.jpg") as made:
        assert_color(np.asarray(made), (230, 234, 127))


@pytest.mark.parametrize("hidden", [0x0000, 0x8000, 0xFFFF])
def test_of_wide_grey_only_the_hidden_value_is_transparent(hidden: int) -> None:
    values = np.full((20, 18), 0x4000, np.uint16)
    values[:10] = hidden
    data = file(Pillow.fromarray(values))
    at = data.index(b"IDAT") - 4
    photo = open_photo(data[:at] + chunk(b"tRNS", struct.pack(">H", hidden)) + data[at:], PIXELS)
    assert photo.alpha is not None
    alpha = np.asarray(photo.alpha)
    assert not alpha[:10].any() and (alpha[10:] == 255).all()


def test_cmyk_is_read() -> None:
    assert_color(decoded(file(flat("CMYK", (0, 255, 255, 0)), "JPEG")), (254, 0, 0), within=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    rgb = smooth_rgb(48, 32)
    turned = {
        1: rgb, 2: rgb[:, ::-1], 3: rgb[::-1, ::-1], 4: rgb[::-1], 5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, 1), 7: rgb[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(rgb, -1),
    }[orientation]  # fmt: skip
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored = Pillow.fromarray(np.ascontiguousarray(turned))
    upright = decoded(file(stored, "JPEG", exif=exif, quality=98))
    assert upright.shape == rgb.shape
    assert np.abs(upright.astype(int) - rgb).mean() < 8


def profile(kind: Literal["LAB", "sRGB"]) -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes())


def test_a_colour_profile_is_applied() -> None:
    picture = flat("RGB", (200, 40, 90))
    assert_color(decoded(file(picture, icc_profile=profile("sRGB"))), (200, 40, 90))
    swapped = profile("sRGB").replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ")
    swapped = swapped.replace(b"....", b"bXYZ")  # its red is blue
    assert_color(decoded(file(picture, icc_profile=swapped)), (90, 40, 200))


def grey_profile(gamma: float) -> bytes:
    """Little CMS makes none by Pillow: header, and the tags that a grey one has to have."""
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc" + bytes(4) + struct.pack(">I", 2) + b"g\0" + bytes(78)
    tags, table = b"", struct.pack(">I", 3)
    for tag, body in ((b"kTRC", curve), (b"wtpt", white), (b"desc", name)):
        table += tag + struct.pack(">II", 128 + 4 + 36 + len(tags), len(body))
        tags += body + bytes(-len(body) % 4)
    header = struct.pack(">I4sI4s4s4s", 168 + len(tags), b"", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + table + tags


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    "picture", [flat("L", 128), flat("LA", (128, 200)), flat("I;16", 0x8080)], ids=["8", "8a", "16"]
)
def test_grey_has_a_profile_too(kind: str, picture: Pillow.Image) -> None:
    seen = []
    for gamma in (1.0, 2.2):
        data = file(picture, kind, icc_profile=grey_profile(gamma))
        seen.append(int(to_rgb(open_photo(data, PIXELS).image)[5, 5, 0]))
    assert seen[0] > 175 and abs(seen[1] - 128) < 8


def test_programs_may_give_colours_blended_with_black() -> None:
    photo = photo_of(flat("RGBa", (100, 50, 0, 128)))
    assert_color(to_rgb(photo.image), (199, 99, 0))
    assert photo.alpha is not None and photo.alpha.getpixel((5, 5)) == 128


@pytest.mark.parametrize("unfit", [profile("LAB"), b"no profile at all"])
def test_a_colour_profile_that_does_not_fit_is_ignored(unfit: bytes) -> None:
    data = file(flat("RGB", (200, 40, 90)), icc_profile=unfit)
    assert_color(decoded(data), (200, 40, 90))


def test_only_the_first_picture_of_an_animation_counts() -> None:
    frames = [flat("RGB", color) for color in ((255, 0, 0), (0, 0, 255))]
    data = file(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_color(decoded(data), (255, 0, 0))


def test_odd_sizes_keep_their_size() -> None:
    assert decoded(file(flat("RGB", "red", (33, 17)))).shape == (17, 33, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match="not a picture"):
        decode_photo(data, PIXELS)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "DIB"])
def test_a_picture_whose_end_is_missing_is_read_as_far_as_it_goes(kind: str) -> None:
    plain: dict[str, Any] = {"interlace": False} if kind == "GIF" else {}
    data = file(Pillow.fromarray(NOISE), kind, **plain)
    whole = decoded(data).astype(int)
    for part in (0.5, 0.9):
        photo = open_photo(data[: int(len(data) * part)], PIXELS)
        assert photo.notes == ("the end of the file is missing or damaged",)
        there = int(64 * part) - 20
        rows = slice(-there, None) if kind in ("BMP", "DIB") else slice(there)  # from below
        assert np.abs(to_rgb(photo.image)[rows] - whole[rows]).mean() < 3
    assert open_photo(data, PIXELS).notes == (), "and the next one is judged as strictly as before"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_a_picture_with_nothing_but_a_beginning_is_refused(kind: str) -> None:
    data = file(Pillow.fromarray(NOISE), kind)
    with pytest.raises(MediaError):
        decode_photo(data[:20], PIXELS)
    with pytest.raises(MediaError):
        decode_photo(data[: len(data) - len(data) % 7 - 200][:60], PIXELS)


@pytest.mark.parametrize("tile_px", [None, 64])
def test_heic_is_read_whole(tile_px: int | None) -> None:
    """Phones write grids of tiles, of which FFmpeg's demuxer shows one."""
    rgb = smooth_rgb(256, 128)
    found = decoded(heic(rgb, tile_px=tile_px))
    assert found.shape == rgb.shape
    assert np.abs(found.astype(int) - rgb).mean() < 3


def test_heic_stands_upright_and_keeps_its_exif() -> None:
    exif = Pillow.Exif()
    exif[0x0112], exif[0x013B] = 6, "me"  # what the file's own turn says again
    rgb = smooth_rgb(96, 64)
    photo = open_photo(heic(rgb, turns=1, exif=exif.tobytes()), PIXELS)
    assert np.abs(to_rgb(photo.image).astype(int) - np.rot90(rgb)).mean() < 3
    kept = Pillow.Exif()
    kept.load(photo.extra["exif"])
    assert dict(kept) == {0x013B: "me"}


def test_the_location_is_left_out_unless_it_is_asked_for() -> None:
    exif = Pillow.Exif()
    exif[0x013B] = "me"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    data = file(flat("RGB", "red"), "JPEG", exif=exif)
    for keep, gps, notes in ((False, {}, 1), (True, {1: "N"}, 0)):
        photo = open_photo(data, PIXELS, keep_location=keep)
        kept = Pillow.Exif()
        kept.load(photo.extra["exif"])
        assert dict(kept.get_ifd(0x8825)) == gps and len(photo.notes) == notes
        assert kept[0x013B] == "me" and kept.get_ifd(0x8769)[0x9003] == "2026:01:02 03:04:05"


def wide(kind: str) -> bytes:
    """RGB of 16 bits a channel: a ramp of red."""
    red = np.linspace(0, 65535, 20 * 18).reshape(18, 20).astype(np.uint16)
    pixels = np.stack([np.full_like(red, 0x4000), np.full_like(red, 0x8000), red], 2)  # BGR
    return bytes(cv2.imencode(kind, pixels)[1])


@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    rgb = decoded(wide(kind)).astype(int)
    red = np.linspace(0, 255, 20 * 18).reshape(18, 20)
    assert np.abs(rgb[..., 0] - red).mean() < 12  # chroma is shared by four
    assert np.abs(rgb[..., 1:].mean(axis=(0, 1)) - (128, 64)).max() < 6


def test_the_colours_of_a_palette_have_a_profile_too() -> None:
    picture = flat("RGB", (200, 40, 90)).quantize(4)
    swapped = profile("sRGB").replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ")
    data = file(picture, icc_profile=swapped.replace(b"....", b"bXYZ"))
    assert_color(decoded(data), (90, 40, 200))


def test_lab_is_read() -> None:
    lab = ImageCms.profileToProfile(
        flat("RGB", (200, 40, 90)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert_color(decoded(file(lab, "TIFF")), (200, 40, 90), within=5)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("1", {"compression": "group4"}), ("LAB", {}), ("RGB", {"icc_profile": profile("sRGB")})],
)
def test_a_tiff_keeps_its_texts_but_not_how_its_pixels_were_written(
    mode: Literal["1", "LAB", "RGB"], options: dict[str, object], tmp_path: Path
) -> None:
    tags = Pillow.Exif()
    tags[0x013B] = "me"
    source = tmp_path / "in.tif"
    source.write_bytes(file(Pillow.new(mode, (20, 18)), "TIFF", exif=tags, **options))
    photo = read_photo(source)
    write_photo(tmp_path / "out.tif", photo)
    with Pillow.open(tmp_path / "out.tif") as result:
        assert result.mode == "RGB" and "icc_profile" not in result.info
        assert np.abs(np.asarray(result).astype(int) - to_rgb(photo.image)).max() <= 1
        assert result.getexif()[0x013B] == "me"


def chunk(name: bytes, body: bytes) -> bytes:
    """Of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels: whoever decodes it fails otherwise."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("size", [(1001, 1000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(TooLargeError):
        decode_photo(png_header(*size), PIXELS)


def test_a_photo_of_100_megapixels_is_refused_in_a_sentence() -> None:
    with pytest.raises(TooLargeError, match=r"12000x9000 is 108.0 megapixels, at most 80 are"):
        decode_photo(png_header(12_000, 9_000), MAX_FILE_PIXELS)


def test_the_bound_itself_is_allowed() -> None:
    data = file(flat("RGB", "red", (100, 50)))
    assert decode_photo(data, 5000).width == 100
    with pytest.raises(TooLargeError):
        decode_photo(data, 4999)


def test_a_picture_too_small_for_any_network_is_refused() -> None:
    with pytest.raises(MediaError, match="too small"):
        decode_photo(file(flat("RGB", "red", (15, 40))), PIXELS)


def test_jpeg_is_a_jpeg_of_the_same_picture() -> None:
    image = decode_photo(file(Pillow.fromarray(smooth_rgb(65, 47))), PIXELS)
    with Pillow.open(io.BytesIO(encode_jpeg(image))) as back:
        assert (back.format, back.size, back.mode) == ("JPEG", (65, 47), "RGB")
        assert np.abs(np.asarray(back).astype(int) - to_rgb(image)).mean() < 4


def test_quality_is_paid_in_bytes() -> None:
    image = decode_photo(file(Pillow.fromarray(smooth_rgb(64, 64))), PIXELS)
    assert len(encode_jpeg(image, quality=95)) > len(encode_jpeg(image, quality=30))


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = file(Pillow.fromarray(smooth_rgb(64, 48)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    decoded(data[:last] + data[last:-2] * 20 + b"\xff\xd9")  # more than any program writes
    with pytest.raises(MediaError, match="more than 100 scans"):
        decoded(data[:last] + data[last:-2] * MAX_SCANS + b"\xff\xd9")


def test_shapes_that_no_jpeg_can_have_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(TooLargeError, match="70000x16, at most 65500 a side"):
        decode_photo(file(flat("1", 0, (70_000, 16))), 50_000_000)


def test_damaged_metadata_costs_the_metadata_only() -> None:
    """EXIF that is none, and a resolution that is a text, of a picture that lies on its side."""
    picture = Pillow.fromarray(smooth_rgb(48, 32))
    exif = Pillow.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    good = file(picture, "JPEG", exif=exif)
    as_text = good.replace(b"\x01\x1a\0\5\0\0\0\1", b"\x01\x1a\0\2\0\0\0\4")
    none = good.replace(b"Exif\0\0MM", b"Exif\0\0\xff\xff")
    assert good not in (as_text, none)
    photo = open_photo(as_text, PIXELS)
    assert (photo.image.width, photo.image.height) == (32, 48), "it is turned all the same"
    assert photo.notes == ("its metadata (EXIF) is damaged and left out",)
    assert "exif" not in photo.extra and "exif" not in open_photo(none, PIXELS).extra


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_never_ends_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()
    with pytest.raises(MediaError, match=r"a\.png: this is not a file with a picture"):
        read_photo(path)
    assert not is_animated(path)


SEEDS = [
    file(Pillow.fromarray(smooth_rgb(40, 24)), kind, **options)
    for kind, options in (
        ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}), ("AVIF", {}),
    )
]  # fmt: skip


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=8))
@example(b"", [])
@example(b"\xff\xd8", [])
@example(SEEDS[0][:60], [])
def test_damaged_pictures_are_read_or_refused(seed: bytes, damage: list[tuple[int, int]]) -> None:
    data = bytearray(seed)
    for at, value in damage if seed else ():
        data[at % len(data)] = value
    try:
        photo = open_photo(bytes(data), PIXELS)
    except MediaError:
        return
    assert photo.image.width * photo.image.height <= PIXELS
