"""An hour of coming and going: does a server keep its memory, threads and descriptors?

    python -m bench.soak                         an hour
    python -m bench.soak --minutes 5 --pace 2    twice as much coming and going

One publisher and one viewer stay all the time. Beside them others come, look for a moment, change
the style, send a photo, and go, some without a word; a worker is killed now and then. Prints a
line a minute, and at the end the first quarter after the start against the last one.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import random
import statistics
import time
from dataclasses import dataclass

import httpx
import psutil
from PIL import Image

from bench.live import server
from bench.viewers import connect
from tests.support.rtc_client import RtcClient

CHURN_S = 4.0  # of one stranger, at pace 1
KILL_S = 120.0  # between the deaths of workers
STYLES = ("none", "starry", "frost", "copper:0.5,ember:0.5")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server and its workers hold at a moment."""

    at: float
    server_mb: float
    workers_mb: float
    threads: int
    descriptors: int


def workers(process: psutil.Process) -> list[psutil.Process]:
    return [one for one in process.children(recursive=True) if one.name().startswith("ray::Work")]


def sample(process: psutil.Process) -> Sample:
    used = 0
    for one in workers(process):
        with contextlib.suppress(psutil.Error):
            used += one.memory_info().rss
    rss = process.memory_info().rss
    return Sample(time.monotonic(), rss / 1e6, used / 1e6, process.num_threads(), process.num_fds())


def photo(rng: random.Random) -> bytes:
    """Of another size each time."""
    file = io.BytesIO()
    size = (rng.randrange(64, 640), rng.randrange(64, 480))
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, "JPEG")
    return file.getvalue()


async def stranger(http: httpx.AsyncClient, number: int, counts: dict[str, int]) -> None:
    """Publish, be watched, change the style, send a photo, and leave."""
    rng = random.Random(number)
    name = f"guest{number % 5}"
    publisher = RtcClient(rng.choice((320, 256)), 180, fps=10, audio="sendonly")
    viewer = RtcClient(video="recvonly", channel=False)
    try:
        here = await connect(http, f"/whip/{name}", publisher)
        await asyncio.sleep(1)
        await connect(http, f"/whep/{name}", viewer)
        style = rng.choice(STYLES)
        asked = {"style": style, "height_px": rng.choice((90, 120, 180))}
        await http.patch(f"/streams/{name}", json=asked)
        await http.post(f"/stylize/{style}", files={"image": ("a.jpg", photo(rng))})
        await http.get(f"/streams/{name}.jpg")
        await asyncio.sleep(1)
        if rng.random() < 0.7:  # the others crash
            await http.delete(here)
        counts["pictures"] += len(publisher.arrivals) + len(viewer.arrivals)
        counts["guests"] += 1
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:60]
        if isinstance(error, httpx.HTTPError) and error._request is not None:
            what += f" {error.request.method} {error.request.url.path}"
        counts[what] = counts.get(what, 0) + 1
    finally:
        await viewer.close()
        await publisher.close()


async def stay(http: httpx.AsyncClient, stack: contextlib.AsyncExitStack) -> list[RtcClient]:
    """A publisher and its viewer."""
    clients = [RtcClient(320, 180, fps=15), RtcClient(video="recvonly", channel=False)]
    for client, path in zip(clients, ("/whip/stays", "/whep/stays"), strict=True):
        stack.push_async_callback(client.close)
        await connect(http, path, client)
        await asyncio.sleep(1)
    return clients


async def soak(url: str, process: psutil.Process, minutes: float, pace: float) -> list[Sample]:
    samples: list[Sample] = []
    counts = {"guests": 0, "pictures": 0, "killed": 0}
    began = killed = told = time.monotonic()
    async with (
        contextlib.AsyncExitStack() as stack,
        httpx.AsyncClient(base_url=url, timeout=60) as http,
        asyncio.TaskGroup() as tasks,
    ):
        clients = await stay(http, stack)
        guests: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            if (now := time.monotonic()) > began + 60 * minutes:
                break
            if len(guests) < 3:
                guest = tasks.create_task(stranger(http, number, counts))
                guests.add(guest)
                guest.add_done_callback(guests.discard)
            if now > killed + KILL_S and (alive := workers(process)):
                alive[0].kill()
                killed, counts["killed"] = now, counts["killed"] + 1
            samples.append(sample(process))
            if now > told + 60:
                told, one = now, samples[-1]
                seen = [len(client.arrivals) for client in clients]
                print(
                    f"{(now - began) / 60:5.1f} min  server {one.server_mb:5.0f} MB"
                    f"  workers {one.workers_mb:5.0f} MB  {one.threads} threads"
                    f"  {one.descriptors} descriptors  seen {seen}  {counts}",
                    flush=True,
                )
                for client in clients:  # not our own memory
                    client.arrivals.clear()
                    client.messages.clear()
            await asyncio.sleep(CHURN_S / pace)
    return samples


def compare(samples: list[Sample]) -> None:
    """The second quarter against the last: the first one fills caches."""
    quarter = max(1, len(samples) // 4)
    for name in ("server_mb", "workers_mb", "threads", "descriptors"):
        early, late = (
            statistics.median(getattr(one, name) for one in part)
            for part in (samples[quarter : 2 * quarter], samples[-quarter:])
        )
        print(f"{name:12} {early:7.1f} -> {late:7.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pace", type=float, default=1)
    asked = parser.parse_args()
    with server("--max-peers", "16", "--height", "180") as (url, process):
        compare(asyncio.run(soak(url, process, asked.minutes, asked.pace)))
