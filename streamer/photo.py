"""server, files, library → **photo**: picture files ↔ images.

A picture file keeps its transparency, and what it says of itself (see metadata).
"""

import functools
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageFile, UnidentifiedImageError

from streamer.errors import MediaError, StreamerError, TooLargeError, first_line
from streamer.frame import Image
from streamer.i420 import from_rgb, to_rgb
from streamer.metadata import ORIENTATION, carried, exif_of, saved
from streamer.paths import written_whole

MIN_SIDE_PX: Final = 16
MAX_SIDE_PX: Final = 65_500  # of a JPEG
MAX_FILE_PIXELS: Final = 80_000_000
MAX_FILE_BYTES: Final = 1 << 30
MAX_ANIMATION_PIXELS: Final = 1 << 31  # of all frames together
WRITES: Final = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
QUALITY: Final = 92
_TURNS: Final = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT, 3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM, 5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270, 7: Pillow.Transpose.TRANSVERSE, 8: Pillow.Transpose.ROTATE_90,
}  # fmt: skip
# Pillow's formats that run no foreign program, and HEIF, which pi-heif adds.
READS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "HEIF")
SUFFIXES: Final = {"JPEG": ".jpg", "HEIF": ".heic", "TIFF": ".tif"}  # else .<format>
ANIMATED: Final = ("WEBP", "PNG", "AVIF")  # GIF files are videos to FFmpeg
MAX_SCANS: Final = 100  # of a JPEG; cameras and programs write at most 10 or so
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # that is no part of a scan
_NOTHING_SHOWS = [255, *[0] * 255]  # by alpha
_COLORS: Final = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB"}
_WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_lenient = threading.Lock()  # Pillow's switch is one for all threads


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, and what is put back into the new file.

    The colours of `image` are not blended with anything: `alpha` does that, once, at the end.
    """

    image: Image
    alpha: Pillow.Image | None
    extra: dict[str, Any]
    notes: tuple[str, ...] = ()


def decode_photo(data: bytes, max_pixels: int) -> Image:
    """The image in `data`, on white where it is transparent; see open_photo."""
    photo = open_photo(data, max_pixels)
    return photo.image if photo.alpha is None else from_rgb(np.asarray(_on_white(photo)))


def open_photo(data: bytes, max_pixels: int, *, keep_location: bool = False) -> Photo:
    """The photo in `data`: upright, in sRGB, white where nothing of it shows.

    Of a file whose end is missing, what is there. Raises TooLargeError, before any pixel is
    decoded, when it has more than `max_pixels`; MediaError when it is not a picture, is damaged
    from the start, or is smaller than 16 pixels.
    """
    with _readable():
        picture, notes = _load(data, max_pixels)
        with picture:
            photo = photo_of(picture, keep_location=keep_location)
            return replace(photo, notes=(*notes, *photo.notes))


def photo_of(picture: Pillow.Image, *, keep_location: bool = False) -> Photo:
    """What was decoded, as `open_photo` gives it. Raises MediaError."""
    with _readable():
        exif = exif_of(picture)
        turn = _TURNS.get(exif.pop(ORIENTATION, 1)) if exif is not None else None
        upright = picture if turn is None else picture.transpose(turn)
        alpha = _alpha(upright)
        colors = _to_srgb(upright)
        if alpha is not None:  # what lies below is often black: a network would see its edge
            colors.paste("white", mask=alpha.point(_NOTHING_SHOWS))
        image = from_rgb(np.asarray(colors))
        return Photo(image, alpha, *carried(picture, exif, keep_location=keep_location))


def pillow_of(photo: Photo) -> Pillow.Image:
    """RGB, or RGBA where the photo is transparent."""
    picture = Pillow.fromarray(to_rgb(photo.image))
    if photo.alpha is not None:
        picture.putalpha(photo.alpha)
    return picture


def _on_white(photo: Photo) -> Pillow.Image:
    """RGB, for what cannot be transparent."""
    picture = pillow_of(photo)
    if photo.alpha is None:
        return picture
    canvas = Pillow.new("RGB", picture.size, "white")
    canvas.paste(picture, mask=photo.alpha)
    return canvas


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """The image as a JPEG file."""
    bgr = cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2BGR)
    # Not Pillow, which takes four times as long and holds up the other threads.
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def read_photo(source: Path, *, keep_location: bool = False) -> Photo:
    """Raises MediaError."""
    try:
        return open_photo(_read(source), MAX_FILE_PIXELS, keep_location=keep_location)
    except (MediaError, OSError) as error:
        raise MediaError(f"{source}: {getattr(error, 'strerror', None) or error}") from error


def _read(source: Path) -> bytes:
    """Not of a pipe or a device, which may never end."""
    if not source.is_file():
        raise MediaError("this is not a file with a picture")
    if source.stat().st_size > MAX_FILE_BYTES:
        raise TooLargeError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    return source.read_bytes()


def write_photo(target: Path, photo: Photo) -> tuple[str, ...]:
    """Write the whole file or nothing; returns notes on what it cannot hold. Raises MediaError."""
    kind = WRITES[target.suffix.lower()]
    picture = _on_white(photo) if kind == "JPEG" else pillow_of(photo)
    options, notes = saved(photo.extra, kind)
    options |= {} if kind in ("PNG", "TIFF") else {"quality": QUALITY}
    try:
        with written_whole(target) as file:
            picture.save(file, kind, **options)
    except (OSError, ValueError) as error:
        raise MediaError(f"{target}: {getattr(error, 'strerror', None) or error}") from error
    return notes


def suffix_of(path: Path) -> str | None:
    """The suffix that suits a file by its content; None when it is not a picture."""
    try:
        with _readable(), _open(path) as picture:
            kind = picture.format or ""
    except MediaError:
        return None
    return SUFFIXES.get(kind, f".{kind.lower()}")


def is_animated(path: Path) -> bool:
    """Whether a file in one of the formats of ANIMATED has several frames."""
    try:
        with _readable(), _open(path) as picture:
            return picture.format in ANIMATED and getattr(picture, "n_frames", 1) > 1
    except MediaError:
        return False


def animation(path: Path) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Frames (height, width, 4) RGBA, each with its milliseconds. Raises MediaError."""
    with _readable(), _open(path) as picture:
        count = getattr(picture, "n_frames", 1)
        _check_size(picture.width, picture.height * count, MAX_ANIMATION_PIXELS)
        for number in range(count):
            picture.seek(number)
            pixels = np.asarray(picture.convert("RGBA"))
            yield pixels, round(picture.info.get("duration") or 0) or 100  # as browsers do


def _open(file: Path | io.BytesIO) -> Pillow.Image:
    _add_heif()
    if isinstance(file, Path) and not file.is_file():  # a pipe would be waited for
        raise MediaError("this is not a file with a picture")
    return Pillow.open(file, formats=READS)


@functools.cache
def _add_heif() -> None:
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)


def _load(data: bytes, max_pixels: int) -> tuple[Pillow.Image, tuple[str, ...]]:
    picture = _open(io.BytesIO(data))
    _check_size(picture.width, picture.height, max_pixels)
    if picture.format in ("JPEG", "MPO") and scans(data) > MAX_SCANS:
        raise MediaError(f"the picture has more than {MAX_SCANS} scans; save it anew")
    try:
        picture.load()
    except Exception:  # whatever Pillow raises
        partial = _load_partial(data)
        if partial is None:
            raise
        return partial, ("the end of the file is missing or damaged",)
    return picture, ()


def _load_partial(data: bytes) -> Pillow.Image | None:
    """What is there of a damaged picture; None when that is nothing.

    Of every format: those whose decoders give the whole or nothing fail here a second time.
    """
    with _lenient:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            picture = _open(io.BytesIO(data))
            picture.load()
        except Exception:  # as above; who asked is told the first one
            return None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    extrema = picture.convert("RGB").getextrema()
    return None if all(low == high for low, high in extrema) else picture  # type: ignore[misc]


def scans(data: bytes) -> int:
    """How many scans a JPEG has, each of which costs its decoder the whole picture; at most
    MAX_SCANS + 1 are counted."""
    count, at = 0, 2
    while count <= MAX_SCANS and (found := _MARKER.search(data, at)):
        kind, at = found[1][0], found.end()
        if kind == 0xD9:  # its end
            break
        if kind != 0x01 and at + 2 <= len(data):  # all others have a length
            at += int.from_bytes(data[at : at + 2], "big")
        count += kind == 0xDA
    return count


@contextmanager
def _readable() -> Iterator[None]:
    """Raises MediaError for whatever Pillow raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, or many pixels: the bound is our own
            yield
    except UnidentifiedImageError:
        formats = "JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF"
        raise MediaError(f"this is not a picture; send {formats}") from None
    except Pillow.DecompressionBombError as error:
        raise TooLargeError(str(error)) from None
    except (StreamerError, MemoryError):
        raise
    except Exception as error:  # RuntimeError, struct.error, TypeError: there is no list of them
        raise MediaError(f"the picture is damaged: {first_line(error)}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        millions = f"{width}x{height} is {width * height / 1e6:.1f} megapixels"
        raise TooLargeError(
            f"the picture is too large: {millions}, at most {max_pixels / 1e6:g} are allowed"
        )
    if max(width, height) > MAX_SIDE_PX:
        raise TooLargeError(
            f"the picture is too large: {width}x{height}, at most {MAX_SIDE_PX} a side are allowed"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise MediaError(f"the picture is too small: {width}x{height}, {MIN_SIDE_PX} needed")


def _alpha(picture: Pillow.Image) -> Pillow.Image | None:
    """None of a picture that cannot be transparent."""
    if not picture.has_transparency_data:
        return None
    if picture.mode in _WIDE_GREY:  # Pillow would clip its values before it compares
        shown = np.asarray(picture) != picture.info["transparency"]
        return Pillow.fromarray(shown.astype(np.uint8) * 255)
    return picture.convert("RGBA").getchannel("A")


def _to_srgb(picture: Pillow.Image) -> Pillow.Image:
    """RGB, without the transparency."""
    profile = picture.info.get("icc_profile")
    colors = _colors(picture)
    if colors.mode == "LAB":
        colors = _convert(colors, ImageCms.createProfile("LAB"))
    elif profile:
        colors = _apply(profile, colors)
    return colors.convert("RGB")


def _colors(picture: Pillow.Image) -> Pillow.Image:
    """Of 8 bits, and in the mode that a profile is of, which knows no indices and no alpha."""
    if picture.mode in _WIDE_GREY:
        return _narrow(picture)
    if picture.mode in ("RGBa", "La"):  # its colours are blended with black
        picture = picture.convert(picture.mode.upper())
    return picture.convert(_COLORS.get(picture.mode, picture.mode))


def _narrow(picture: Pillow.Image) -> Pillow.Image:
    """Grey of 16 bits or more as 8 bits; Pillow itself would clip it to white."""
    values = np.asarray(picture, np.float32)
    top = 65535.0 if picture.mode != "F" else max(float(values.max(initial=0)), 1e-6)
    return Pillow.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))


def _apply(profile: bytes, picture: Pillow.Image) -> Pillow.Image:
    """From the picture's own colours to sRGB; a profile that does not fit is ignored."""
    try:
        return _convert(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture


def _convert(picture: Pillow.Image, source: Any) -> Pillow.Image:
    target = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or picture
