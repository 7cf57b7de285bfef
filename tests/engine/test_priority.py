import os
import subprocess
import sys
import threading

import pytest

from streamer.engine.priority import NICENESS, aside, give_way


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def in_a_thread(gives_way: bool) -> tuple[int, int]:
    """Of the thread itself, and of what it leaves aside."""
    found = list[int]()

    def run() -> None:
        if gives_way:
            give_way()
        found.extend((niceness(), aside(niceness)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0], found[1]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own here")
def test_only_what_needs_no_python_gives_way() -> None:
    usual = niceness()
    assert in_a_thread(gives_way=False) == (usual, usual)
    assert in_a_thread(gives_way=True) == (usual, usual + NICENESS)


def test_a_program_that_ends_while_something_is_compiled_says_nothing() -> None:
    code = """
import threading, time
from streamer.engine.priority import aside, give_way
def run():
    give_way()
    for _ in range(20):
        aside(lambda: time.sleep(0.05))
thread = threading.Thread(target=run, daemon=True)
thread.start()
time.sleep(0.2)
import atexit
atexit.register(thread.join)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 // 0)
