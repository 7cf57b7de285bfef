"""Audio that the target cannot hold as it is: channels stay where they belong."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tests.support.video_runs import run, wanted

RATE = 48_000
WAVE_51, QUICKTIME_51 = b"\0\x01\0\0", b"\0\x7a\0\x06"  # layout tags: a mask; L R Ls Rs C LFE


def _surround(path: Path, layout: str, loud: int) -> Path:
    """A film with a tone in one channel of its PCM."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("mjpeg", 25), out.add_stream("pcm_s16le", RATE)
        assert isinstance(video, VideoStream) and isinstance(audio, AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        audio.layout = layout
        wave = np.zeros((RATE, len(av.AudioLayout(layout).channels)), np.int16)
        wave[:, loud] = 20_000 * np.sin(np.arange(RATE) / 10)
        sound = av.AudioFrame.from_ndarray(wave.reshape(1, -1), "s16", layout)
        sound.sample_rate, sound.pts, sound.time_base = RATE, 0, Fraction(1, RATE)
        for number in range(25):
            frame = av.VideoFrame(64, 48, "yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(audio.encode(sound))
        out.mux([*video.encode(None), *audio.encode(None)])
    return path


def _loud(path: Path) -> list[str]:
    """The channels with a tone in them."""
    packed = av.AudioResampler("s16")  # PyAV 18.1 reads past the eighth plane of a frame
    with av.open(str(path)) as container:
        frame = packed.resample(list(container.decode(audio=0))[20])[0]
    channels = frame.layout.channels
    levels = np.abs(frame.to_ndarray().reshape(-1, len(channels)).astype(int)).max(axis=0)
    return [c.name for c, level in zip(channels, levels, strict=True) if level > 3000]


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
@pytest.mark.parametrize(("layout", "loud"), [("5.1", 2), ("5.1(side)", 1), ("6.1", 1), ("7.1", 7)])
async def test_surround_stays_where_it_is(
    tmp_path: Path, layout: str, loud: int, suffix: str
) -> None:
    """PyAV 18.1 frees the channels of QuickTime's 6.1 and 7.1 twice."""
    source = _surround(tmp_path / "in.mov", layout, loud)
    done = await run(wanted(source, tmp_path / f"out.{suffix}"))
    assert _loud(done.target) == [av.AudioLayout(layout).channels[loud].name]


async def test_channels_in_an_order_of_their_own_are_put_in_place(tmp_path: Path) -> None:
    source = _surround(tmp_path / "in.mov", "5.1", 2)
    data = source.read_bytes()
    at = data.rindex(b"chan") + 8  # after its name, version and flags
    assert data[at : at + 4] == WAVE_51
    source.write_bytes(data[:at] + QUICKTIME_51 + data[at + 4 :])
    done = await run(wanted(source, tmp_path / "out.mp4"))
    assert _loud(done.target) in (["BL"], ["SL"])
