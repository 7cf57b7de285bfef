"""doctor, bench → **measure** → ring: frames per second of real workers.

Of the workers alone, of a whole video file, and of a live stream: each by what the real command
does, as the parts take their time from each other.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import psutil

from streamer.avframe import to_frame
from streamer.files.job import TranscodeOptions, prepare
from streamer.files.transcode import Progress, transcode
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, Frame, Image, Style, i420_size
from streamer.look import LIVE_SMOOTH
from streamer.pipeline import run as pipeline
from streamer.pipeline.denoiser import Denoiser
from streamer.pipeline.intake import Intake
from streamer.pipeline.stream_statistics import StreamStatistics
from streamer.pipeline.style_control import StyleControl
from streamer.ring.flow import Flow
from streamer.ring.ring import Ring
from streamer.styles.model import names_of
from streamer.webrtc.codecs import Codec, Decoder, Encoder
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.jitter_buffer import EncodedFrame

SIZE = (1280, 720)  # of a camera's frames, and a video's
FPS = 30
LOOP = 60  # frames, over and over: to one side and back, for a camera does not jump
CAMERA_BPS, SHOWN_BPS = 4_000_000, 12_000_000  # about what Chromium sends, and gets on one machine
LOAD_S = 1.0
WARM_S = 1.0  # until a live stream is steady
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
    enough, scene = asyncio.Event(), StreamStatistics()
    feeding = asyncio.create_task(_feed(flow, frame, scene, enough))
    try:
        return await _count(flow, scene, len(ring) + 1, seconds, enough)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(flow: Flow, frame: Frame, scene: StreamStatistics, enough: asyncio.Event) -> None:
    """Frames of one scene, whose statistics are measured as often as in a stream."""
    luma, styles = frame.image.planes[0], names_of(frame.style.blend)

    def take() -> Frame:
        orders = scene.orders(luma, styles, time.monotonic(), frame.height_px)
        return replace(frame, orders=orders)

    while not enough.is_set():
        await flow.submit(take)
    flow.finish()


async def _count(
    flow: Flow, scene: StreamStatistics, warm: int, seconds: float, enough: asyncio.Event
) -> Speed:
    ends: list[float] = []
    services: list[float] = []
    while (done := await flow.result(None)) is not None:
        services.append(done.inference_s + done.transfer_s)
        if done.frame is not None and done.frame.orders is not None and done.frame.measured:
            scene.take(done.frame.orders.scene, done.frame.measured, time.monotonic())
        ends.append(time.perf_counter())
        flow.advance(len(ends))
        if len(ends) >= warm + 2 and ends[-1] - ends[warm - 1] >= seconds:
            enough.set()
    counted = ends[warm - 1 :]
    return Speed(
        (len(counted) - 1) / (counted[-1] - counted[0]), statistics.median(services[warm:])
    )


async def file_fps(ring: Ring, style: Style, height_px: int, *, seconds: float = 3.0) -> float:
    """What `streamer file` does with a video of SIZE: decoded, stylized and encoded.

    Raises StreamerError.
    """
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as home:
        source, target = Path(home) / "in.mp4", Path(home) / "out.mp4"
        frames = FPS  # a first run of one second says how many it takes
        await asyncio.to_thread(_write, source, frames)
        options = TranscodeOptions(style, height_px=height_px, overwrite=True)
        ignore: Callable[[Progress], None] = lambda progress: None  # noqa: E731
        for _ in range(2):
            job = await asyncio.to_thread(prepare, source, target, options)
            done = await transcode(job, ring.open(live=False), ignore)
            fps = done.frames / done.seconds
            if done.seconds >= seconds:
                break
            await asyncio.to_thread(_write, source, max(frames, round(fps * seconds)))
    return fps


def _filmed(number: int) -> Image:
    at = number % LOOP
    return sample_image(*SIZE, moved_px=5 * min(at, LOOP - at))


def _write(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"preset": "ultrafast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = to_frame(_filmed(number))
            image.pts = number
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))


async def live_fps(
    ring: Ring,
    style: Style,
    height_px: int,
    *,
    fps: float = FPS,
    seconds: float = 3.0,
    coded: Sequence[EncodedFrame] = (),
) -> float:
    """What is shown of a live stream of SIZE at `fps`: decoded, stylized, in order, encoded.

    All that `streamer serve` does by default, but for the network. `coded` is what `encoded`
    gives. Raises StreamerError.
    """
    await speed(ring, style, height_px, seconds=0.0)  # every worker compiles what it needs
    live = replace(style, smooth=LIVE_SMOOTH)
    control = StyleControl(lambda _: style.blend, live, height_px, fps, workers=len(ring))
    camera, sink = Intake[Frame](), _LiveSink()
    coded = coded or await asyncio.to_thread(encoded)  # not while it is measured
    flow = ring.open(live=True)
    began_at = time.monotonic()
    try:
        with pipeline.ungrouped():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_film(camera, coded, fps, WARM_S + seconds))
                await pipeline.run(
                    camera,
                    flow,
                    sink,
                    waits=control.waits,
                    apply_style=lambda frame: control.apply(frame, time.monotonic()),
                    on_stylized=control.on_stylized,
                )
    finally:
        flow.close()
    measured_from = began_at + WARM_S
    shown = sum(0 <= at - measured_from < seconds for at in sink.times)
    return min(fps, shown / seconds)


async def _film(
    camera: Intake[Frame], coded: Sequence[EncodedFrame], fps: float, seconds: float
) -> None:
    """Decode at the pace of a camera; the newest frame wins."""
    decoder, denoise = Decoder("H264", max_pixels=2**26), Denoiser()
    began_at = time.monotonic()
    try:
        for number in range(round(fps * seconds)):
            await asyncio.sleep(began_at + number / fps - time.monotonic())
            packet = coded[number % len(coded)]
            pts = round(number * VIDEO_CLOCK_HZ / fps)
            for frame in await asyncio.to_thread(decoder.decode, packet):
                image = await asyncio.to_thread(denoise, frame.image)
                now = time.monotonic()
                camera.put(replace(frame, image=image, pts=pts, captured_at=now))
    finally:
        camera.close()


def encoded() -> list[EncodedFrame]:
    """A camera's video, to be decoded over and over. Raises av.FFmpegError."""
    encoder, found = Encoder("H264", Bitrate()), []
    for number in range(LOOP):
        frame = Frame(_filmed(number), number * 3000, VIDEO_TIME_BASE, 0.0)
        for packet in encoder.encode(frame, CAMERA_BPS, keyframe=number == 0):
            found.append(EncodedFrame(bytes(packet), frame.pts, 0.0, packet.is_keyframe))
    return found


class _LiveSink:
    """Encodes in a thread, as the sender does."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._encoder = Encoder("H264", Bitrate())

    async def send(self, frame: Frame) -> None:
        await asyncio.to_thread(self._encoder.encode, frame, SHOWN_BPS, False)
        self.times.append(time.monotonic())


def coding_s(codec: Codec, width: int, height: int, rounds: int = 8) -> float:
    """Median CPU seconds to encode and decode one frame. Raises av.FFmpegError."""
    encoder, decoder = Encoder(codec, Bitrate()), Decoder(codec, max_pixels=2**26)
    times = []
    for number in range(rounds):
        image = sample_image(width, height, moved_px=5 * number)
        frame = Frame(image, number * 3000, VIDEO_TIME_BASE, 0.0)
        began = time.thread_time()
        packets = encoder.encode(frame, CAMERA_BPS, keyframe=number == 0)
        for packet in packets:
            decoder.decode(EncodedFrame(bytes(packet), frame.pts, 0.0, packet.is_keyframe))
        times.append(time.thread_time() - began)
    return statistics.median(times)


def others_load() -> float:
    """The share of the processor, 0..1, that this machine's programs take while we wait."""
    return float(psutil.cpu_percent(interval=LOAD_S)) / 100
