"""Animated pictures come out as videos, at their own pace."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from tests.support.video_runs import run, times, wanted

COLOURS = [(220, 20, 20), (20, 220, 20), (20, 20, 220), (220, 220, 20)]
SHOWN_MS = [100, 300, 40, 200]


def save(path: Path) -> Path:
    frames = [Pillow.new("RGB", (48, 32), colour) for colour in COLOURS]
    lossless = path.suffix == ".webp"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=SHOWN_MS, lossless=lossless
    )
    return path


@pytest.mark.parametrize("name", ["in.webp", "in.png", "in.gif"])
async def test_an_animation_is_a_video(name: str, tmp_path: Path) -> None:
    source, target = save(tmp_path / name), tmp_path / "out.mp4"
    await run(wanted(source, target, crf=1))
    starts = [sum(SHOWN_MS[:n]) for n in range(len(SHOWN_MS))]
    assert [round(1000 * at) for at in times(target)][:-1] == starts
    assert times(target)[-1] == pytest.approx(Fraction(sum(SHOWN_MS), 1000), abs=0.11)
    with av.open(str(target)) as container:
        shown = [f.to_ndarray(format="rgb24")[16, 24] for f in container.decode(video=0)]
    assert np.abs(np.array(shown, int) - COLOURS).max() < 12
