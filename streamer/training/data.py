"""train → **data**: the photos that a network learns on, and squares of them."""

import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from streamer.errors import MediaError
from streamer.i420 import Pixels

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
LARGEST_PX = 480  # of the shorter side of a photo
LARGEST_CROP = 2.1  # a crop may show the photo at this multiple of its own size
HELD_OUT = 50  # every 50th photo is kept for measuring


def photos(folder: Path) -> tuple[list[Pixels], list[Pixels]]:
    """All photos of a folder: those to train on, and those held out. Raises MediaError."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    loaded = (cv2.imread(str(f), cv2.IMREAD_COLOR) for f in files)
    pictures = [cv2.cvtColor(_small(p), cv2.COLOR_BGR2RGB) for p in loaded if p is not None]
    held_out = pictures[::HELD_OUT]
    training = [p for i, p in enumerate(pictures) if i % HELD_OUT]
    if not training:
        raise MediaError(f"{folder} needs at least two photos ({', '.join(sorted(SUFFIXES))})")
    return training, held_out


def _small(picture: Pixels) -> Pixels:
    """No larger than crops are cut from: a folder of camera photos would fill the memory."""
    return picture if min(picture.shape[:2]) <= LARGEST_PX else scaled(picture, LARGEST_PX)


def scaled(picture: Pixels, shorter_px: int) -> Pixels:
    """The picture with its shorter side at `shorter_px`."""
    scale = shorter_px / min(picture.shape[:2])
    height, width = (max(shorter_px, round(side * scale)) for side in picture.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def crop(picture: Pixels, size: int, rng: random.Random) -> Pixels:
    """A random square of a picture, enlarged or not, mirrored or not, lighter or darker."""
    whole = scaled(picture, round(size * rng.uniform(1, LARGEST_CROP)))
    top, left = (rng.randint(0, side - size) for side in whole.shape[:2])
    cut = whole[top : top + size, left : left + size, :][:, :: rng.choice((1, -1))]
    if rng.random() < 0.5:
        light, contrast = rng.uniform(-38, 38), rng.uniform(0.6, 1.2)
        cut = ((cut.astype(np.float32) - 128) * contrast + 128 + light).clip(0, 255)
    return np.ascontiguousarray(cut, dtype=np.uint8)


def to_tensor(pictures: Sequence[Pixels]) -> Tensor:
    """Pictures of one size as (n, 3, h, w) in 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def to_pixels(rgb: Tensor) -> Pixels:
    """The first picture of (n, 3, h, w) in 0..1."""
    pixels = (255 * rgb[0].detach().clamp(0, 1)).round().byte().permute(1, 2, 0)
    return np.asarray(pixels.cpu().numpy(), np.uint8)
