"""photo → **animation** → container: animated WebP, PNG and AVIF, which FFmpeg does not demux."""

import contextlib
import functools
import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from streamer.errors import MediaError
from streamer.photo import animation, is_animated

SUFFIXES = frozenset({".webp", ".png", ".avif", ".avifs"})
MS = Fraction(1, 1000)
LOOKED_AT = 100  # frames of a GIF


def video_of(path: Path) -> io.BytesIO | None:
    """The animation as a video file, lossless; None when it is not one. Raises MediaError."""
    if path.suffix.lower() not in SUFFIXES or not is_animated(path):
        return None
    status = path.stat()
    return io.BytesIO(_encoded(path, (status.st_mtime_ns, status.st_size)))


def is_opaque(path: Path) -> bool:
    """Whether nothing shines through a GIF, by its first frames; False for other files.

    FFmpeg decodes all of them with an alpha channel.
    """
    if path.suffix.lower() != ".gif":
        return False
    with contextlib.suppress(MediaError):
        frames = itertools.islice(animation(path), LOOKED_AT)
        return all(pixels[..., 3].min() == 255 for pixels, _ in frames)
    return False


@functools.lru_cache(maxsize=1)  # a video is opened several times
def _encoded(path: Path, _stamp: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream: VideoStream | None = None
        at_ms = 0
        for pixels, shown_ms in animation(path):
            if stream is None:
                stream = container.add_stream("ffv1", 25)
                stream.width, stream.height = pixels.shape[1], pixels.shape[0]
                opaque = bool(pixels[..., 3].min() == 255)
                stream.pix_fmt = "bgr0" if opaque else "bgra"
                stream.time_base = stream.codec_context.time_base = MS
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base, frame.duration = at_ms, MS, shown_ms
            for packet in stream.encode(frame):
                packet.duration = shown_ms
                container.mux(packet)
            at_ms += shown_ms
        if stream is not None:
            container.mux(stream.encode(None))
    return out.getvalue()
