"""A running `streamer serve`, and clients that publish to it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.certificates import certificate
from tests.support.rtc_client import RtcClient
from tests.support.waiting import eventually, eventually_sync

LONG_S = 60.0  # when the time is not the point
TOKEN = "0123456789abcdef"
FPS = 15  # of FFmpeg


@dataclass
class Served:
    """A running `streamer serve` whose temporary files all lie in `home`."""

    process: subprocess.Popen[str]
    home: Path
    url: str = ""

    def wait_until(self, route: str, deadline_s: float) -> float:
        """Seconds until `route` answers 200."""
        began_at = time.monotonic()
        while time.monotonic() < began_at + deadline_s:
            assert self.process.poll() is None, self.output()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url + route, headers=BEARER).status_code == 200:
                    return time.monotonic() - began_at
            time.sleep(0.05)
        raise AssertionError(f"{route} did not answer within {deadline_s} s")

    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def stop(self, number: int = signal.SIGINT) -> float:
        """Send a signal; seconds until the process is gone."""
        began_at = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(LONG_S)
        return time.monotonic() - began_at

    def output(self) -> str:
        return (self.home / "out").read_text()


BEARER = {"Authorization": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def served_with(*options: str) -> Iterator[Served]:
    home = Path(tempfile.mkdtemp(prefix="s-", dir="/tmp"))  # short: sockets lie in it
    command = [sys.executable, "-m", "streamer", "serve", "--backend", "none", "--no-browser"]
    with (home / "out").open("w") as out:
        process = subprocess.Popen(
            [*command, "--port", "0", *options],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"TMPDIR": str(home)},
            start_new_session=True,
        )
    server = Served(process, home)
    try:
        server.url = first_url(server)
        yield server
    finally:
        for left in family_of(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait()
        shutil.rmtree(home)


def family_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [*parent.children(recursive=True), parent]
    return []


def first_url(server: Served) -> str:
    for _ in range(600):
        found = re.search(r"(https?://\S+?)/(\?\S*)?$", server.output(), re.MULTILINE)
        if found is not None:
            return found[1]
        assert server.process.poll() is None, server.output()
        time.sleep(0.05)
    raise AssertionError(f"no URL was printed: {server.output()}")


class Ffmpeg:
    """FFmpeg, publishing from a process of its own until `stop`."""

    def __init__(self, url: str, folder: Path, kind: str = "ec", **options: str) -> None:
        cert, key = certificate(folder, kind=kind)
        options |= {"cert_file": str(cert), "key_file": str(key)}
        said = [f"{name}={value}" for name, value in options.items()]
        self._output = folder / "publisher"
        with self._output.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.ffmpeg_publisher", url, str(FPS), *said],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> str:
        """Hang up; what it said, if anything, and "" when all went well."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        return "" if self._process.wait() == 0 else self._output.read_text()


@contextlib.contextmanager
def publishing(server: Served, folder: Path, **options: str) -> Iterator[Ffmpeg]:
    """FFmpeg, on air as `cam`."""
    publisher = Ffmpeg(server.url + "/whip/cam", folder, **options)
    try:
        eventually_sync(lambda: publisher.ended or "cam" in streams(server))
        yield publisher
    finally:
        said = publisher.stop()
    assert not said


def streams(server: Served) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = httpx.get(server.url + "/streams").json()
    return found


@contextlib.asynccontextmanager
async def connected(server: Served, client: RtcClient) -> AsyncIterator[RtcClient]:
    """`client`, publishing to the server; hung up properly at the end."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        sdp = {"Content-Type": "application/sdp"}
        answer = await http.post("/whip/test", content=await client.offer(), headers=sdp)
        assert answer.status_code == 201, answer.text
        try:
            await client.accept(answer.text)
            await eventually(lambda: client.channel and client.channel.readyState == "open")
            yield client
        finally:
            assert (await http.delete(answer.headers["Location"])).status_code == 200
            await client.close()


def answers(client: RtcClient) -> dict[int, dict[str, Any]]:
    messages = [json.loads(text) for text in client.messages]
    return {message["id"]: message for message in messages if "id" in message}


def ask(client: RtcClient, number: int, **wanted: object) -> None:
    assert client.channel is not None
    client.channel.send(json.dumps({"id": number, "set": wanted}))
