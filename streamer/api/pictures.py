"""program → **pictures** → frame: what programs have pictures in, and give them back in.

Arrays are (height, width, 3), uint8, RGB. OpenCV has BGR: turn it with `image[..., ::-1]`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from streamer.errors import UsageError
from streamer.frame import Image
from streamer.i420 import Pixels, from_rgb, to_rgb
from streamer.photo import photo_of, pillow_of, read_photo

Picture = Pixels | Pillow.Image | str | Path
SHAPE = "(height, width, 3), uint8, RGB"


def taken(picture: Picture) -> tuple[Image, Callable[[Image], Pixels | Pillow.Image]]:
    """An image, and what makes of a stylized one what the picture came as.

    Of a file comes a Pillow image. Transparency is kept. Raises UsageError, MediaError.
    """
    if isinstance(picture, np.ndarray):
        return from_array(picture), to_rgb
    if isinstance(picture, str | Path):
        photo = read_photo(Path(picture))
    elif isinstance(picture, Pillow.Image):
        photo = photo_of(picture)
    else:
        kinds = "a NumPy array, a Pillow image or the path of a picture file"
        raise UsageError(f"{kinds} is wanted, not {type(picture).__name__}")
    return photo.image, lambda image: pillow_of(replace(photo, image=image))


def from_array(pixels: Pixels) -> Image:
    """Raises UsageError for an array of another shape or type."""
    fits = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if not fits or 0 in pixels.shape:
        raise UsageError(f"an array is {SHAPE}, not {pixels.shape}, {pixels.dtype}")
    return from_rgb(np.ascontiguousarray(pixels))
