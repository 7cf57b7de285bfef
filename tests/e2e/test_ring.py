"""The ring on real Ray: processes that are killed, stopped and joined."""

import asyncio
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from streamer.engine.stylizer import Identity
from streamer.errors import ModelError, RingError
from streamer.frame import Image, Size, Style
from streamer.pipeline import run as pipeline
from streamer.pipeline.stats import Stats
from streamer.ring.cluster import Cluster
from streamer.ring.ring import Ring
from tests.support.fakes import ListSink, ListSource
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


class Sleeper(Identity):
    """Leaves an image as it is and takes its time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        time.sleep(self.seconds)
        return image


class GpuTeller(Identity):
    """Stylizes a picture as bright as the number of the GPU that Ray let this process see."""

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        time.sleep(0.02)
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return Image(image.width, image.height, np.full_like(image.data, int(seen or 255)))


def broken() -> Sleeper:
    raise ModelError("the model is damaged")


def on_ray(seconds: float = 0.0, workers: int = 2, address: str | None = None) -> Ring:
    load = functools.partial(Sleeper, seconds)
    return Ring(functools.partial(Cluster, load, Style(), workers=workers, address=address))


def worker_pids() -> list[int]:
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "ray::Worker" in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    home = tempfile.mkdtemp(prefix="t-")  # short: Ray puts sockets there
    monkeypatch.setattr(tempfile, "tempdir", home)
    yield
    assert psutil.Process().children(recursive=True) == []
    assert os.listdir(home) == []  # noqa: PTH208 - not worth a thread
    shutil.rmtree(home)


async def test_frames_of_a_file_come_back_whole_and_in_order() -> None:
    sink = ListSink()
    async with on_ray() as two:
        await pipeline.run(ListSource(200), two.open(live=False), sink)
    assert sink.numbers == list(range(200))


async def test_workers_yield_to_no_other_program() -> None:
    async with on_ray():
        assert [psutil.Process(pid).nice() for pid in worker_pids()] == [os.nice(0)] * 2


async def test_live_a_killed_worker_costs_one_frame_and_no_second() -> None:
    sink, stats = ListSink(), Stats()
    async with on_ray(seconds=0.02) as two:
        source = ListSource(250, 1 / 30)
        run = asyncio.create_task(pipeline.run(source, two.open(live=True), sink, stats=stats))
        await eventually(lambda: len(sink.frames) >= 60)
        os.kill(worker_pids()[0], signal.SIGKILL)
        await run
        workers = two.stats()
    gaps = [b - a for a, b in zip(sink.times, sink.times[1:], strict=False)]
    assert max(gaps) < 1.0
    assert sink.numbers == sorted(set(sink.numbers))
    assert len(sink.numbers) + sum(stats.dropped.values()) == 250
    assert stats.dropped["lost"] <= 1
    assert [worker["state"] for worker in workers] == ["ready", "ready"]
    assert sum(int(str(worker["restarts"])) for worker in workers) == 1


async def test_file_killed_workers_cost_nothing() -> None:
    sink = ListSink()
    async with on_ray(seconds=0.02) as two:
        run = asyncio.create_task(pipeline.run(ListSource(200), two.open(live=False), sink))
        await eventually(lambda: len(sink.frames) >= 60)
        os.kill(worker_pids()[1], signal.SIGKILL)
        await run
    assert sink.numbers == list(range(200))


async def test_live_a_stopped_worker_is_gone_around() -> None:
    """SIGSTOP: the process lives, its socket is open, and it answers nothing."""
    sink, stats = ListSink(), Stats()
    async with on_ray(seconds=0.01) as two:
        source = ListSource(150, 1 / 30)
        run = asyncio.create_task(pipeline.run(source, two.open(live=True), sink, stats=stats))
        await eventually(lambda: len(sink.frames) >= 40)
        pid = worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        await eventually(lambda: len(sink.frames) >= 100)
        os.kill(pid, signal.SIGCONT)
        await run
    gaps = [b - a for a, b in zip(sink.times, sink.times[1:], strict=False)]
    assert max(gaps) < 1.0
    assert sink.numbers == sorted(set(sink.numbers))
    assert len(sink.numbers) >= 140


@pytest.mark.parametrize(("workers", "gpus"), [(2, 2), (3, 2)])
async def test_workers_are_spread_over_gpus(workers: int, gpus: int) -> None:
    """Ray counts GPUs that were announced to it; none has to be there. Three share two."""
    sink = ListSink()
    placed = functools.partial(Cluster, GpuTeller, Style(), workers=workers, gpus=gpus)
    async with Ring(placed) as ring:
        await pipeline.run(ListSource(60), ring.open(live=False), sink)
        assert len(worker_pids()) == workers
    assert {int(frame.image.data[0]) for frame in sink.frames} == set(range(gpus))


async def test_a_model_that_does_not_load_is_one_clear_error() -> None:
    with pytest.raises(RingError, match=r"worker 0 cannot start: the model is damaged"):
        async with Ring(functools.partial(Cluster, broken, Style(), workers=1)):
            pass


async def test_no_port_of_ray_can_be_reached_from_elsewhere() -> None:
    async with on_ray(workers=1):
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


async def test_no_other_user_can_enter_the_folder_of_ray() -> None:
    async with on_ray(workers=1):
        (home,) = Path(tempfile.gettempdir()).glob("streamer-ray-*")
        assert home.stat().st_mode & 0o077 == 0
        assert list(home.rglob("plasma_store")), "Ray's sockets lie in it"


JOIN = """
import asyncio, sys
from streamer.engine.stylizer import Identity
from streamer.frame import Style
from streamer.ring.cluster import Cluster
from streamer.ring.ring import Ring
from tests.support.fakes import numbered

async def main():
    async with Ring(lambda: Cluster(Identity, Style(), workers=1, address=sys.argv[1])) as one:
        image = numbered(7).image
        stylized = await one.stylize(image, Style())
        print(stylized.data.min(), stylized.data.max())

asyncio.run(main())
"""


TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster as `ray start --head` makes it, with its own token, or the one of a parameter."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        **getattr(request, "param", TOKEN),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    home = tempfile.mkdtemp(prefix="ray-")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    command += [f"--temp-dir={home}", "--object-store-memory=80000000"]
    log = Path(home, "head.log")
    with log.open("w") as output:
        head = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    deadline = time.monotonic() + 90
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    yield f"127.0.0.1:{port}", environment
    family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in family:
        process.kill()
    head.wait()
    psutil.wait_procs(family, timeout=10)
    shutil.rmtree(home)


def join(address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", JOIN, address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_joining_a_cluster_and_leaving_it_as_it_was(
    cluster: tuple[str, dict[str, str]],
) -> None:
    for _ in range(2):  # it still runs after the first has left
        joined = join(*cluster)
        assert joined.returncode == 0, joined.stderr
        assert joined.stdout.strip() == "7 7"


@pytest.mark.parametrize("cluster", [{}], indirect=True)
def test_a_cluster_without_a_token_is_joined_only_when_told_to(
    cluster: tuple[str, dict[str, str]],
) -> None:
    address, environment = cluster
    for mine in ({}, TOKEN):
        refused = join(address, environment | mine)
        assert refused.returncode != 0
        assert "has no token" in refused.stderr
    joined = join(f"insecure:{address}", environment)
    assert joined.returncode == 0, joined.stderr
    assert "is joined, whether it has a token or not" in joined.stderr
