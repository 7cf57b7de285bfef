"""doctor, bench → **measure** → ring: frames per second of real workers."""

import asyncio
import statistics
import time
from dataclasses import dataclass

import numpy as np

from streamer.frame import VIDEO_TIME_BASE, Frame, Image, Style, i420_size
from streamer.ring.flow import Flow
from streamer.ring.ring import Ring
from streamer.webrtc.codecs import Codec, Decoder, Encoder
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.jitter_buffer import EncodedFrame

SIZE = (1280, 720)  # of a camera's frames
HEIGHTS_PX = (180, 270, 360, 540, 720)


@dataclass(frozen=True, slots=True)
class Speed:
    """Frames per second of a whole ring, and the median seconds of one frame in it."""

    fps: float
    service_s: float


def sample_image(width: int, height: int, moved_px: int = 0) -> Image:
    """Edges and colours, shifted by `moved_px`."""
    rows, columns = np.mgrid[0:height, moved_px : moved_px + width].astype(np.float32)
    luma = 128 + 60 * np.sin(columns / 17) + 40 * np.sin((rows + columns) / 31)
    image = Image(width, height, np.full(i420_size(width, height), 128, np.uint8))
    y, u, v = image.planes
    y[:] = luma
    u[:] = np.linspace(90, 160, u.shape[1])
    v[:] = np.linspace(160, 90, v.shape[0])[:, None]
    return image


async def speed(
    ring: Ring,
    style: Style,
    height_px: int,
    *,
    seconds: float = 1.0,
    size: tuple[int, int] = SIZE,
) -> Speed:
    """Have `ring` stylize images of `size` (width, height) at `height_px` for `seconds` or longer.

    The first frame of each worker does not count; at least two more are measured. Raises
    RingError, and StylizeError for a style that fails.
    """
    frame = Frame(sample_image(*size), 0, VIDEO_TIME_BASE, time.monotonic(), style, height_px)
    flow = ring.open(live=False, window=2 * len(ring))
    enough = asyncio.Event()
    feeding = asyncio.create_task(_feed(flow, frame, enough))
    try:
        return await _count(flow, len(ring) + 1, seconds, enough)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(flow: Flow, frame: Frame, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await flow.submit(lambda: frame)
    flow.finish()


async def _count(flow: Flow, warm: int, seconds: float, enough: asyncio.Event) -> Speed:
    ends: list[float] = []
    services: list[float] = []
    while (done := await flow.result(None)) is not None:
        services.append(done.inference_s + done.transfer_s)
        ends.append(time.perf_counter())
        flow.advance(len(ends))
        if len(ends) >= warm + 2 and ends[-1] - ends[warm - 1] >= seconds:
            enough.set()
    counted = ends[warm - 1 :]
    return Speed(
        (len(counted) - 1) / (counted[-1] - counted[0]), statistics.median(services[warm:])
    )


def coding_s(codec: Codec, width: int, height: int, rounds: int = 8) -> float:
    """Median CPU seconds to encode and decode one frame. Raises av.FFmpegError."""
    encoder, decoder = Encoder(codec, Bitrate()), Decoder(codec, max_pixels=2**26)
    times = []
    for number in range(rounds):
        image = sample_image(width, height, moved_px=5 * number)
        frame = Frame(image, number * 3000, VIDEO_TIME_BASE, 0.0)
        began = time.thread_time()
        packets = encoder.encode(frame, Bitrate().start, keyframe=number == 0)
        for packet in packets:
            decoder.decode(EncodedFrame(bytes(packet), frame.pts, 0.0, packet.is_keyframe))
        times.append(time.thread_time() - began)
    return statistics.median(times)


def live_fps(stylize_fps: float, coding_each_s: float, cores: int, on_gpu: bool) -> float:
    """What is left of `stylize_fps` when the same cores also decode and encode each frame."""
    if on_gpu:
        return min(stylize_fps, cores / coding_each_s)
    return cores / (cores / stylize_fps + coding_each_s)
