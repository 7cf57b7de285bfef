"""Videos through the real ring and pipeline, with workers in threads."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Discard

from streamer.files.job import TranscodeOptions, prepare
from streamer.files.transcode import Progress, Result, transcode
from streamer.frame import Image
from streamer.ring.ring import Ring
from tests.support.fakes import ThreadWorkers, leave

Stylize = Callable[[Image], Image]


@dataclass(frozen=True)
class Wanted:
    """One video to be stylized."""

    source: Path
    target: Path
    options: TranscodeOptions


def wanted(source: Path, target: Path, **options: object) -> Wanted:
    """A style that changes nothing about the image."""
    plain = TranscodeOptions(encoder="software", crf=12)
    return Wanted(source, target, replace(plain, **options))  # type: ignore[arg-type]


async def run(
    video: Wanted,
    stylize: Stylize = leave,
    workers: int = 2,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    job = prepare(video.source, video.target, video.options)
    async with Ring(lambda: ThreadWorkers(workers, stylize)) as ring:
        return await transcode(job, ring.open(live=False), report)


def darker(image: Image) -> Image:
    """A style that keeps numbers readable."""
    return Image(image.width, image.height, (image.data // 2 + 40).astype(np.uint8))


def uneven(image: Image) -> Image:
    """Takes a time that depends on the picture, so that workers overtake each other."""
    time.sleep(int(image.data[::97].sum()) % 7 / 1000)
    return darker(image)


@dataclass(frozen=True)
class Read:
    """A stream as it is read back. Times are exact seconds."""

    kind: str
    codec: str
    metadata: dict[str, str]
    disposition: int
    packets: tuple[tuple[Fraction | None, bytes], ...]

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.packets]

    @property
    def times(self) -> list[Fraction | None]:
        return [pts for pts, _ in self.packets]


def start_of(container: av.container.InputContainer) -> Fraction:
    """Where the time of a file starts: players call it 0."""
    about = Fraction(max(0, container.start_time or 0), av.time_base)
    exact = (s.start_time * s.time_base for s in container.streams if s.start_time and s.time_base)
    return min(exact, key=lambda start: abs(start - about), default=about) if about else about


def read_back(path: Path) -> list[Read]:
    """Every stream with all its packets; the chapter track of MP4 is not one."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.discard != Discard.all]
        start = start_of(container)
        packets: dict[int, list[tuple[Fraction | None, bytes]]] = {s.index: [] for s in streams}
        for packet in container.demux(streams):
            if packet.size:
                pts = None if packet.pts is None else packet.pts * packet.time_base - start
                packets[packet.stream_index].append((pts, bytes(packet)))
        return [
            Read(
                s.type,
                s.codec_context.codec.canonical_name if s.codec_context else str(s.name),
                {k: v for k, v in s.metadata.items() if k not in ("DURATION", "ENCODER")},
                int(s.disposition),
                tuple(packets[s.index]),
            )
            for s in streams
        ]


def times(path: Path) -> list[Fraction]:
    """When each frame is shown and, last, when the video ends; the file starts at 0."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base, start = stream.time_base or Fraction(1), start_of(container)
        frames = list(container.decode(stream))
        shown = [frame.pts * base - start for frame in frames if frame.pts is not None]
        return [*shown, shown[-1] + frames[-1].duration * base]


def looks(path: Path) -> tuple[object, ...]:
    """Tags that decide how a video is shown."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        context = stream.codec_context
        return (
            stream.sample_aspect_ratio,
            frame.rotation,
            context.color_range,
            context.colorspace,
            context.color_primaries,
            context.color_trc,
        )


def leftovers(folder: Path, *expected: Path) -> set[str]:
    """What lies in a folder, hidden or not, beside what should."""
    return {path.name for path in folder.iterdir()} - {path.name for path in expected}


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: writing more fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
