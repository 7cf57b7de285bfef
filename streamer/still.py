"""photo file → **still** → ring → **still** → photo file.

Photos keep what is not colour: transparency, EXIF (upright now), resolution.
"""

import asyncio
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageOps

from streamer.errors import MediaError, UsageError
from streamer.frame import Image, Style
from streamer.i420 import to_rgb
from streamer.photo import decode_photo
from streamer.ring.ring import Ring

MAX_PIXELS = 200_000_000
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
QUALITY = 92
ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo and what is put back into the new file."""

    image: Image
    alpha: Pillow.Image | None
    extra: dict[str, Any]


async def stylize_photo(source: Path, target: Path, style: Style, ring: Ring) -> None:
    """Write `target`, replacing what is there. Raises StreamerError."""
    photo = await asyncio.to_thread(read, source)
    image = await ring.stylize(photo.image, style)
    await asyncio.to_thread(write, target, Photo(image, photo.alpha, photo.extra))


def check(source: Path, target: Path, overwrite: bool) -> None:
    """Whether it can be done at all. Raises UsageError."""
    if not source.exists():
        raise UsageError(f"{source}: there is no such file")
    if target.suffix.lower() not in FORMATS:
        raise UsageError(f"{target}: a photo becomes one of {' '.join(FORMATS)}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is there already; --overwrite replaces it")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder")


def read(source: Path) -> Photo:
    """Raises MediaError."""
    try:
        data = source.read_bytes()
        image = decode_photo(data, MAX_PIXELS)
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


def write(target: Path, photo: Photo) -> None:
    """Write the whole file or nothing. Raises MediaError."""
    kind = FORMATS[target.suffix.lower()]
    picture = Pillow.fromarray(to_rgb(photo.image))
    if photo.alpha is not None and kind != "JPEG":
        picture.putalpha(photo.alpha)
    options: dict[str, Any] = {} if kind == "PNG" else {"quality": QUALITY}
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                picture.save(file, kind, **options, **photo.extra)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise MediaError(f"{target}: {getattr(error, 'strerror', None) or error}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
