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


@pytest.mark.parametrize("clear", [False, True])
async def test_of_a_gif_transparency_is_dropped_where_there_is_any(
    clear: bool, tmp_path: Path
) -> None:
    """Others use it, too: for pixels that stay as they were."""
    first, second = (Pillow.new("RGB", (48, 32), COLOURS[0]) for _ in range(2))
    second.paste(COLOURS[2], (10, 10, 20, 20))
    if clear:
        first.putalpha(Pillow.linear_gradient("L").resize((48, 32)).point(lambda a: 255 * (a > 99)))
    first.save(tmp_path / "in.gif", save_all=True, append_images=[second, first], disposal=1)
    result = await run(wanted(tmp_path / "in.gif", tmp_path / "out.mp4"))
    assert ("transparency is dropped" in result.notes) == clear


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
