"""What a student learns from: photos, a teacher that repaints them, and pairs of both.

The teacher is far slower than a training step, so each of its pictures is used several times,
cut, noised and shifted differently each time.
"""

import random
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from streamer.errors import MediaError

Picture = NDArray[np.uint8]  # (height, width, 3), RGB
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LARGEST_PX = 480  # of the shorter side of a photo
LARGEST_CROP = 2.1  # a shorter side of so many crops: soft enough for enlarged video
HELD_OUT = 50  # every 50th photo is kept for measuring


class Teacher(Protocol):
    """Repaints one picture in one of its styles."""

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of its styles."""

    def paint(self, picture: Picture, style: int) -> Picture:
        """The picture in the style with this index, at the same size."""


def photos(folder: Path) -> tuple[list[Picture], list[Picture]]:
    """All photos of a folder: those to train on, and those held out."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    loaded = (cv2.imread(str(f), cv2.IMREAD_COLOR) for f in files)
    pictures = [cv2.cvtColor(_small(p), cv2.COLOR_BGR2RGB) for p in loaded if p is not None]
    held_out = pictures[::HELD_OUT]
    training = [p for i, p in enumerate(pictures) if i % HELD_OUT]
    if not training:
        raise MediaError(f"{folder} needs at least two photos ({', '.join(sorted(SUFFIXES))})")
    return training, held_out


def _small(picture: Picture) -> Picture:
    """No larger than crops are cut from: a folder of camera photos would fill the memory."""
    scale = LARGEST_PX / min(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (round(side * scale) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def fitted(picture: Picture, long_px: int) -> Picture:
    """The picture with its longer side at `long_px`, both sides multiples of 8."""
    scale = long_px / max(picture.shape[:2])
    height, width = (max(16, round(side * scale) // 8 * 8) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]


def crop(picture: Picture, size: int, rng: random.Random) -> Picture:
    """A random square of a picture, enlarged or not, mirrored or not, lighter or darker."""
    scale = size * rng.uniform(1, LARGEST_CROP) / min(picture.shape[:2])
    height, width = (max(size, round(side * scale)) for side in picture.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, (width, height), interpolation=way)
    top, left = rng.randint(0, height - size), rng.randint(0, width - size)
    cut = scaled[top : top + size, left : left + size, :][:, :: rng.choice((1, -1))]
    if rng.random() < 0.5:
        light, contrast = rng.uniform(-38, 38), rng.uniform(0.6, 1.2)
        cut = ((cut.astype(np.float32) - 128) * contrast + 128 + light).clip(0, 255)
    return np.ascontiguousarray(cut, dtype=np.uint8)


def to_planes(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """RGB (n, 3, h, w) in 0..1 as I420 planes in 0..1 of the byte: BT.601, video range."""
    red, green, blue = torch.split(rgb, 1, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.cat([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    return (16 + 219 * luma) / 255, (128 + 224 * avg_pool2d(chroma, 2)) / 255


def from_planes(y: Tensor, uv: Tensor) -> Tensor:
    """The inverse of `to_planes`, chroma interpolated; values beyond 0..1 stay beyond."""
    luma = (255 * y - 16) / 219
    chroma = interpolate((255 * uv - 128) / 224, scale_factor=2, mode="bilinear")
    blue, red = luma + 1.772 * chroma[:, :1], luma + 1.402 * chroma[:, 1:]
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.cat([red, green, blue], 1)


def to_tensor(pictures: Sequence[Picture]) -> Tensor:
    """Pictures of one size as (n, 3, h, w) in 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


class Pairs:
    """Endless batches of (photo, the teacher's painting of it, its style's index).

    Each batch holds up to `fresh` new paintings, made in a thread while the student learns
    from the batch before; the others are drawn from the last few thousand.
    """

    def __init__(
        self, pictures: Sequence[Picture], teacher: Teacher, size: int, *, seed: int = 0
    ) -> None:
        self._pictures, self._teacher, self._size = pictures, teacher, size
        self._cuts, self._draws = random.Random(seed), random.Random(seed)
        self._pool: deque[tuple[Picture, Picture, int]] = deque(maxlen=4000)

    def _paint(self, count: int) -> list[tuple[Picture, Picture, int]]:
        painted = []
        for _ in range(count):
            style = self._cuts.randrange(len(self._teacher.styles))
            photo = crop(self._cuts.choice(self._pictures), self._size, self._cuts)
            painted.append((photo, self._teacher.paint(photo, style), style))
        return painted

    def batches(
        self, count: int, fresh: int
    ) -> Generator[tuple[Tensor, Tensor, Tensor], None, None]:
        """`count` pairs at a time: RGB (count, 3, size, size) twice, and the style indices."""
        with ThreadPoolExecutor(1) as painter:
            coming = painter.submit(self._paint, 4 * count)
            while True:
                self._pool.extend(coming.result())
                coming = painter.submit(self._paint, fresh)
                drawn = self._draws.sample(self._pool, count)
                photo, painting, style = zip(*drawn, strict=True)
                yield to_tensor(photo), to_tensor(painting), torch.tensor(style)
