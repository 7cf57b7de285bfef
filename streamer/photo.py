"""server, files, library → **photo**: picture files ↔ images.

A picture file keeps its transparency, EXIF (turned upright) and resolution.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from streamer.errors import MediaError, TooLargeError
from streamer.frame import Image
from streamer.i420 import from_rgb, to_rgb
from streamer.paths import written_whole

MIN_SIDE_PX = 16
MAX_FILE_PIXELS = 200_000_000
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}  # that are written
QUALITY = 92
ORIENTATION = 0x0112  # EXIF tag
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # nothing that runs a foreign program
_WIDE_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode_photo(data: bytes, max_pixels: int) -> Image:
    """The picture in `data`, upright, in sRGB, on white where it was transparent.

    Raises TooLargeError, before any pixel is decoded, when it has more than `max_pixels`;
    MediaError when it is no picture, damaged, or smaller than 16 pixels.
    """
    with _readable(), Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
        _check_size(picture.width, picture.height, max_pixels)
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        return from_rgb(np.asarray(_to_srgb(upright)))


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """The image as a JPEG file."""
    buffer = io.BytesIO()
    Pillow.fromarray(to_rgb(image)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo and what is put back into the new file."""

    image: Image
    alpha: Pillow.Image | None
    extra: dict[str, Any]


def read_photo(source: Path) -> Photo:
    """Raises MediaError."""
    try:
        data = source.read_bytes()
        image = decode_photo(data, MAX_FILE_PIXELS)
    except (MediaError, OSError) as error:
        raise MediaError(f"{source}: {getattr(error, 'strerror', None) or error}") from error
    with Pillow.open(io.BytesIO(data)) as picture:
        upright = ImageOps.exif_transpose(picture)
        opaque = not upright.has_transparency_data
        alpha = None if opaque else upright.convert("RGBA").getchannel("A")
        return Photo(image, alpha, _extra(upright))


def _extra(picture: Pillow.Image) -> dict[str, Any]:
    exif = picture.getexif()
    exif.pop(ORIENTATION, None)
    extra: dict[str, Any] = {"exif": exif.tobytes()} if len(exif) else {}
    return extra | ({"dpi": picture.info["dpi"]} if "dpi" in picture.info else {})


def write_photo(target: Path, photo: Photo) -> None:
    """Write the whole file or nothing. Raises MediaError."""
    kind = FORMATS[target.suffix.lower()]
    picture = Pillow.fromarray(to_rgb(photo.image))
    if photo.alpha is not None and kind != "JPEG":
        picture.putalpha(photo.alpha)
    options: dict[str, Any] = {} if kind == "PNG" else {"quality": QUALITY}
    try:
        with written_whole(target) as file:
            picture.save(file, kind, **options, **photo.extra)
    except (OSError, ValueError) as error:
        raise MediaError(f"{target}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever Pillow says of bytes it cannot read becomes one MediaError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, or many pixels: the bound is our own
            yield
    except UnidentifiedImageError:
        formats = "JPEG, PNG, WebP, GIF, BMP or TIFF"
        raise MediaError(f"this is not a picture; send {formats}") from None
    except Pillow.DecompressionBombError as error:
        raise TooLargeError(str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError) as error:
        raise MediaError(f"the picture is damaged: {error}") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        millions = f"{width}x{height} is {width * height / 1e6:.1f} megapixels"
        raise TooLargeError(f"the picture is too large: {millions}, {max_pixels / 1e6:g} allowed")
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
    if profile:
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
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return converted or picture
