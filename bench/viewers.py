"""What viewers cost: one publisher that only sends, as OBS does, and more and more who watch.

    python bench/viewers.py                      1, 5 and 20 viewers of 640x360
    python bench/viewers.py --seconds 5 --counts 1,50

A line for each count: CPU of the server and all it started, how long until the first picture,
and the time from the publisher's encoder to the viewers' decoders (all of them decode here, on
the same machine: more of them than cores make these times, not the server).
"""

import argparse
import asyncio
import contextlib
import statistics
import time

import httpx
import psutil

from bench.live import cpu_s, server
from tests.support.rtc_client import RtcClient

SDP = {"Content-Type": "application/sdp"}


async def connect(http: httpx.AsyncClient, path: str, client: RtcClient) -> str:
    """The Location of `client`'s session; waits while nobody publishes."""
    offer = await client.offer()
    for _ in range(40):
        answer = await http.post(path, content=offer, headers=SDP)
        if answer.status_code != 409:
            break
        await asyncio.sleep(0.1)
    answer.raise_for_status()
    await client.accept(answer.text)
    return answer.headers["Location"]


async def first_picture_s(http: httpx.AsyncClient, viewer: RtcClient) -> float:
    """Connect a viewer; seconds from its offer to its first picture."""
    asked_at = time.monotonic()
    await connect(http, "/whep/bench", viewer)
    while not viewer.arrivals:  # noqa: ASYNC110 - a bench may poll
        await asyncio.sleep(0.005)
    return viewer.arrivals[0].at - asked_at


async def measure(http: httpx.AsyncClient, process: psutil.Process, count: int, s: float) -> str:
    publisher = RtcClient(640, 360, fps=30, video="sendonly", channel=False)
    viewers = [RtcClient(video="recvonly", channel=False) for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for client in (publisher, *viewers):
            stack.push_async_callback(client.close)
        await connect(http, "/whip/bench", publisher)
        first_s = [await first_picture_s(http, viewer) for viewer in viewers]
        since, cpu = time.monotonic(), cpu_s(process)
        await asyncio.sleep(s)
        used = 100 * (cpu_s(process) - cpu) / (time.monotonic() - since)
        (encoder,) = (await http.get("/stats")).json()["viewers"]["bench"].values()
    sent = publisher.track.sent_at
    took = [
        1e3 * (a.at - sent[a.number])
        for viewer in viewers
        for a in viewer.arrivals
        if a.at > since and a.number in sent
    ]
    return (
        f"{count:3} viewers  CPU {used:4.0f} %  first picture {1e3 * max(first_s):4.0f} ms at most"
        f"  latency {statistics.median(took):4.0f} / {statistics.quantiles(took, n=20)[18]:4.0f} ms"
        f"  {encoder['frames']} frames encoded in {encoder['encode_ms']['p50']} ms each"
    )


async def main(counts: list[int], seconds: float) -> None:
    with server("--backend", "none", "--max-viewers", str(max(counts))) as (url, process):
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            for count in counts:
                print(await measure(http, process, count, seconds), flush=True)
                while (await http.get("/stats")).json()["streams"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", default="1,5,20")
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    asyncio.run(main([int(count) for count in asked.counts.split(",")], asked.seconds))
