"""Segments on disk: what counts has reached the disk before it counts."""

import errno
import itertools
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamer.errors import MediaError, StylizeError, UsageError
from streamer.files.checkpoint import Checkpoint, Segments
from streamer.files.container import probe
from streamer.files.encode import choose
from streamer.frame import Image
from streamer.pipeline.smoother import Smoother
from tests.support.video_clips import Clip, numbers, write_clip
from tests.support.video_runs import run, wanted


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
    assert synced == [".nut", ".part", ".part", ".part"]
    assert [segment.pts for segment in checkpoint.segments()] == [(0, 512)]
    checkpoint.clear()


def fails_after(frames: int) -> Callable[[Image], Image]:
    done = itertools.count()

    def stylize(image: Image) -> Image:
        if next(done) >= frames:
            raise UsageError("enough")
        return image

    return stylize


async def test_links_that_were_planted_are_replaced_and_not_followed(tmp_path: Path) -> None:
    """A segment that --resume is about to write, and the whole file."""
    source = write_clip(tmp_path / "in.mp4", Clip(pts=range(0, 300 * 512, 512)))
    target, victim = tmp_path / "out.mp4", tmp_path / "victim"
    victim.write_text("mine")
    with pytest.raises(StylizeError):
        await run(wanted(source, target), stylize=fails_after(295))
    folder = Checkpoint(target).folder
    assert (folder / "000000.json").exists() and folder.stat().st_mode & 0o777 == 0o700
    for name in ("000001.nut", "000001.yuv", "000001.json", "whole.mp4"):
        (folder / name).symlink_to(victim)
    await run(wanted(source, target, resume=True))
    assert victim.read_text() == "mine"
    assert numbers(target) == list(range(300)) and not target.is_symlink()


@pytest.mark.parametrize("kind", ["link", "others may write", "file"])
async def test_what_others_could_have_written_is_not_resumed(tmp_path: Path, kind: str) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512)))
    job = wanted(source, tmp_path / "out.mp4", resume=True)
    folder, theirs = Checkpoint(job.target).folder, tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "job.json").write_text("{}")
    if kind == "link":
        folder.symlink_to(theirs)
    elif kind == "file":
        folder.write_text("{}")
    else:
        theirs.rename(folder)
        folder.chmod(0o777)
    with pytest.raises(MediaError, match=r"not a folder of yours alone.*remove it"):
        await run(job)
    assert not job.target.exists()


async def test_names_that_look_like_addresses_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative ones, too: for FFmpeg `concat:a` is no file."""
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "http:x.mp4", "-i.mp4", "a%03d.mp4", "\\x.mp4"):
        source = Path(name)
        made = write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512)))
        made.rename(tmp_path / name)
        await run(wanted(source, Path(f"out.{name}")))
        assert numbers((tmp_path / f"out.{name}").resolve()) == [0, 1]


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["pts", "last_duration", "version"]), inner),
    ),
)


@given(record=st.one_of(values.map(json.dumps), st.text(max_size=30)))
@example(record='{"pts": 3, "last_duration": 1}')
@example(record='{"pts": ["a"], "last_duration": 1}')
@example(record='{"pts": [], "last_duration": 1}')
@example(record='{"pts": [2, 1], "last_duration": null}')
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_that_make_no_sense_are_no_segments(tmp_path: Path, record: str) -> None:
    checkpoint = Checkpoint(tmp_path / "out.mp4")
    checkpoint.begin({})
    checkpoint.path(0).with_suffix(".json").write_text(record, "utf-8", "surrogatepass")
    (tmp_path / ".out.mp4.streamer" / "job.json").write_text(record, "utf-8", "surrogatepass")
    for segment in checkpoint.segments():
        assert segment.pts and list(segment.pts) == sorted(set(segment.pts))
        assert isinstance(segment.last_duration, int)
    assert checkpoint.job() is None or isinstance(checkpoint.job(), dict)
