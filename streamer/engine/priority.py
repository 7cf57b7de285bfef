"""worker → **priority** → engines: what is compiled beside a stream gives way to its frames.

Only compilers and networks do, which need no Python. A thread of low priority that holds Python's
lock while others have the processor would hold up every frame.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

NICENESS = 3  # with 5, a busy machine takes half as long again
_here = threading.local()
T = TypeVar("T")


def give_way() -> None:
    """What this thread leaves to `aside` from now on gives way."""
    _here.low = ThreadPoolExecutor(1, "compile", initializer=_lower)


def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Networks run at the priority of the thread they run in."""
    low: Executor | None = getattr(_here, "low", None)
    try:
        future = None if low is None else low.submit(work)
    except RuntimeError:  # Python is ending
        future = None
    return work() if future is None else future.result()


def _lower() -> None:
    if sys.platform == "linux":  # where threads have one each
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
