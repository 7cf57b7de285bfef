"""What the live path adds: a running server, a WebRTC client, real pictures in between.

    python bench/live.py                 none and the default style, 640x360 and 1280x720
    python bench/live.py --seconds 5 --style none --size 640x360

For each case a line of fps in and out, latency the server adds (p50/p95 over all and per stage)
and CPU used. Then, in the same run, the loop client → server → client against a client that
talks to a bare aiortc echo, and the frame rate of the stylizer alone against the stream's.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psutil
from aiortc import RTCConfiguration, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from streamer.webrtc.ice import IceScope
from streamer.webrtc.peer_connection import PeerConnection, TransceiverFactories
from tests.support.rtc_client import RtcClient

STAGES = ("wait", "transfer", "inference", "reorder", "pace", "encode")


@contextlib.contextmanager
def server(*options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A running `streamer serve`, ready; its URL and its process."""
    command = [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        url = ""
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:\d+", line):
                url = found[0]
            if line.startswith("ready"):
                break
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@contextlib.asynccontextmanager
async def stream(url: str, client: RtcClient) -> AsyncIterator[RtcClient]:
    """`client`, publishing to the server at `url`."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        sdp = {"Content-Type": "application/sdp"}
        answer = await http.post("/whip/bench", content=await client.offer(), headers=sdp)
        answer.raise_for_status()
        await client.accept(answer.text)
        yield client
        await http.delete(answer.headers["Location"])
    await client.close()


@contextlib.asynccontextmanager
async def raw_echo(client: RtcClient) -> AsyncIterator[RtcClient]:
    """`client` connected to plain aiortc that sends every decoded picture straight back."""
    echo = PeerConnection(
        RTCConfiguration(iceServers=[]), IceScope(loopback=True), TransceiverFactories({}, {})
    )
    echo.on("track", lambda track: echo.addTrack(MediaRelay().subscribe(track, buffered=False)))
    await echo.setRemoteDescription(RTCSessionDescription(await client.offer(), "offer"))
    await echo.setLocalDescription(await echo.createAnswer())
    await client.accept(echo.localDescription.sdp)
    yield client
    await client.close()
    await echo.close()


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of the server and everything it started."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def loop_ms(client: RtcClient, since: float) -> str:
    """p50 and p95 of the whole loop: picture given to the client's encoder, picture decoded."""
    sent = client.track.sent_at
    arrivals = [a for a in client.arrivals if a.at > since and a.number in sent]
    if len(arrivals) < 20:
        return "too few readable numbers"
    loops = [1e3 * (a.at - sent[a.number]) for a in arrivals if a.number is not None]
    return f"{statistics.median(loops):.0f} / {statistics.quantiles(loops, n=20)[18]:.0f}"


async def measure(url: str, process: psutil.Process, size: tuple[int, int], seconds: float) -> None:
    client = RtcClient(*size, fps=30)
    async with stream(url, client):
        await asyncio.sleep(3)
        since, cpu, count = time.monotonic(), cpu_s(process), len(client.arrivals)
        await asyncio.sleep(seconds)
        elapsed = time.monotonic() - since
        used = 100 * (cpu_s(process) - cpu) / elapsed
        out_fps = (len(client.arrivals) - count) / elapsed
        told = [json.loads(text) for text in client.messages]
        last: dict[str, Any] = [one["stats"] for one in told if "stats" in one][-1]
    quantiles = last["latency_ms"]
    print(
        f"  in {last['in_fps']:5.1f}  out {out_fps:5.1f} fps   server {quantiles['p50']:5.1f} /"
        f" {quantiles['p95']:5.1f} ms   loop {loop_ms(client, since)} ms   CPU {used:.0f} %"
        f"   at {last['height_px']} px"
    )
    stages = last["stages_ms"]
    print("    " + "   ".join(f"{s} {stages[s]['p50']:.1f}/{stages[s]['p95']:.1f}" for s in STAGES))
    print("    dropped " + ", ".join(f"{k} {v}" for k, v in last["dropped"].items() if v))


async def compare(url: str, size: tuple[int, int], seconds: float, marker: bool) -> None:
    """The loop through the server and through bare aiortc, in turn, in one run."""
    for name in ("bare aiortc", "streamer"):
        client = RtcClient(*size, fps=30, marker=marker)
        async with raw_echo(client) if name == "bare aiortc" else stream(url, client):
            await asyncio.sleep(2)
            since = time.monotonic()
            await asyncio.sleep(seconds)
        print(f"    {name:<12}{loop_ms(client, since)} ms")


async def main(styles: list[str], sizes: list[tuple[int, int]], seconds: float) -> None:
    for style in styles:
        backend = "none" if style == "none" else "auto"
        options = ("--backend", backend) + (() if style == "none" else ("--style", style))
        with server(*options) as (url, process):
            for size in sizes:
                print(f"{style} {size[0]}x{size[1]}, latency p50 / p95")
                await measure(url, process, size, seconds)
            if style == "none":
                for size in sizes:
                    for marker in (False, True):
                        how = "the marker bit" if marker else "aiortc's own path"
                        print(f"  loop {size[0]}x{size[1]}, client receives by {how}")
                        await compare(url, size, seconds, marker)


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--style", action="append", default=None)
    parser.add_argument("--size", action="append", type=parse_size, default=None)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    asyncio.run(
        main(
            given.style or ["none", "mosaic"],
            given.size or [(640, 360), (1280, 720)],
            given.seconds,
        )
    )
