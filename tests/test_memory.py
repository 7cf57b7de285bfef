"""Memory that is handed over: both ends have the same, and know what can be handed over."""

import socket
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from streamer.memory import is_shared, new_memory, receive_memory, send_memory

FDS = Path("/proc/self/fd")


@pytest.fixture
def pipe() -> tuple[Connection, Connection]:
    ours, theirs = socket.socketpair()
    return Connection(ours.detach()), Connection(theirs.detach())


def test_what_is_handed_over_is_there_and_here(pipe: tuple[Connection, Connection]) -> None:
    ours, theirs = pipe
    here = new_memory(10_000)
    send_memory(ours, here)
    there = receive_memory(theirs, 10_000)
    there[7] = 42
    assert here[7] == 42 and is_shared(there)


def test_only_whole_memory_is_handed_over() -> None:
    memory = new_memory(100)
    assert is_shared(memory) and is_shared(memory[:])
    assert not is_shared(memory[:50]) and not is_shared(memory[::-1])
    assert not is_shared(np.zeros(100, np.uint8))


@pytest.mark.skipif(not FDS.exists(), reason="descriptors are counted by /proc")
def test_descriptors_go_with_the_memory() -> None:
    before = len([*FDS.iterdir()])
    for _ in range(20):
        new_memory(100)
    assert len([*FDS.iterdir()]) == before
