"""Live streams through a running `streamer serve`: real Ray, real WebRTC, real faults."""

import asyncio
import itertools
import json
import os
import signal
import statistics
import time
from typing import Any

import httpx
import psutil
import pytest

from tests.support.rtc_client import RtcClient
from tests.support.served import Served, answers, ask, connected
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

READY_S = 90.0


def numbers(client: RtcClient) -> list[int]:
    return [arrival.number for arrival in client.arrivals if arrival.number is not None]


def stats(client: RtcClient) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in client.messages]
    return [message["stats"] for message in messages if "stats" in message]


def workers(server: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(server.url + "/stats").json()["workers"]
    return found


def worker_pids(server: Served) -> list[int]:
    return [p.pid for p in server.family() if "ray::Worker" in " ".join(p.cmdline())]


def latencies_s(client: RtcClient, since: float) -> list[float]:
    sent = client.track.sent_at
    return [a.at - sent[a.number] for a in client.arrivals if a.number in sent and a.at > since]


async def test_frames_come_back_in_order_and_the_numbers_are_told(served: Served) -> None:
    served.wait_until("/readyz", READY_S)
    async with connected(served, RtcClient(640, 360)) as client:
        await eventually(lambda: len(client.arrivals) >= 60 and len(stats(client)) >= 2)
        told = stats(client)[-1]
    assert numbers(client) == sorted(set(numbers(client)))
    assert len(numbers(client)) > 50
    assert (told["width"], told["height"]) == (640, 360)
    assert set(told["stages_ms"]) == {"wait", "transfer", "inference", "reorder", "pace", "encode"}
    assert told["workers"] == [{"state": "ready"}] * 2 or "busy" in str(told["workers"])


async def test_the_picture_follows_the_camera_when_it_changes_its_size(served: Served) -> None:
    """A phone that is turned, and a browser that adapts to its uplink."""
    served.wait_until("/readyz", READY_S)
    async with connected(served, RtcClient(320, 240)) as client:
        for size in ((320, 240), (240, 320), (642, 362)):
            client.track.size = size
            await eventually(lambda size=size: sizes(client)[-1:] == [size])  # type: ignore[misc]
    assert numbers(client) == sorted(set(numbers(client)))


def sizes(client: RtcClient) -> list[tuple[int, int]]:
    return [(arrival.width, arrival.height) for arrival in client.arrivals]


async def test_a_killed_worker_is_hardly_seen(served: Served) -> None:
    served.wait_until("/readyz", READY_S)
    async with connected(served, RtcClient(640, 360)) as client:
        await eventually(lambda: len(client.arrivals) >= 60)
        began = time.monotonic()
        os.kill(worker_pids(served)[0], signal.SIGKILL)
        await eventually(lambda: any(worker["restarts"] for worker in workers(served)), 5)
        await eventually(lambda: {w["state"] for w in workers(served)} <= {"ready", "busy"}, 60)
        told = stats(client)[-1]
    times = [arrival.at for arrival in client.arrivals if arrival.at > began - 0.1]
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.0
    assert numbers(client) == sorted(set(numbers(client)))
    dropped = told["dropped"]
    assert dropped["lost"] <= 1
    assert len(worker_pids(served)) == 2


@pytest.mark.parametrize("served", [("--backend", "onnx", "--height", "180")], indirect=True)
async def test_styles_change_without_a_break(served: Served) -> None:
    served.wait_until("/readyz", READY_S)
    names = [entry["name"] for entry in httpx.get(served.url + "/styles").json()["styles"]]
    first, second = [name for name in names if name != "none"][:2]
    async with connected(served, RtcClient(320, 180, fps=8)) as client:
        looks = []
        for number, wanted in enumerate(
            ({"style": "none"}, {"style": first}, {"style": {first: 0.5, second: 0.5}}), 1
        ):
            ask(client, number, **wanted)
            await eventually(lambda number=number: number in answers(client))  # type: ignore[misc]
            seen = len(client.arrivals)
            await eventually(lambda seen=seen: len(client.arrivals) > seen + 4)  # type: ignore[misc]
            looks.append(client.images[-1].data.astype(int))
        ask(client, 4, style=second, strength=0.0, transition_s=1.0)
        ask(client, 5, style="no-such-style")
        ask(client, 6, strength=7)
        await eventually(lambda: {4, 5, 6} <= answers(client).keys())
    told = answers(client)
    for number in (1, 2, 3, 4):
        assert set(told[number]["applied"]) == {"seq", "pts"}
    assert told[5]["error"]["code"] == "unknown_style"
    assert first in told[5]["error"]["message"]
    assert told[6]["error"]["code"] == "bad_request"
    for a, b in itertools.combinations(looks, 2):
        assert abs(a - b).mean() > 4  # three looks, plainly different


@pytest.mark.parametrize(
    "served", [("--backend", "onnx", "--height", "360", "--workers", "1")], indirect=True
)
async def test_a_minute_of_overload_costs_frames_and_neither_latency_nor_memory(
    served: Served,
) -> None:
    """One worker that takes several times as long as the camera's frames are apart."""
    served.wait_until("/readyz", READY_S)
    marks: list[tuple[float, int]] = []
    async with connected(served, RtcClient(640, 360, fps=30)) as client:
        # A slow network, and so little of it that the numbers stay readable.
        ask(client, 1, style="mosaic@multistyle26", strength=0.3)
        for _ in range(6):
            await asyncio.sleep(10)
            marks.append((time.monotonic(), memory(served)))
        told = stats(client)[-1]
    early = latencies_s(client, since=marks[0][0] - 10)[: len(client.arrivals) // 6]
    late = latencies_s(client, since=marks[-2][0])
    dropped = told["dropped"]
    assert dropped["intake"] > 100
    assert statistics.median(late) < 2 * statistics.median(early) + 0.1
    assert marks[-1][1] < 1.1 * marks[1][1] + 20e6
    assert numbers(client) == sorted(set(numbers(client)))


def streams(server: Served) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(server.url + "/stats").json()["streams"]
    return found


def memory(server: Served) -> int:
    """Bytes of memory that are the server's and its workers' alone, shared parts by share."""
    return sum(process.memory_full_info().pss for process in server.family())


async def test_twenty_peers_come_and_go_without_a_trace(served: Served) -> None:
    served.wait_until("/readyz", READY_S)
    process = psutil.Process(served.process.pid)

    def footprint() -> tuple[int, int, int]:
        sockets = len(process.net_connections())
        return process.num_threads(), process.num_fds(), sockets

    async def visit() -> None:
        async with connected(served, RtcClient(320, 180, audio="sendrecv")) as client:
            await eventually(lambda: len(client.arrivals) > 5)

    for _ in range(10):
        await visit()
    await eventually(lambda: streams(served) == {})
    before, memory_before = footprint(), memory(served)
    for _ in range(20):
        await visit()
    await eventually(lambda: streams(served) == {})
    await eventually(lambda: all(b <= a + 2 for a, b in zip(before, footprint(), strict=True)))
    assert memory(served) < memory_before + 30e6


async def test_a_peer_that_vanishes_is_noticed(served: Served) -> None:
    """No goodbye: the client's sockets are just gone."""
    served.wait_until("/readyz", READY_S)
    client = RtcClient(320, 180)
    async with httpx.AsyncClient(base_url=served.url) as http:
        sdp = {"Content-Type": "application/sdp"}
        answer = await http.post("/whip/test", content=await client.offer(), headers=sdp)
        await client.accept(answer.text)
        await eventually(lambda: len(client.arrivals) > 5)
        await client.close()
        async with asyncio.timeout(60):
            while (await http.get("/stats")).json()["streams"]:
                await asyncio.sleep(0.5)
