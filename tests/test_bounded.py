"""Work in a process that can be ended: what comes back, what ends it, and that it is gone then."""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from streamer.bounded import Bounded, EndedError, Limits, Pool
from streamer.errors import UnknownStyleError
from streamer.memory import LARGE_BYTES, is_shared
from streamer.styles.catalogue import Catalogue
from tests.support.waiting import eventually_sync

LIMITS = Limits(cpu_s=30.0, memory_bytes=1 << 30, wall_s=60.0)  # enough on any machine


@contextlib.contextmanager
def bounded(limits: Limits = LIMITS) -> Iterator[Bounded]:
    with contextlib.closing(Bounded(limits)) as process:
        yield process


def test_calls_are_answered_by_one_process_that_is_below_this_one() -> None:
    with bounded() as process:
        assert process.call(divmod, 7, 2) == (3, 1)
        pid = process.call(os.getpid)
        assert pid != os.getpid() and process.call(os.getpid) == pid
        assert process.call(os.nice, 0) == os.nice(0) + 10
    assert not psutil.pid_exists(pid)


def test_a_large_array_is_handed_over_both_ways() -> None:
    with bounded() as process:
        array = process.call(np.full, LARGE_BYTES, 7, np.uint8)
        assert is_shared(array) and (array == 7).all()
        assert process.call(np.mean, array) == 7.0


def test_errors_come_back_as_what_they_are() -> None:
    with bounded() as process:
        with pytest.raises(UnknownStyleError, match=r"unknown style 'nope'; did you mean none"):
            process.call(Catalogue.load().parse, "nope")
        with pytest.raises(RuntimeError, match=r"ZeroDivisionError: .*zero"):
            process.call(divmod, 1, 0)
        assert process.call(abs, -1) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such timer")
def test_what_computes_for_ever_is_ended() -> None:
    with bounded(Limits(cpu_s=1.0, memory_bytes=1 << 30, wall_s=60.0)) as process:
        pid = process.call(os.getpid)
        with pytest.raises(EndedError, match="more than 1 s of processor time"):
            process.call(re.fullmatch, "(a+)+b", "a" * 60)  # cannot be interrupted
        assert not psutil.pid_exists(pid)
        assert process.call(abs, -1) == 1, "the next call has a new process"


def test_what_waits_for_ever_is_ended() -> None:
    with (
        bounded(Limits(cpu_s=30.0, memory_bytes=1 << 30, wall_s=0.5)) as process,
        pytest.raises(EndedError, match=r"more than 0\.5 s"),
    ):
        process.call(time.sleep, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_what_takes_too_much_memory_is_ended_and_memory_comes_back() -> None:
    with bounded() as process:
        with pytest.raises(EndedError, match="more than 1 GiB of memory"):
            process.call(bytes, 2 << 30)
        pid = process.call(os.getpid)
        assert process.call(eval, "len(b'x' * 700_000_000)") == 700_000_000
        assert process.call(os.getpid) != pid
        assert not psutil.pid_exists(pid)


def test_a_crash_is_one_line() -> None:
    with bounded() as process:
        with pytest.raises(EndedError, match=r"it crashes the program that reads it \(SIGABRT\)"):
            process.call(os.abort)
        with pytest.raises(EndedError, match="exit code 3"):
            process.call(os._exit, 3)


def test_closing_ends_a_call() -> None:
    process = Bounded(LIMITS)
    ended = threading.Event()

    def wait() -> None:
        with contextlib.suppress(EndedError):
            process.call(time.sleep, 60)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    children = psutil.Process().children
    eventually_sync(lambda: any("streamer.bounded" in c.cmdline() for c in children()))
    process.close()
    assert ended.wait(10)
    thread.join()
    with pytest.raises(EndedError, match="it was stopped"):
        process.call(abs, -1)


def test_a_pool_has_a_warm_process_first() -> None:
    with contextlib.closing(Pool(2, LIMITS, "streamer.errors")) as pool:
        pool.start()
        pids = {pool.call(os.getpid) for _ in range(3)}
        assert len(pids) == 1
