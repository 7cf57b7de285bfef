import io
import random
from pathlib import Path

import numpy as np
import pytest

from streamer.files.container import probe
from streamer.files.encode import SegmentWriter, choose
from tests.support.clips import number_frame
from tests.support.video_clips import Clip, write_clip

HEIGHT = 96


@pytest.mark.parametrize("width", [176, 192, 256])
def test_equal_frames_are_encoded_equally_whatever_memory_held(width: int, tmp_path: Path) -> None:
    """x264's fastest code does not do that by itself at every width."""
    video = probe(write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512), width=width, height=HEIGHT)))
    encoding = choose(video, "h264", "software", None)
    pictures = [number_frame(n, width, HEIGHT) for n in range(480, 510)]
    made, chance = set(), random.Random(1)
    for _ in range(8):
        sizes = [chance.randint(1000, 300_000) for _ in range(200)]
        litter = [np.full(size, chance.randint(0, 255), np.uint8) for size in sizes]
        del litter[::2]  # what the encoder gets to fill is neither fresh nor in one piece
        target = io.BytesIO()
        with SegmentWriter(target, encoding) as writer:
            for n, picture in enumerate(pictures):
                writer.write(picture, n * 512, 512)
        made.add(target.getvalue())
    assert len(made) == 1
