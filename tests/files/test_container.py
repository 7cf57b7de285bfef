"""Which files are opened, and what is said of those that are not."""

from pathlib import Path

import av
import pytest

from streamer.errors import MediaError
from streamer.files.container import open_video
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
