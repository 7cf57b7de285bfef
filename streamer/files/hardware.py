"""job → **hardware** → container, encode: the hardware's codecs, where they really work."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av

from streamer.errors import MediaError
from streamer.files.container import decoded_frames, main_video, open_video, readable

# What users call them, after their encoders, and FFmpeg's device that decodes.
DEVICES: Final = {
    "nvenc": "cuda",
    "vaapi": "vaapi",
    "qsv": "qsv",
    "amf": "d3d11va",
    "videotoolbox": "videotoolbox",
}


def kinds(hwaccel: str) -> tuple[str, ...]:
    """The kinds of hardware to try for `none`, `auto` or either name of one of DEVICES."""
    return tuple(kind for kind, device in DEVICES.items() if hwaccel in ("auto", kind, device))


def decoding_device(path: Path, hwaccel: str) -> str | None:
    """The first device that decodes the first frame of this video; None: software has to."""
    return next((d for d in map(DEVICES.get, kinds(hwaccel)) if d and _decodes(path, d)), None)


def notes(hwaccel: str, device: str | None, encoder: str) -> Iterator[str]:
    """What was asked of the hardware and is done in software."""
    asked = "hardware" if hwaccel == "auto" else hwaccel
    if hwaccel != "none" and device is None:
        yield f"no {asked} decodes this video here: it is decoded in software"
    if hwaccel != "none" and encoder.startswith("lib"):
        yield f"no {asked} encodes it here: {encoder} does, in software"


def _decodes(path: Path, device: str) -> bool:
    try:
        with open_video(path, device, fall_back=False) as container:
            stream = main_video(container, path)
            frames = decoded_frames(readable(container, [stream]), stream)
            works = next((frame for frame in frames if frame is not None), None) is not None
            return works and stream.codec_context.is_hwaccel
    except (MediaError, av.FFmpegError, RuntimeError):  # PyAV knows no decoder for the device
        return False
