"""Segments on disk: what counts has reached the disk before it counts."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.errors import MediaError
from streamer.files.checkpoint import Checkpoint, Segments
from streamer.files.container import probe
from streamer.files.encode import choose
from streamer.pipeline.smoother import Smoother
from tests.support.video_clips import Clip, write_clip


def test_a_full_disk_at_the_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_text(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(MediaError, match="No space left on device"):
        Checkpoint(tmp_path / "out.mp4").begin({})
    assert list(tmp_path.iterdir()) == []


def test_a_segment_is_on_disk_before_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/dev/fd/{descriptor}").resolve().suffix)
        real(descriptor)

    video = probe(write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512), rate=Fraction(25))))
    checkpoint = Checkpoint(tmp_path / "out.mp4")
    checkpoint.begin({})
    segments = Segments(checkpoint, choose(video, "h264", "software", None), 0, Smoother(), 0)
    for number in range(2):
        segments.write(Clip().image(number), number * 512, 512)
    assert checkpoint.segments() == []
    monkeypatch.setattr(os, "fsync", fsync)
    segments.close()
    assert synced == [".nut", ".part"]
    assert [segment.pts for segment in checkpoint.segments()] == [(0, 512)]
    checkpoint.clear()
