"""A live stream through a ring on a Ray cluster, until its input ends.

    python -m tests.support.cluster_driver ADDRESS WORKERS

Each frame that comes back is a line `SEQ NODE`: its number, and the $NODE of the machine that
stylized it. The last line is the outcome, as JSON.
"""

import asyncio
import functools
import json
import os
import sys
from dataclasses import replace

import numpy as np

from streamer.engine.stylizer import Identity
from streamer.frame import Frame, Image, Size, Style
from streamer.pipeline import run as pipeline
from streamer.pipeline.stats import Stats
from streamer.ring.cluster import Cluster
from streamer.ring.ring import Ring
from tests.support.fakes import numbered


class Signed(Identity):
    """Stylizes every pixel with the number of the node it runs on."""

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        return Image(image.width, image.height, np.full_like(image.data, int(os.environ["NODE"])))


class Camera:
    """Thirty frames a second until somebody stops it; their `pts` tells them apart."""

    def __init__(self) -> None:
        self.stopped = False
        self._count = 0

    async def ready(self) -> bool:
        await asyncio.sleep(1 / 30)
        return not self.stopped

    def take(self) -> Frame:
        self._count += 1
        return replace(numbered(0), pts=3000 * self._count)


class Printer:
    async def send(self, frame: Frame) -> None:
        print(frame.pts // 3000, frame.image.data[0], flush=True)


async def main(address: str, workers: int) -> None:
    start = functools.partial(Cluster, Signed, Style(), workers=workers, address=address)
    camera, stats = Camera(), Stats()
    async with Ring(start, quorum=1) as ring:
        flow = ring.open(live=True)
        stream = asyncio.create_task(pipeline.run(camera, flow, Printer(), stats=stats))
        await asyncio.to_thread(sys.stdin.read)
        camera.stopped = True
        await stream
    print(json.dumps({"dropped": stats.dropped, "sent": stats.delivered.count}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
