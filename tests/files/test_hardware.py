"""The hardware's codecs: asked for, tried, and done without where they do not work."""

from dataclasses import replace
from pathlib import Path

import av
import pytest
from av.codec.hwaccel import hwdevices_available

from streamer.errors import MediaError
from streamer.files import encode, hardware
from streamer.files.container import open_video
from streamer.files.decode import Decoder
from streamer.files.encode import Encoding, SegmentWriter
from streamer.files.job import TranscodeOptions, prepare
from streamer.frame import Image
from tests.support.video_clips import Clip, numbers, write_clip
from tests.support.video_runs import run, wanted


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mp4", Clip(rotation=90))


async def test_without_hardware_software_does_it_and_says_so(source: Path, tmp_path: Path) -> None:
    for number, kind in enumerate(("vaapi", "videotoolbox")):  # no Linux machine has both
        target = tmp_path / f"{number}.mp4"
        if hardware.decoding_device(source, kind):
            continue
        done = await run(wanted(source, target, encoder="auto", hwaccel=kind))
        assert f"no {kind} decodes this video here: it is decoded in software" in done.notes
        assert any(f"no {kind} encodes it here" in note for note in done.notes)
        assert numbers(target) == list(range(30))


def test_auto_takes_what_works_and_none_takes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def decodes(path: Path, device: str) -> bool:
        tried.append(device)
        return device == "qsv"

    monkeypatch.setattr(hardware, "_decodes", decodes)
    target = tmp_path / "out.mp4"
    plain = prepare(source, target, TranscodeOptions(encoder="software"))
    assert plain.device is None and not tried and plain.notes == ()
    for name in ("nvenc", "cuda"):
        assert prepare(source, target, TranscodeOptions(hwaccel=name)).device is None
        assert tried.pop() == "cuda" and not tried
    job = prepare(source, target, TranscodeOptions(hwaccel="auto"))
    assert job.device == "qsv" and tried == ["cuda", "vaapi", "qsv"]
    assert not any("decodes this video" in note for note in job.notes)


def test_a_device_that_cannot_decode_it_leaves_it_to_software(source: Path) -> None:
    """Decoders that FFmpeg was built without are passed over, and frames are the same."""
    missing = next(one for one in hardware.DEVICES.values() if one not in hwdevices_available())
    video = prepare(source, source.with_name("out.mp4"), TranscodeOptions()).video
    trim = prepare(source, source.with_name("out.mp4"), TranscodeOptions()).plan.trim
    frames = [list(Decoder(video, trim, device=device)) for device in (None, missing)]
    assert len(frames[0]) == 30
    assert [f.image.data.tobytes() for f in frames[0]] == [
        f.image.data.tobytes() for f in frames[1]
    ]
    assert not hardware._decodes(source, missing)


def test_a_device_that_does_not_start_is_one_line(source: Path) -> None:
    if hardware.decoding_device(source, "nvenc"):
        pytest.skip("this machine decodes with CUDA")
    with pytest.raises(MediaError, match=r"in\.mp4: "):
        open_video(source, "cuda", fall_back=False)


class FailsOnItsFirstFrame(SegmentWriter):
    """Stands in for a driver that opens an encoder and cannot use it."""

    def __init__(self, target: Path, encoding: Encoding) -> None:
        self._works = encoding.encoder.startswith("lib")
        opens = encoding if self._works else replace(encoding, encoder="libx264", options=())
        super().__init__(target, opens)

    def write(self, image: Image, pts: int, duration: int) -> None:
        if not self._works:
            raise MediaError("no capable devices found")
        super().write(image, pts, duration)


async def test_an_encoder_that_opens_and_fails_is_found_before_the_first_frame(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "SegmentWriter", FailsOnItsFirstFrame)
    monkeypatch.setattr(av, "codecs_available", av.codecs_available | {"h264_nvenc"})
    target = tmp_path / "out.mp4"
    job = prepare(source, target, TranscodeOptions(hwaccel="nvenc"))
    assert job.plan.encoding.encoder == "libx264"
    assert "no nvenc encodes it here: libx264 does, in software" in job.notes
    with pytest.raises(MediaError, match=r"encoder of nvenc does not work here for \d+x\d+: no"):
        prepare(source, target, TranscodeOptions(encoder="nvenc"))
