"""A publisher that has nothing of ours: FFmpeg's WHIP muxer with its own WebRTC stack.

    python -m tests.support.ffmpeg_publisher URL FPS OPTION=VALUE...

Numbered pictures as H264, a tone as Opus, until its input is closed. In a process of its own:
FFmpeg waits for a server that is gone without letting go of Python.
"""

import sys
import threading
import time
from fractions import Fraction

import av
import numpy as np

from tests.support.clips import number_frame, timed_frame

WIDTH, HEIGHT = 320, 180


def publish(url: str, fps: int, options: dict[str, str], stop: threading.Event) -> None:
    """Until `stop`; the option `profile` is that of H264."""
    profile = options.pop("profile", "baseline")
    with av.open(url, "w", format="whip", options=options) as out:
        video = out.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.gop_size = 2 * fps  # as OBS: a keyframe every two seconds
        video.options = {"profile": profile, "tune": "zerolatency"}
        audio = out.add_stream("libopus", rate=48_000)
        audio.layout, audio.bit_rate = "stereo", 64_000
        began, sent, sounded = time.monotonic(), 0, 0
        while not stop.wait(max(0, began + sent / fps - time.monotonic())):
            picture = timed_frame(number_frame(sent, WIDTH, HEIGHT), sent * 90_000 // fps)
            out.mux(video.encode(picture))
            sent += 1
            while sounded * 960 < sent * 48_000 // fps:
                out.mux(audio.encode(tone(sounded)))
                sounded += 1


def tone(n: int) -> av.AudioFrame:
    """20 ms of 440 Hz."""
    wave = np.sin((n * 960 + np.arange(960)) * 2 * np.pi * 440 / 48_000) * 12_000
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).astype(np.int16)[None], "s16", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, n * 960, Fraction(1, 48_000)
    return frame


def main() -> None:
    """Publish as the command line says."""
    stop = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    url, fps, *options = sys.argv[1:]
    publish(url, int(fps), dict(option.split("=", 1) for option in options), stop)


if __name__ == "__main__":
    main()
