"""server, files, library → **photo**: picture files ↔ images.

A picture file keeps its transparency, EXIF (turned upright, without the location unless asked
for) and resolution.
"""

import functools
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from streamer.errors import MediaError, TooLargeError
from streamer.frame import Image
from streamer.i420 import from_rgb, to_rgb
from streamer.paths import written_whole

MIN_SIDE_PX: Final = 16
MAX_FILE_PIXELS: Final = 80_000_000
MAX_ANIMATION_PIXELS: Final = 1 << 31  # of all frames together
WRITES: Final = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
QUALITY: Final = 92
ORIENTATION, GPS = 0x0112, 0x8825  # EXIF tags
# Pillow's formats that run no foreign program, and HEIF, which pi-heif adds.
READS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
SUFFIXES: Final = {"JPEG": ".jpg", "HEIF": ".heic", "TIFF": ".tif"}  # else .<format>
PARTIAL: Final = ("JPEG", "MPO", "PNG", "TIFF")  # are read as far as they go
ANIMATED: Final = ("WEBP", "PNG", "AVIF")  # GIF files are videos to FFmpeg
_WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_lenient = threading.Lock()  # Pillow's switch is one for all threads


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, and what is put back into the new file."""

    image: Image
    alpha: Pillow.Image | None
    extra: dict[str, Any]
    notes: tuple[str, ...] = ()


def decode_photo(data: bytes, max_pixels: int) -> Image:
    """The image in `data`; see open_photo."""
    return open_photo(data, max_pixels).image


def open_photo(data: bytes, max_pixels: int, *, keep_location: bool = False) -> Photo:
    """The photo in `data`: upright, in sRGB, on white where it was transparent.

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
        upright = ImageOps.exif_transpose(picture)
        image = from_rgb(np.asarray(_to_srgb(upright)))
        opaque = not upright.has_transparency_data
        alpha = None if opaque else upright.convert("RGBA").getchannel("A")
        return Photo(image, alpha, *_extra(upright, keep_location))


def pillow_of(photo: Photo) -> Pillow.Image:
    """RGB, or RGBA where the photo is transparent."""
    picture = Pillow.fromarray(to_rgb(photo.image))
    if photo.alpha is not None:
        picture.putalpha(photo.alpha)
    return picture


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """The image as a JPEG file."""
    buffer = io.BytesIO()
    Pillow.fromarray(to_rgb(image)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def read_photo(source: Path, *, keep_location: bool = False) -> Photo:
    """Raises MediaError."""
    try:
        return open_photo(source.read_bytes(), MAX_FILE_PIXELS, keep_location=keep_location)
    except (MediaError, OSError) as error:
        raise MediaError(f"{source}: {getattr(error, 'strerror', None) or error}") from error


def write_photo(target: Path, photo: Photo) -> None:
    """Write the whole file or nothing. Raises MediaError."""
    kind = WRITES[target.suffix.lower()]
    picture = pillow_of(replace(photo, alpha=None) if kind == "JPEG" else photo)
    options: dict[str, Any] = {} if kind in ("PNG", "TIFF") else {"quality": QUALITY}
    try:
        with written_whole(target) as file:
            picture.save(file, kind, **options, **photo.extra)
    except (OSError, ValueError) as error:
        raise MediaError(f"{target}: {getattr(error, 'strerror', None) or error}") from error


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
    return Pillow.open(file, formats=READS)


@functools.cache
def _add_heif() -> None:
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)


def _load(data: bytes, max_pixels: int) -> tuple[Pillow.Image, tuple[str, ...]]:
    picture = _open(io.BytesIO(data))
    _check_size(picture.width, picture.height, max_pixels)
    try:
        picture.load()
    except (OSError, SyntaxError, EOFError):
        partial = _load_partial(data) if picture.format in PARTIAL else None
        if partial is None:
            raise
        return partial, ("the end of the file is missing or damaged",)
    return picture, ()


def _load_partial(data: bytes) -> Pillow.Image | None:
    """What is there of a damaged picture; None when that is nothing."""
    with _lenient:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            picture = _open(io.BytesIO(data))
            picture.load()
        except (OSError, SyntaxError, EOFError):
            return None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    extrema = picture.convert("RGB").getextrema()
    return None if all(low == high for low, high in extrema) else picture  # type: ignore[misc]


def _extra(picture: Pillow.Image, keep_location: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    exif = picture.getexif()
    exif.pop(ORIENTATION, None)
    located = not keep_location and exif.pop(GPS, None) is not None
    extra: dict[str, Any] = {"exif": exif.tobytes()} if len(exif) else {}
    notes = ("the location is left out; --keep-location keeps it",) if located else ()
    return extra | ({"dpi": picture.info["dpi"]} if "dpi" in picture.info else {}), notes


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
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        raise MediaError(f"the picture is damaged: {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        millions = f"{width}x{height} is {width * height / 1e6:.1f} megapixels"
        raise TooLargeError(
            f"the picture is too large: {millions}, at most {max_pixels / 1e6:g} are allowed"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise MediaError(f"the picture is too small: {width}x{height}, {MIN_SIDE_PX} needed")


def _to_srgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.mode in _WIDE_GREY:
        picture = _narrow(picture)
    profile = picture.info.get("icc_profile")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Pillow.new("RGB", rgba.size, "white")
        picture.paste(rgba, mask=rgba.getchannel("A"))
    if picture.mode == "P":
        picture = picture.convert("RGB")  # profiles are of colours, not of indices
    if picture.mode == "LAB":
        picture = _convert(picture, ImageCms.createProfile("LAB"))
    elif profile:
        picture = _apply(profile, picture)
    return picture.convert("RGB")


def _narrow(picture: Pillow.Image) -> Pillow.Image:
    """Grey of 16 bits or more as 8 bits; Pillow itself would clip it to white."""
    values = np.asarray(picture, np.float32)
    top = 65535.0 if picture.mode != "F" else max(float(values.max(initial=0)), 1e-6)
    return Pillow.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))


def _apply(profile: bytes, picture: Pillow.Image) -> Pillow.Image:
    """From the picture's own colours to sRGB; a profile that does not fit is ignored."""
    try:
        return _convert(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture


def _convert(picture: Pillow.Image, source: Any) -> Pillow.Image:
    target = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or picture
