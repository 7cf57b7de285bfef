"""How a program ends when it is told to: in processes of their own, since they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import eventually_sync

HEAD = """
import asyncio, signal, sys, time
from streamer import ending, temporary
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whether or not these tests run under nohup
ending.listen()
"""


def start(code: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code],
        env=os.environ | {"TMPDIR": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def told(code: str, home: Path, *numbers: int, after_s: float = 0.4) -> tuple[int, str, str]:
    """Exit code, output and errors of a program that gets signals once it has printed a line."""
    process = start(code, home)
    assert process.stdout is not None
    first = process.stdout.readline()
    for number in numbers:
        process.send_signal(number)
        time.sleep(after_s)
    out, errors = process.communicate(timeout=30)
    return process.returncode, first + out, errors


LOOP = """
async def work():
    temporary.new_folder("x")
    print("works", flush=True)
    try:
        await asyncio.sleep(30)
    finally:
        print("tidied", flush=True)
"""
MAIN = """
try:
    ending.run(work(){})
except ending.Stopped as stopped:
    ending.end(stopped.code)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_work_of_a_loop_is_cancelled_and_tidies_up(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    ended = told(LOOP + MAIN.format(""), tmp_path, number)
    assert ended == (128 + number, "works\ntidied\n", "")
    assert list(tmp_path.iterdir()) == []


def test_what_runs_until_it_is_told_to_stop_ends_well(tmp_path: Path) -> None:
    ended = told(LOOP + MAIN.format(", code=0"), tmp_path, signal.SIGTERM)
    assert ended == (0, "works\ntidied\n", "")


STUBBORN = """
async def work():
    temporary.new_folder("x")
    print("works", flush=True)
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            pass
"""


def test_what_does_not_stop_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = told(STUBBORN + MAIN.format(""), tmp_path, signal.SIGTERM)
    assert ended == (128 + signal.SIGTERM, "works\n", "")
    assert time.monotonic() - began > 2, "it had time"
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_ends_it_at_once_but_not_an_echo_of_the_first(tmp_path: Path) -> None:
    code = STUBBORN + MAIN.format("")
    ended = told(code, tmp_path, signal.SIGTERM, signal.SIGINT)
    assert ended == (128 + signal.SIGINT, "works\n", "")
    ended = told(code, tmp_path, signal.SIGHUP, signal.SIGHUP, after_s=0.05)
    assert ended == (128 + signal.SIGHUP, "works\n", "")


def test_work_without_a_loop_is_unwound(tmp_path: Path) -> None:
    code = """
with temporary.folder("x"):
    print("works", flush=True)
    time.sleep(30)
"""
    ended = told(code, tmp_path, signal.SIGTERM)
    assert ended == (128 + signal.SIGTERM, "works\n", "")
    assert list(tmp_path.iterdir()) == []


def test_children_do_not_outlive_it_nor_do_theirs(tmp_path: Path) -> None:
    code = """
import subprocess
child = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3).pid)"
print(subprocess.run([sys.executable, "-c", child], capture_output=True).stdout.decode().strip())
sys.stdout.flush()
try:
    time.sleep(30)
except ending.Stopped as stopped:
    ending.end(stopped.code)
"""
    code_, out, errors = told(code, tmp_path, signal.SIGTERM)
    assert (code_, errors) == (128 + signal.SIGTERM, "")
    eventually_sync(lambda: is_gone(int(out)))


def is_gone(pid: int) -> bool:
    """Whether or not somebody has asked how it ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_an_event_loop_that_stands_still_ends_the_program_with_a_line(tmp_path: Path) -> None:
    code = """
ending.BEAT_S = 0.05
async def work():
    print("works", flush=True)
    time.sleep(30)
ending.run(work())
"""
    code_, out, errors = told(code, tmp_path)
    assert (code_, out) == (1, "works\n")
    last = errors.splitlines()[-1]
    assert last.startswith("streamer: the event loop stands still, in ")


def test_it_ends_without_a_descriptor_to_spare(tmp_path: Path) -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
async def work():
    temporary.new_folder("x")
    print("works", flush=True)
    held = []
    while True:
        try:
            held.append(open("/dev/null"))
        except OSError:
            break
    time.sleep(30)
"""
    ended = told(code + MAIN.format(""), tmp_path, signal.SIGTERM)
    assert ended == (128 + signal.SIGTERM, "works\n", "")
    assert list(tmp_path.iterdir()) == []
