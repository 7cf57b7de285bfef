"""What one trip through the ring costs, and what it adds up to.

    python bench/ring.py            all tables
    python bench/ring.py --quick    a tenth of the rounds

Trip: one identity frame there and back, one at a time. Throughput: frames per second through
the ring against a bare loop over the same stylizer in the same run. Scale: a stylizer that only
sleeps goes past this machine's cores.
"""

import argparse
import asyncio
import functools
import statistics
import time
from fractions import Fraction

import numpy as np

from streamer.engine.stylizer import Identity
from streamer.frame import Frame, Image, Size, Style, i420_size
from streamer.ring.cluster import Cluster
from streamer.ring.flow import Flow
from streamer.ring.ring import Ring


class Sleeper(Identity):
    """Takes `seconds` for an image and leaves it as it is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        if self.seconds:
            time.sleep(self.seconds)
        return image


def frame(width: int, height: int) -> Frame:
    rng = np.random.default_rng(1)
    data = rng.integers(16, 235, i420_size(width, height), np.uint8)
    return Frame(Image(width, height, data), 0, Fraction(1, 90000), time.monotonic())


def ring(seconds: float, workers: int, depth: int = 1) -> Ring:
    load = functools.partial(Sleeper, seconds)
    return Ring(functools.partial(Cluster, load, Style(), workers=workers), depth=depth)


async def trips(flow: Flow, one: Frame, rounds: int) -> list[float]:
    times = []
    for seq in range(rounds):
        began = time.perf_counter()
        await flow.submit(lambda: one)
        await flow.result(None)
        times.append(1e3 * (time.perf_counter() - began))
        flow.advance(seq + 1)
        await asyncio.sleep(0.002)
    return times[rounds // 10 :]


async def flood(flow: Flow, one: Frame, rounds: int, warm: int) -> float:
    """Frames per second when the next is always waiting, after `warm` frames."""

    async def submit() -> None:
        for _ in range(rounds):
            await flow.submit(lambda: one)

    task = asyncio.create_task(submit())
    ends = []
    for count in range(1, rounds + 1):
        await flow.result(None)
        flow.advance(count)
        ends.append(time.perf_counter())
    await task
    return (rounds - warm) / (ends[-1] - ends[warm - 1])


def quantiles(values: list[float]) -> str:
    cut = statistics.quantiles(values, n=20)
    return f"p50 {cut[9]:6.2f}  p95 {cut[18]:6.2f}"


async def main(quick: bool) -> None:
    scale = 10 if quick else 1
    print("trip of one identity frame, ms")
    async with ring(0, workers=1) as one_worker:
        for size in ((320, 180), (640, 360), (1280, 720), (1920, 1080)):
            flow = one_worker.open(live=False)
            print(
                f"  {size[0]}x{size[1]:<5}",
                quantiles(await trips(flow, frame(*size), 1000 // scale)),
            )
    print("throughput at 640x360, fps (and share of the stylizers' own)")
    for ms in (5, 10, 20, 50):
        for depth in (1, 2):
            async with ring(ms / 1e3, workers=2, depth=depth) as two:
                fps = await flood(
                    two.open(live=False), frame(640, 360), 6000 // ms // scale + 22, 12
                )
            print(f"  2 workers of {ms} ms, depth {depth}: {fps:7.1f}  {fps * ms / 2e3:.3f}")
    print("scale: workers that sleep 50 ms, fps (and share of the ideal)")
    for workers in (1, 2, 4, 8, 16, 32):
        async with ring(0.05, workers=workers) as many:
            flow = many.open(live=False, window=4 * workers)
            fps = await flood(flow, frame(640, 360), 100 * workers // scale + workers, workers)
        print(f"  {workers:2} workers: {fps:7.1f}  {fps * 0.05 / workers:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    asyncio.run(main(parser.parse_args().quick))
