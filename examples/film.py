"""A video file with its sound, then the same ring for single frames.

python examples/film.py in.mp4 out.mp4
"""

import asyncio
import sys

import numpy as np

import streamer


async def main(source: str, target: str) -> None:
    async with streamer.Ring("mosaic") as ring:
        done = await streamer.stylize_video_async(
            source,
            target,
            "mosaic",
            ring=ring,
            overwrite=True,
            progress=lambda now: print(f"{now.frames} of {now.total}, {now.fps:.0f} fps"),
        )
        print(f"{done.target}: {done.frames} frames in {done.seconds:.1f} s")

        greys = (np.full((180, 320, 3), 8 * i, np.uint8) for i in range(30))
        async for frame in ring.stylize_frames(greys, "ember"):
            assert frame.shape == (180, 320, 3)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
