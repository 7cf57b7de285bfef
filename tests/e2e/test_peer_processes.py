"""Live streams in processes of their own: each carries its share, and dies alone."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.browser import button, expect_state, frames_seen, page_at, server_with
from tests.support.rtc_client import RtcClient
from tests.support.served import LONG_S, Served, connected, served_with
from tests.support.waiting import eventually, eventually_sync

pytestmark = pytest.mark.e2e

SDP = {"Content-Type": "application/sdp"}
TWO = ("--peer-processes", "2", "--workers", "1")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with served_with(*TWO) as server:
        server.wait_until("/readyz", LONG_S)
        eventually_sync(lambda: up(server) == 2, LONG_S)
        yield server


def stats(server: Served) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{server.url}/stats", timeout=10).json()
    return told


def up(server: Served) -> int:
    return sum(one["up"] for one in stats(server)["processes"])


async def publish(http: httpx.AsyncClient, name: str) -> tuple[RtcClient, str]:
    client = RtcClient()
    answer = await http.post(f"/whip/{name}", content=await client.offer(), headers=SDP)
    assert answer.status_code == 201, answer.text
    await client.accept(answer.text)
    return client, answer.headers["Location"]


async def test_frames_come_back_in_order_as_from_one_process(served: Served) -> None:
    async with connected(served, RtcClient()) as client:
        await eventually(lambda: len(client.numbers()) > 60, LONG_S)
        assert client.numbers() == sorted(client.numbers())
        await eventually(lambda: any('"stats"' in text for text in client.messages))
    picture = httpx.get(f"{served.url}/streams/nobody.jpg")
    assert picture.status_code == 404, picture.text


async def test_a_process_that_dies_ends_its_own_streams_only(served: Served) -> None:
    await eventually(lambda: not stats(served)["streams"])  # of the test before
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as http:
        streams = {name: await publish(http, name) for name in ("a", "b")}
        await eventually(lambda: len(stats(served)["streams"]) == 2, LONG_S)
        at = {one["name"]: one["process"] for one in stats(served)["streams"].values()}
        assert set(at.values()) == {0, 1}  # one each
        image = await http.get("/streams/a.jpg")
        assert image.headers["content-type"] == "image/jpeg"
        changed = await http.patch("/streams/a", json={"strength": 0.5})
        assert changed.json()["strength"] == 0.5

        (lost, where), (kept, _) = streams["a"], streams["b"]
        assert (await http.head(where)).status_code == 204
        os.kill(stats(served)["processes"][at["a"]]["pid"], signal.SIGKILL)
        killed_at, before = time.monotonic(), len(kept.arrivals)

        async def gone() -> bool:
            return (await http.head(where)).status_code == 404

        while not await gone():
            assert time.monotonic() < killed_at + LONG_S
        await lost.close()
        again, location = await publish(http, "a")  # at the other process, at once
        await eventually(lambda: len(again.arrivals) > 5)
        await eventually(lambda: len(kept.arrivals) > before + 30)
        assert kept.numbers() == sorted(kept.numbers())
        await eventually(lambda: up(served) == 2, LONG_S)
        assert sum(one["deaths"] for one in stats(served)["processes"]) == 1
        for client, resource in ((again, location), streams["b"]):
            assert (await http.delete(resource)).status_code == 200
            await client.close()
    assert "process 0 died" in served.output() or "process 1 died" in served.output()
    await eventually(lambda: not stats(served)["streams"])


def test_the_page_comes_back_by_itself(chromium: Browser, tmp_path: Path) -> None:
    with (
        server_with(tmp_path, "--backend", "none", *TWO) as server,
        page_at(chromium, f"{server.url}/?style=none") as page,
    ):
        button(page, "Start camera").click()
        expect_state(page, "live")
        frames_seen(page, at_least=5)
        eventually_sync(lambda: len(server.streams()) == 1)  # each process reports twice a second
        (first,) = server.streams()
        told = httpx.get(f"{server.url}/stats").json()
        (stream,) = told["streams"].values()
        os.kill(told["processes"][stream["process"]]["pid"], signal.SIGKILL)
        eventually_sync(lambda: server.streams().keys() - {first}, LONG_S)
        expect_state(page, "live")
        frames_seen(page, at_least=5)
        assert page.evaluate("pcs.length") == 2
