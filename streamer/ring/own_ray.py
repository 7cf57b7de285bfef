"""cluster → **own ray**: a Ray for one command: on loopback, behind a token, ended with it."""

import contextlib
import os
import secrets
from collections.abc import Iterator

import psutil

from streamer import temporary
from streamer.errors import RingError

_OWN_TOKEN = secrets.token_hex(32)
_OBJECT_STORE_BYTES = 80 * 1024 * 1024  # Ray's minimum is 75 MB; on one machine frames bypass it
# Added to that of this program. Ray's own is 15: whatever else the machine does, a browser or OBS,
# would leave us 3 % of it.
NICENESS = {"RAY_worker_niceness": "0"}
FILES_MIN = 256  # open at the same time, by one process
FILE_BYTES_MIN = 2 * _OBJECT_STORE_BYTES


def isolate() -> None:
    """Before Ray is imported: it listens on loopback only, and wants a token that is in no file.

    Whatever is set for other clusters. Ray reads these variables once: all Rays of a process have
    one token.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # loopback, as on desktops
    os.environ.update(NICENESS)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _OWN_TOKEN
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)


class OwnRay:
    """A Ray with so many CPUs and GPUs. Raises RingError when it does not start."""

    def __init__(self, cpus: int, gpus: int) -> None:
        import ray

        check_limits()
        # In it, since Ray opens its own folder to everybody.
        self._home = temporary.new_folder("ray", sockets=True)
        self._ray = ray
        if ray.is_initialized():  # one that is gone
            ray.shutdown()
        try:
            with unnamed(), _no_idle_helpers():
                ray.init(
                    address="local",  # never whatever cluster happens to run here
                    num_cpus=cpus,
                    num_gpus=gpus,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=f"{self._home}/r",
                )
        except Exception as error:  # Ray raises whatever comes to hand
            temporary.remove(self._home)
            raise RingError(f"Ray does not start: {error}") from error
        node = ray._private.worker._global_node
        self._processes = {name: one[0].process for name, one in node.all_processes.items()}

    def ended(self) -> str | None:
        """The first of Ray's processes that is gone, and how it ended."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
                return f"its {name} {how}"
        return None

    def stop(self) -> None:
        """End all of it, and leave nothing."""
        if self.ended() is None:
            self._ray.shutdown()
        else:  # `shutdown` would wait for what is gone
            for one in self._processes.values():
                with contextlib.suppress(psutil.Error):
                    for child in (*psutil.Process(one.pid).children(recursive=True), one):
                        child.kill()
        temporary.remove(self._home)


def check_limits() -> None:
    """Ray waits half a minute for parts of it that such a limit has ended.

    Raises RingError with the name of the limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    files, sizes = resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE
    soft, hard = resource.getrlimit(files)
    if 0 <= soft < FILES_MIN and (hard < 0 or hard >= FILES_MIN):
        resource.setrlimit(files, (FILES_MIN, hard))
    elif 0 <= soft < FILES_MIN:
        raise RingError(f"only {soft} files may be open (ulimit -n): Ray needs {FILES_MIN}")
    size = resource.getrlimit(sizes)[0]
    if 0 <= size < FILE_BYTES_MIN:
        raise RingError(
            f"files may have {size / 1e6:.0f} MB at most (ulimit -f): Ray needs "
            f"{FILE_BYTES_MIN / 1e6:.0f} MB"
        )


@contextlib.contextmanager
def unnamed() -> Iterator[None]:
    """Inside, Ray does not learn the command line, which it shows to everyone in a cluster.

    Names of films are in it, which need not be UTF-8 (then Ray would not start), and tokens.
    """
    from ray._private import utils

    kept, utils.get_entrypoint_name = utils.get_entrypoint_name, lambda: "streamer"
    try:
        yield
    finally:
        utils.get_entrypoint_name = kept


@contextlib.contextmanager
def _no_idle_helpers() -> Iterator[None]:
    """Inside, Ray starts no autoscaler, dashboard and log collector.

    One machine has no use for their 160 MB, and the dashboard asks clouds which of them this
    machine is in, by name and by address. Ray has no option to leave them out (2.60).
    """
    from ray._private.node import Node

    idle = ("start_monitor", "start_api_server", "start_log_monitor")
    with contextlib.ExitStack() as stack:
        for name in idle:
            if hasattr(Node, name):
                stack.callback(setattr, Node, name, getattr(Node, name))
                setattr(Node, name, lambda *args, **options: None)
        yield
