"""Fixtures of the library's tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.i420 import Pixels
from streamer.library import add
from streamer.library.read import read
from tests.support.pictures import smooth_rgb


@pytest.fixture
def models_dir(data_dir: Path) -> Path:
    """Where a user's models lie; it does not exist yet."""
    return data_dir / "models"


def stripes() -> Pixels:
    """A red and yellow picture of hard slanted stripes."""
    rows, columns = np.mgrid[:300, :400]
    bright = ((rows + columns) // 12 % 2)[..., None]
    return np.asarray(bright * (250, 210, 20) + (1 - bright) * (180, 10, 10), np.uint8)


def clouds() -> Pixels:
    """A blue picture of soft patches."""
    soft = smooth_rgb(400, 300, seed=4).mean(2, keepdims=True) / 255
    return np.asarray(soft * (120, 160, 250), np.uint8)


@pytest.fixture
def paintings(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "stripes.png", tmp_path / "clouds.jpg"
    for file, pixels in zip(files, (stripes(), clouds()), strict=True):
        Pillow.fromarray(pixels).save(file)
    return files


@pytest.fixture(autouse=True)
def _read_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares each file that is added a process of 1 to 3 s; `test_add` has the tests of that."""
    monkeypatch.setattr(add, "read_in_process", read)
