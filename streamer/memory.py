"""bounded, ring → **memory**: large arrays that processes hand to each other instead of copying.

The memory has no name in any file system, so nothing is left behind whatever happens.
"""

import mmap
import os
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
LARGE_BYTES: Final = 4 << 20  # less is copied sooner than mapped


class _Memory(mmap.mmap):
    """Mapped memory that knows its file, by which another process can have it too."""

    fd = -1

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def new_memory(size: int) -> Bytes:
    """So many zero bytes that can be handed over."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("streamer")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.truncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return _map(fd, size)


def is_shared(data: Bytes) -> bool:
    """Whether `data` is all of a memory that can be handed over."""
    return _memory_of(data) is not None


def send_memory(connection: "Connection[Any, Any]", data: Bytes) -> None:
    """Hand over what `is_shared`; both have it then. Raises OSError when the other is gone."""
    memory = _memory_of(data)
    assert memory is not None
    send_handle(connection, memory.fd, 0)  # whose process it is matters on Windows only


def receive_memory(connection: "Connection[Any, Any]", size: int) -> Bytes:
    """What `send_memory` sent. Raises EOFError or OSError when the other is gone."""
    return _map(recv_handle(connection), size)


def _map(fd: int, size: int) -> Bytes:
    """The memory owns the descriptor."""
    try:
        memory = _Memory(fd, size)
    except BaseException:
        os.close(fd)
        raise
    memory.fd = fd
    return np.frombuffer(memory, np.uint8)


def _memory_of(data: Bytes) -> _Memory | None:
    base: Any = data
    while isinstance(base, np.ndarray):
        base = base.base
    memory = base.obj if isinstance(base, memoryview) else base
    if not isinstance(memory, _Memory) or data.nbytes != len(memory):
        return None
    return memory if data.flags.c_contiguous else None
