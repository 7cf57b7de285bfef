"""Which cluster is joined, and what is said of one that cannot be."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamer.errors import RingError, UsageError
from streamer.ring import joining


class Process:
    """A process as psutil lists it."""

    def __init__(self, *words: str) -> None:
        self.info = {"cmdline": list(words)}


def raylet(address: str, folder: str = "/tmp/ray/session_1") -> Process:
    return Process(
        f"--raylet_socket_name={folder}/s", f"--session_dir={folder}", f"--gcs-address={address}"
    )


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    there = [Process("bash"), Process()]
    monkeypatch.setattr(psutil, "process_iter", lambda _: there)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield there


def test_auto_needs_a_cluster_that_is_nobody_s_own(runs: list[Process]) -> None:
    with pytest.raises(RingError, match="no Ray cluster runs on this machine: start one with"):
        joining.checked("auto")
    runs.append(raylet("127.0.0.1:5000", "/tmp/streamer-abc/r/session_1"))
    with pytest.raises(RingError, match="another streamer started for itself cannot be joined"):
        joining.checked("auto")


def test_auto_does_not_choose_between_clusters(runs: list[Process]) -> None:
    runs += [raylet("10.0.0.1:6379"), raylet("10.0.0.1:6379"), raylet("10.0.0.2:6379")]
    with pytest.raises(RingError, match=r"give one of 10\.0\.0\.1:6379, 10\.0\.0\.2:6379"):
        joining.checked("auto")


@pytest.mark.parametrize("address", ["", "host:", "host:port", "host:0", ":6379"])
def test_other_texts_are_no_addresses(address: str) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT or auto"):
        joining.checked(address)


def test_a_port_where_nobody_listens_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RingError, match=f"no Ray cluster can be reached at 127.0.0.1:{port}: "):
        joining.checked(f"127.0.0.1:{port}")


ANSWERS = {
    "stranger": ("raise SystemExit(3)", "let us in"),
    "silent": ("import time; time.sleep(60)", "does not answer as a Ray cluster does"),
    "other": ("""print('{"ray_version": "1.0", "python_version": "3.9.1"}')""", "must be the same"),
    "empty": ("""print('{"alive": 0}')""", "all nodes of the Ray cluster .* have left"),
    "open": ("print('{}')", "has no token"),
    "slow": (
        "import os, time; time.sleep(60 * ('RAY_AUTH_TOKEN' in os.environ)); print('{}')",
        "did not say in time whether it needs a token",
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_answers_in_another_way_is_not_joined(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script, said = ANSWERS[kind]
    monkeypatch.setattr(joining, "_ASK", script)
    monkeypatch.setattr(joining, "ANSWER_S", 2.0)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises((RingError, UsageError), match=said),
    ):
        joining.checked(f"127.0.0.1:{listener.getsockname()[1]}", alive=True)
