"""server, files, library → **bounded**: work on strangers' bytes, in a process that can be ended.

The process is limited in memory and in processor time, leaves the processors to live streams, and
is the first that a machine without memory ends. What it takes dies with it.
"""

import contextlib
import importlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from streamer.errors import StreamerError, first_line
from streamer.memory import LARGE_BYTES, is_shared, new_memory, receive_memory, send_memory

P = ParamSpec("P")
T = TypeVar("T")

NICENESS: Final = 10  # a tenth of a processor that live streams, or others, would have whole
KEPT_BYTES: Final = 512 << 20  # a process that ever took more is replaced when it is done


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may take.

    `cpu_s`: of processor time, for one call or from one `progress` to the next; `wall_s`: of any
    time, for one call. None: as long as it likes.
    """

    cpu_s: float
    memory_bytes: int
    wall_s: float | None = None


class EndedError(Exception):
    """The process met a limit, or crashed; the text says which: "it takes more than ..."."""


class Bounded:
    """One process, started when it is needed, for one call at a time, from any thread.

    `preload` names a module that it imports before it is asked for anything. `fds` are open in it.
    """

    def __init__(self, limits: Limits, preload: str = "", fds: tuple[int, ...] = ()) -> None:
        self._limits = limits
        self._words = [sys.executable, "-P", "-m", "streamer.bounded", preload]
        self._fds = fds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = False
        self._lock = threading.Lock()  # starting and ending
        self._busy = threading.Lock()  # calling

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args, **kwargs)` in the process; all of them have to be picklable.

        Raises StreamerErrors as `work` does, EndedError, and RuntimeError for all else it raises.
        """
        with self._busy:
            try:
                connection = self.start()
                _send(connection, (work, args, kwargs))
                if not connection.poll(self._limits.wall_s):
                    raise EndedError(f"it takes more than {self._limits.wall_s:g} s")
                done, last = _receive(connection)
            except (EOFError, OSError):
                raise EndedError(self._why()) from None
            except BaseException:
                self._end()
                raise
            if last:
                self._end()
        if isinstance(done, _Failed):
            done.raise_again()
        return done  # type: ignore[no-any-return]

    def start(self) -> "Connection[Any, Any]":
        """Start the process, unless it is there. Raises EndedError when closed."""
        with self._lock:
            if self._closed:
                raise EndedError("it was stopped")
            if self._connection is None:
                ours, theirs = socket.socketpair()
                with theirs:
                    fds = (theirs.fileno(), *self._fds)
                    limits = self._limits
                    numbers = [theirs.fileno(), limits.cpu_s, limits.memory_bytes]
                    self._process = subprocess.Popen(
                        [*self._words, *map(str, numbers)],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,  # a stranger's file must not fill the log
                        pass_fds=fds,
                    )
                self._connection = Connection(ours.detach())
            return self._connection

    def close(self) -> None:
        """End the process, and a call that it is at."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        with self._busy:
            self._end()

    def _end(self) -> None:
        """End the process, whatever it does; the next call has a new one."""
        with self._lock:
            process, self._process = self._process, None
            connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.wait()
        if connection is not None:
            connection.close()

    def _why(self) -> str:
        """Why the process is gone."""
        with self._lock:
            process = self._process
        code = 0
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(1)
        self._end()
        if self._closed:
            return "it was stopped"
        if code == -signal.SIGPROF:
            return f"it takes more than {self._limits.cpu_s:g} s of processor time"
        if code == -signal.SIGKILL:
            return "it takes more memory than there is"
        named = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"it crashes the program that reads it ({named})"


class Pool:
    """`count` processes of one kind; the first is started at once, by `start`."""

    def __init__(self, count: int, limits: Limits, preload: str = "") -> None:
        self._all = [Bounded(limits, preload) for _ in range(count)]
        self._free: queue.LifoQueue[Bounded] = queue.LifoQueue()  # the warmest first
        for one in self._all:
            self._free.put(one)

    def start(self) -> None:
        """Have one process that is warm."""
        self._all[-1].start()

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As Bounded.call, by the process that is free; waits for one."""
        one = self._free.get()
        try:
            return one.call(work, *args, **kwargs)
        finally:
            self._free.put(one)

    def close(self) -> None:
        for one in self._all:
            one.close()


def progress() -> None:
    """In the process: there is something to show for the time, which begins anew."""
    if _cpu_s and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, _cpu_s)


@dataclass(frozen=True, slots=True)
class _Failed:
    """An exception of the other process; its type, unless it is none of ours, and its text."""

    kind: type[BaseException]
    text: str

    def raise_again(self) -> None:
        # Not by its constructor, which may want something else.
        raise self.kind.__new__(self.kind, self.text)

    @classmethod
    def of(cls, error: BaseException) -> "_Failed":
        if isinstance(error, StreamerError):
            return cls(type(error), str(error))
        if isinstance(error, MemoryError) or "alloc" in str(error).lower():
            return cls(EndedError, f"it takes more than {_memory_bytes / 2**30:g} GiB of memory")
        text = f"{type(error).__name__}: {first_line(error)}"
        frames = traceback.extract_tb(error.__traceback__)[-1:]
        return cls(RuntimeError, "".join([text, *(f" ({f.name}, {f.lineno})" for f in frames)]))


_cpu_s = 0.0  # the limits of this process, when it is such a one
_memory_bytes = 0


def _limit(cpu_s: float, memory_bytes: int) -> None:
    global _cpu_s, _memory_bytes
    _cpu_s, _memory_bytes = cpu_s, memory_bytes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    if sys.platform == "win32":
        return
    import resource

    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _peak_bytes() -> int:
    """Most memory that this process ever had; 0 where that cannot be known.

    Not by getrusage: on Linux its figure begins with that of the parent, which may be large.
    """
    with contextlib.suppress(OSError):  # not Linux
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Answer calls on the socket that was inherited, until the parent hangs up."""
    preload, fd, cpu_s, memory_bytes = sys.argv[1:]
    _limit(float(cpu_s), int(memory_bytes))
    connection: Connection[Any, Any] = Connection(int(fd))
    if preload:
        importlib.import_module(preload)
    with connection, contextlib.suppress(EOFError, ConnectionError):
        while True:
            last = _answer(connection)
            if last:
                return


def _answer(connection: "Connection[Any, Any]") -> bool:
    """One call; whether it was the last, because too much memory would stay behind."""
    work, args, kwargs = _receive(connection)
    progress()
    try:
        answer = work(*args, **kwargs)
    except Exception as error:
        answer = _Failed.of(error)
    last = _peak_bytes() > KEPT_BYTES
    _send(connection, (answer, last))
    return last


def _send(connection: "Connection[Any, Any]", message: object) -> None:
    """As `connection.send`, but large arrays are handed over."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(buffer).obj for buffer in buffers]
    raws = [buffer.raw() for buffer in buffers]
    large = [raw.nbytes if raw.nbytes >= LARGE_BYTES else 0 for raw in raws]
    connection.send((data, large))
    for part, raw, size in zip(parts, raws, large, strict=True):
        if not size:
            connection.send_bytes(raw)
        elif isinstance(part, np.ndarray) and is_shared(part):
            send_memory(connection, part)
        else:
            memory = new_memory(size)
            memory[:] = np.frombuffer(raw, np.uint8)
            send_memory(connection, memory)


def _receive(connection: "Connection[Any, Any]") -> Any:
    data, large = connection.recv()
    buffers = [
        receive_memory(connection, size) if size else connection.recv_bytes() for size in large
    ]
    return pickle.loads(data, buffers=buffers)


if __name__ == "__main__":
    # Pickle finds this module by its name, with globals of its own.
    importlib.import_module("streamer.bounded").main()
