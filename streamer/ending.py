"""main, serve, file, camera → **ending**: how this program ends when a signal tells it to.

The first signal stops it gently: an event loop's work is cancelled, other work gets `Stopped`.
The second one ends it at once, and so does a gentle stop that takes longer than PATIENCE_S. In
the end no process that was started here is left, and no temporary folder.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, TypeVar

import psutil

from streamer import temporary

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
BEAT_S, WARN_BEATS, LAST_BEAT = 1.0, 5, 30  # of an event loop: asked for, missed
REAP_S = 0.5  # for the processes that were killed to be gone
ALSO_S = 0.3  # signals so close to the first are the same one: of the shell, its terminal, `make`
KEPT = 8
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Stopped(SystemExit):
    """The program was told to stop; its code is what shells expect of that signal."""


@dataclass(slots=True)
class _State:
    listens: bool = False
    kept: list[int] = field(default_factory=list)  # descriptors, for an end when none is left
    heard: int = signal.SIGTERM  # the first signal
    told: bool = False  # the main thread knows of it
    cancel: Callable[[], object] | None = None  # stops the event loop that runs
    code: int | None = None  # to end with instead of the signal's

    def code_when_told(self) -> int:
        return 128 + self.heard if self.code is None else self.code


_state = _State()
_spared: set[int] = set()  # sessions of processes that outlive this one


def listen() -> None:
    """From now on signals end this process as described above; for the main thread."""
    _state.listens = True
    _state.kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(KEPT)]
    if sys.platform.startswith("linux"):  # what Ray leaves behind becomes our child, to be ended
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    threading.Thread(target=_watch, args=(ours,), name="signals", daemon=True).start()
    for number in SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            signal.signal(number, _stop)
    # Heard even while the main thread is in native code, where no handler can run.
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)


def run(work: Coroutine[Any, Any, T], *, code: int | None = None) -> T:
    """`asyncio.run`, whose work is cancelled by a signal. Raises Stopped then.

    `code`: to exit with instead of the signal's; 0 for what runs until it is told to stop.
    """

    async def cancellable() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        _state.cancel = partial(loop.call_soon_threadsafe, task.cancel)
        threading.Thread(target=_attend, args=(loop, over), name="attend", daemon=True).start()
        return await work

    over = threading.Event()
    _state.code = code
    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not _state.told:
            raise
        raise Stopped(_state.code_when_told()) from None
    finally:
        over.set()
        _state.cancel = _state.code = None


def told() -> bool:
    """Whether a signal has said to stop."""
    return _state.told


def exit_code(otherwise: int) -> int:
    """Of a program that was told to stop, else `otherwise`."""
    return _state.code_when_told() if _state.told else otherwise


def spare(pid: int) -> None:
    """Let a process that leads a session of its own outlive this one, with what it starts."""
    _spared.add(pid)


def is_spared(pid: int) -> bool:
    """Whether a process belongs to such a session."""
    try:
        return os.getsid(pid) in _spared
    except (OSError, AttributeError):  # gone, or Windows
        return False


def end(code: int) -> NoReturn:
    """End this process now, with all that it has started and not spared.

    Raises SystemExit in a process that is not ours to end, as that of tests.
    """
    if not _state.listens:
        raise SystemExit(code)
    with contextlib.suppress(Exception):  # nobody reads any more
        sys.stdout.flush()
    _end(code)


def _stop(number: int, _: object) -> None:
    """In the main thread, between two of its steps."""
    if _state.told:
        return  # a second signal is for the watching thread
    _state.told, _state.heard = True, number
    if _state.cancel is None:
        raise Stopped(_state.code_when_told())
    _state.cancel()


def _watch(signals: socket.socket) -> None:
    """In a thread of its own: ends what the main thread does not end in time."""
    told_at = 0.0
    while True:
        try:
            signals.settimeout(told_at + PATIENCE_S - time.monotonic() if told_at else None)
            heard = [number for number in signals.recv(64) if number in SIGNALS]
        except (TimeoutError, BlockingIOError, ValueError):  # too late for the first signal
            _end(_state.code_when_told())
        for number in heard:
            if not told_at:
                told_at, _state.heard = time.monotonic(), number
            elif time.monotonic() - told_at > ALSO_S:
                _end(128 + number)


def _attend(loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
    """In a thread of its own: an event loop that stands still neither carries nor hears anything.

    Beats are counted, not seconds: a process that was stopped has missed none.
    """
    beaten, missed = threading.Event(), 0
    beaten.set()
    while not over.wait(BEAT_S):
        missed = 0 if beaten.is_set() else missed + 1
        if missed == WARN_BEATS:
            log.error("the event loop stands still, %s", _where())
        if missed >= LAST_BEAT and _state.listens:
            print(f"streamer: the event loop stands still, {_where()}", file=sys.stderr)
            _end(1)
        beaten.clear()
        with contextlib.suppress(RuntimeError):  # it has just ended
            loop.call_soon_threadsafe(beaten.set)


def _where() -> str:
    """What the main thread does, as far as this program knows."""
    stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident or 0])
    ours = [frame for frame in stack if f"{os.sep}streamer{os.sep}" in frame.filename]
    frame = (ours or stack)[-1]
    return f"in {frame.name} ({frame.filename}:{frame.lineno})"


def _end(code: int) -> NoReturn:
    """Without a word: what Ray says of its own end helps nobody."""
    try:
        for descriptor in _state.kept:
            os.close(descriptor)
        if os.isatty(2):
            os.write(2, b"\x1b[?25h")  # a progress bar hides the cursor
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        mine = [one for one in psutil.Process().children(recursive=True) if not is_spared(one.pid)]
        for child in mine:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(mine, timeout=REAP_S)
        temporary.remove_all()
    finally:
        os._exit(code)
