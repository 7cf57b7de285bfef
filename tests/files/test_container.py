"""Which files are opened, and what is said of those that are not."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamer.errors import MediaError
from streamer.files.container import open_video, probe
from streamer.files.decode import Decoder
from streamer.files.trim import TimeRange
from tests.support.flash_beep import flashes, write
from tests.support.video_clips import Clip, write_clip
from tests.support.video_runs import run, wanted


async def test_bare_pictures_one_after_the_other_are_a_film(tmp_path: Path) -> None:
    plain, source = tmp_path / "a.mkv", tmp_path / "in.mjpeg"
    write(plain, 3, codecs=("mjpeg", "pcm_s16le"))
    with av.open(str(plain)) as container:
        source.write_bytes(b"".join(bytes(packet) for packet in container.demux(video=0)))
    assert (await run(wanted(source, tmp_path / "out.mkv"))).frames == 75
    assert len(flashes(tmp_path / "out.mkv")) == 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_recording_without_its_end_is_called_so(suffix: str, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / f"in{suffix}", Clip())
    data = whole.read_bytes()
    whole.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(MediaError, match=r"in\.m..: its index \(moov\) is missing"):
        open_video(whole)


def test_files_that_name_others_are_not_read(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", Clip())
    joined = tmp_path / "in.ffconcat"
    joined.write_text("ffconcat version 1.0\nfile in.mp4\n")
    with pytest.raises(MediaError, match="videos of this format are not read"):
        open_video(joined)


def test_text_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_text("ftyp, it says")
    with pytest.raises(MediaError, match="not a video file"):
        open_video(tmp_path / "in.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
async def test_raw_dv_has_the_rate_it_is_shown_at(suffix: str, tmp_path: Path) -> None:
    """FFmpeg calls its ticks of 1/60000 s its average rate."""
    codecs = ("dvvideo", "pcm_s16le")
    source = write(tmp_path / "in.dv", 2, size=(720, 576), codecs=codecs)
    video = probe(source)
    assert video.rate == 25 and video.frames == 50
    assert len(flashes((await run(wanted(source, tmp_path / f"out{suffix}"))).target)) == 2


def test_a_clock_that_starts_late_or_jumps_makes_no_video_longer(tmp_path: Path) -> None:
    late = write(tmp_path / "late.mkv", 2, start_s=100)
    assert probe(late).frames == pytest.approx(50, abs=2)
    parts = [write(tmp_path / f"{n}.ts", 2, start_s=s) for n, s in enumerate((5000, 3))]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert probe(joined).frames == 0, "nobody knows"


async def test_a_part_has_the_shape_of_the_whole(tmp_path: Path) -> None:
    """What the first frame after a seek has is not what the film has."""
    wide = Clip(aspect=Fraction(4, 3), gop=5)
    parts = [write_clip(tmp_path / f"{n}.ts", c) for n, c in enumerate((Clip(gop=5), wide))]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    video = probe(source)
    whole = [one.image for one in Decoder(video, TimeRange())]
    part = [one.image for one in Decoder(video, TimeRange(start_s=Fraction(3, 2)))]
    assert 10 < len(part) < len(whole)
    assert all((a.data == b.data).all() for a, b in zip(part[::-1], whole[::-1], strict=False))
