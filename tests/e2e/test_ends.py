"""However a program is stopped, it ends soon, quietly, with the code that is expected of it.

Nothing is left then: no process, no temporary folder. What a killed one leaves, the next sweeps.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from PIL import Image

from streamer.ending import PATIENCE_S
from tests.support.rtc_client import RtcClient
from tests.support.served import Served, connected, served_with
from tests.support.video_clips import Clip, write_clip
from tests.support.waiting import eventually, eventually_sync

pytestmark = pytest.mark.e2e

SOON_S = PATIENCE_S + 1
LONG_S = 60.0


@dataclass
class Program:
    """A running `streamer WORDS...` whose temporary files and styles all lie in `home`."""

    process: subprocess.Popen[bytes]
    home: Path

    def output(self) -> str:
        return (self.home / "out").read_text()

    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def wait_for(self, thing: Callable[[], object]) -> None:
        eventually_sync(lambda: thing() or self.process.poll() is not None, LONG_S)
        assert self.process.poll() is None, self.output()

    def has_child(self, name: str) -> bool:
        lines = []
        for one in self.family()[1:]:
            with contextlib.suppress(psutil.Error):
                lines.append(" ".join([one.name(), *one.cmdline()]))
        return any(name in line for line in lines)

    def ended_by(self, number: int, code: int) -> str:
        """Send a signal; nothing may be left then. What the program has said in its life."""
        family, began = self.family(), time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(LONG_S) == code, self.output()
        assert time.monotonic() - began < slack() * SOON_S
        assert_nothing_left(family, self.home)
        return self.output()


def slack() -> float:
    """What is promised holds on an idle machine; on a busy one it takes its share longer."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def assert_nothing_left(family: list[psutil.Process], home: Path) -> None:
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert {path.name for path in home.iterdir()} <= {"out", "data"}


@contextlib.contextmanager
def program(*words: object, home: Path | None = None) -> Iterator[Program]:
    with contextlib.ExitStack() as stack:
        if home is None:  # short: sockets lie in it
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s-", dir="/tmp")))
        with (home / "out").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamer", *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=os.environ | {"TMPDIR": str(home), "STREAMER_DATA_DIR": str(home / "data")},
            )  # fmt: skip
        started = Program(process, home)
        try:
            yield started
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in started.family():
                    one.kill()
            process.wait()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = Clip(pts=tuple(range(0, 600 * 512, 512)), width=192, height=96, gop=100)
    return write_clip(tmp_path_factory.mktemp("video") / "in.mp4", clip)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_server_whose_ray_is_starting(name: str) -> None:
    with program("serve", "--backend", "none", "--no-browser", "--port", 0) as server:
        server.wait_for(lambda: server.has_child("gcs_server"))
        said = server.ended_by(getattr(signal, name), 0)
    assert said.splitlines()[-1].startswith("starting Ray")


async def test_a_server_with_a_stream_whose_whole_group_is_told(served: Served) -> None:
    """As by a terminal that is closed, or by systemd, which tells Ray's processes, too."""
    served.wait_until("/readyz", LONG_S)
    client = RtcClient()
    with contextlib.suppress(Exception):  # of hanging up: the server is gone
        async with connected(served, client):
            await eventually(lambda: client.arrivals)
            family, began = served.family(), time.monotonic()
            os.killpg(served.process.pid, signal.SIGTERM)
            await eventually(lambda: served.process.poll() is not None)
            assert served.process.returncode == 0
            assert time.monotonic() - began < slack() * SOON_S
            await eventually(lambda: client.pc.connectionState == "closed")
    assert_nothing_left(family, served.home)
    told = [json.loads(text) for text in client.messages]
    assert {"ended": {"message": "the server is stopping"}} in told
    said = served.output().splitlines()
    assert [line for line in said[-3:] if not line.startswith("- stream")] == [said[-3]]


def test_a_server_that_is_told_twice_does_not_wait(served: Served) -> None:
    """Here for Ray, which is stopped and so cannot end properly."""
    served.wait_until("/readyz", LONG_S)
    family = served.family()
    for process in family[1:]:
        process.suspend()
    began = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(LONG_S) == 128 + signal.SIGINT
    assert time.monotonic() - began < slack() * PATIENCE_S
    assert_nothing_left(family, served.home)
    assert served.output().splitlines()[-1].startswith("ready in")


def test_a_video_that_is_stylized(video: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    style = ("--style", "copper@multistyle26", "--encoder", "software")
    with program("file", "--json", video, "-o", target, *style) as file:
        file.wait_for(lambda: '"progress"' in file.output())
        said = file.ended_by(signal.SIGTERM, 128 + signal.SIGTERM)
    assert "--resume continues" in said.splitlines()[-1]
    assert not target.exists()


@pytest.mark.parametrize("words", [("file", "VIDEO", "-o", "TARGET"), ("bench", "--no-save")])
def test_work_whose_ray_is_starting(words: tuple[str, ...], video: Path, tmp_path: Path) -> None:
    given = {"VIDEO": video, "TARGET": tmp_path / "out.mp4"}
    with program(*(given.get(word, word) for word in words)) as work:
        work.wait_for(lambda: work.has_child("raylet"))
        said = work.ended_by(signal.SIGINT, 128 + signal.SIGINT)
    assert len(said.splitlines()) <= 1
    assert not list(tmp_path.iterdir())


def test_a_style_that_is_added(tmp_path: Path) -> None:
    """While the network is tried out, in a process of its own."""
    Image.linear_gradient("L").save(tmp_path / "a.png")
    with program("styles", "add", tmp_path / "a.png") as adding:
        adding.wait_for(lambda: adding.has_child("streamer.bounded"))
        said = adding.ended_by(signal.SIGHUP, 128 + signal.SIGHUP)
    assert said == ""


def test_nohup_is_respected() -> None:
    ignored = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    words = [sys.executable, "-m", "streamer", "serve", "--backend", "none", "--no-browser"]
    run = f"{ignored}; os.execv(sys.executable, {[*words, '--port', '0']!r})"
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as name:
        process = subprocess.Popen(
            [sys.executable, "-c", run], env=os.environ | {"TMPDIR": name}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(LONG_S) == 0
        process.stdout.close()


@pytest.mark.parametrize("part", ["raylet", "gcs_server", "ray::DashboardAgent"])
def test_a_server_whose_ray_is_gone_says_so_and_ends(part: str) -> None:
    with served_with() as served:
        served.wait_until("/readyz", LONG_S)
        family = served.family()
        began = time.monotonic()
        next(one for one in family if part.startswith(one.name())).kill()
        assert served.process.wait(LONG_S) == 1
        assert time.monotonic() - began < slack() * SOON_S
        assert_nothing_left(family, served.home)
        assert "streamer: Ray is gone: its" in served.output().splitlines()[-1]


async def test_streams_go_on_while_ray_s_processes_stand_still(served: Served) -> None:
    served.wait_until("/readyz", LONG_S)
    parts = [one for one in served.family() if one.name() in ("raylet", "gcs_server")]
    assert len(parts) == 2
    async with connected(served, RtcClient()) as client:
        await eventually(lambda: client.arrivals)
        for one in parts:
            one.suspend()
        seen = len(client.arrivals)
        await eventually(lambda: len(client.arrivals) > seen + 60)
        for one in parts:
            one.resume()
        seen = len(client.arrivals)
        await eventually(lambda: len(client.arrivals) > seen + 30)
    assert served.stop() < slack() * SOON_S
    assert served.process.returncode == 0


def test_what_a_killed_server_leaves_is_swept_by_the_next() -> None:
    server = ("serve", "--backend", "none", "--no-browser", "--port", 0)
    with program(*server) as killed:
        killed.wait_for(lambda: "ready" in killed.output())
        family, left = killed.family(), list(killed.home.glob("streamer-*"))
        assert len(left) == 2
        killed.process.kill()
        with program(*server, home=killed.home) as following:
            following.wait_for(lambda: following.has_child("gcs_server"))
            assert not any(path.exists() for path in left)
            _, alive = psutil.wait_procs(family, timeout=5)
            assert not alive
            following.ended_by(signal.SIGTERM, 0)
