"""Videos that flash and beep at every full second, to see whether image and audio keep step."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

FPS, RATE = 25, 48000
FLASH = 12  # number of the frame of each second that is bright
BEEP_S = 1 / FPS
PTS_HZ = 90_000


def write(
    path: Path,
    seconds: float = 4,
    *,
    start_s: float = 0,
    size: tuple[int, int] = (160, 96),
    codecs: tuple[str, str] = ("libx264", "aac"),
    container: dict[str, str] | None = None,
    sound_s: float | None = None,
    reorder: bool = True,
    keep: Callable[[int], bool] = lambda number: True,
) -> Path:
    """The first flash and beep are 0.48 s in; `keep` says which frames there are.

    `sound_s` is how long the sound is, when not as long as the picture; `reorder` with B-frames.
    """
    sound_s = seconds if sound_s is None else sound_s
    with av.open(str(path), "w", container_options=container or {}) as out:
        video = out.add_stream(codecs[0], FPS)
        assert isinstance(video, VideoStream)
        video.width, video.height = size
        video.pix_fmt = "yuvj420p" if codecs[0] == "mjpeg" else "yuv420p"
        if codecs[0] == "libx264":
            video.options = {"preset": "ultrafast", "bf": "2" if reorder else "0", "g": "12"}
        audio = out.add_stream(codecs[1], RATE)
        assert isinstance(audio, AudioStream)
        audio.layout, audio.bit_rate = "stereo", 128_000
        for number in range(round(max(seconds, sound_s) * FPS)):
            if number < round(seconds * FPS) and keep(number):
                luma = np.full((size[1], size[0]), 220 if number % FPS == FLASH else 40, np.uint8)
                frame = av.VideoFrame.from_ndarray(luma, "gray").reformat(format=video.pix_fmt)
                frame.pts = round((start_s + number / FPS) * PTS_HZ)
                frame.time_base = Fraction(1, PTS_HZ)
                out.mux(video.encode(frame))
            if number % FPS == 0 and number / FPS < sound_s:
                mux_sound(out, audio, number / FPS, min(1, sound_s - number / FPS), start_s)
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def mux_sound(
    out: av.container.OutputContainer,
    audio: AudioStream,
    begin_s: float,
    length_s: float,
    start_s: float,
) -> None:
    at = (np.arange(round(length_s * RATE)) + round(begin_s * RATE)) / RATE
    wave = np.where(abs(at % 1 - (FLASH + 0.5) / FPS) < BEEP_S / 2, np.sin(at * 6283), 0) / 2
    frame = av.AudioFrame.from_ndarray(
        np.repeat((wave * 32767).astype(np.int16), 2).reshape(1, -1), "s16", "stereo"
    )
    frame.sample_rate = RATE
    frame.pts, frame.time_base = round((start_s + begin_s) * RATE), Fraction(1, RATE)
    out.mux(audio.encode(frame))


def flashes(path: Path) -> list[float]:
    """When it flashes, in seconds from where the file's time starts."""
    with av.open(str(path)) as container:
        start = max(0, container.start_time or 0) / av.time_base
        shown = [
            (frame.time, float(frame.to_ndarray(format="gray").mean()))
            for frame in container.decode(video=0)
        ]
    return _onsets(((time or 0) - start, light > 120) for time, light in shown)


def beeps(path: Path) -> list[float]:
    """When it beeps, likewise."""
    with av.open(str(path)) as container:
        start = max(0, container.start_time or 0) / av.time_base
        loud: list[tuple[float, bool]] = []
        for frame in container.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            channels = 1 if frame.format.is_planar else frame.layout.nb_channels
            wave = wave[: frame.samples * channels : channels]
            wave = wave / (32768 if "s16" in frame.format.name else 1)
            for at in range(0, len(wave), 48):
                time = (frame.time or 0) + at / frame.sample_rate - start
                loud.append((time, bool(wave[at : at + 48].max() > 0.1)))
    return _onsets(loud)


def _onsets(states: Iterable[tuple[float, bool]], apart_s: float = 0.3) -> list[float]:
    onsets: list[float] = []
    on_at = float("-inf")
    for time, on in states:
        if on:
            if abs(time - on_at) > apart_s:
                onsets.append(time)
            on_at = time
    return onsets
