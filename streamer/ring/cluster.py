"""ring → **cluster** → worker.

Ray, as the ring needs it: N workers as actors, on this machine or on a cluster's, restarted by
Ray when they die. Only what was started here is ever stopped.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from streamer import temporary
from streamer.engine.stylizer import Stylizer
from streamer.errors import RingError, StreamerError, StylizeError, UsageError, first_line
from streamer.frame import Frame, Style
from streamer.ring.channel import Response
from streamer.ring.worker import Worker

log = logging.getLogger(__name__)

INSECURE = "insecure:"  # before the address of a cluster that has no token, and may be joined
PROBE_S = 20.0
WATCH_S = 0.25
_OWN_TOKEN = secrets.token_hex(32)
_PROBE = """
import sys
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient
GcsClient(address=canonicalize_bootstrap_address_or_die(sys.argv[1])).internal_kv_keys(b"")
"""
_OBJECT_STORE_BYTES = 80 * 1024 * 1024  # Ray's minimum is 75 MB; on one machine frames bypass it
FILES_MIN = 256  # open at the same time, by one process
FILE_BYTES_MIN = 2 * _OBJECT_STORE_BYTES


class Cluster:
    """`workers` actors with `threads` CPUs each, or one GPU each when `gpus` is set.

    More workers than GPUs share them evenly.

    Blocking to create and to stop: minutes of Ray in a thread, not on the event loop. Raises
    RingError when Ray cannot be started or joined.
    """

    def __init__(
        self,
        load: Callable[[], Stylizer],
        warm: Style,
        *,
        workers: int,
        threads: int = 1,
        gpus: int = 0,
        address: str | None = None,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"  # it prints a stack at SIGTERM
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # the ring tells of deaths itself
        if address is None:
            # As on desktops: Ray's ports listen on loopback only.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
            _own_token()
        else:
            address = checked(address)
        import ray

        self._ray = ray
        self._home: Path | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        if address is None:
            self._start_ray(workers * threads, gpus)
        else:
            self._join_ray(address)
        actor = ray.remote(
            num_cpus=0 if gpus else threads,
            num_gpus=_share(gpus, workers),
            max_restarts=-1,
            max_concurrency=2,  # `serve` holds one for life, `stylize` needs the other
            scheduling_strategy="DEFAULT" if address is None else "SPREAD",
        )(Worker)
        self._actors: list[Any] = [actor.remote(load, warm) for _ in range(workers)]

    def __len__(self) -> int:
        return len(self._actors)

    async def serve(self, index: int, address: str) -> bool:
        """Worker `index` serves the ring at `address`: returns when it hung up or cannot.

        False: it runs on another machine, use `stylize`. Raises ConnectionError when its process
        died (call again: the next one is on its way) and RingError when there will be no next.
        """
        try:
            return bool(await self._actors[index].serve.remote(address, index))
        except self._ray.exceptions.ActorDiedError as error:
            await asyncio.sleep(2 * WATCH_S)  # `ended` may know better why
            raise RingError(f"worker {index} cannot start: {_cause(error)}") from error
        except self._ray.exceptions.RayActorError as error:
            raise ConnectionError(str(error)) from error

    async def stylize(self, index: int, frame: Frame) -> Response:
        """Stylize a frame by a plain call, planes through Ray's object store.

        Raises ConnectionError when the worker died, StylizeError when what was asked is at fault,
        RuntimeError when the worker is.
        """
        try:
            response = await self._actors[index].stylize.remote(frame)
        except self._ray.exceptions.RayActorError as error:
            raise ConnectionError(str(error)) from error
        except self._ray.exceptions.RayTaskError as error:
            asked_wrongly = isinstance(error.cause, StreamerError)
            raise (StylizeError if asked_wrongly else RuntimeError)(_cause(error)) from error
        assert isinstance(response, Response)
        return response

    async def ended(self) -> str:
        """What ended Ray, once that happens: no worker is started again then."""
        while (what := self._what_ended()) is None:  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(WATCH_S)
        return what

    def _what_ended(self) -> str | None:
        """The first of Ray's own processes that is gone, if we started them."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
                return f"Ray is gone: its {name} {how}"
        return None

    def restart(self, index: int) -> None:
        """End a worker that does not answer; Ray starts another in its place."""
        self._ray.kill(self._actors[index], no_restart=False)

    def stop(self) -> None:
        """End our workers, and Ray itself if we started it."""
        if self._what_ended() is None:
            for actor in self._actors:
                with contextlib.suppress(Exception):  # it may be gone already
                    self._ray.kill(actor)
            self._ray.shutdown()
        else:  # `shutdown` would wait for it
            for one in self._processes.values():
                with contextlib.suppress(psutil.Error):
                    for child in (*psutil.Process(one.pid).children(recursive=True), one):
                        child.kill()
        self._actors.clear()
        if self._home is not None:
            temporary.remove(self._home)

    def _start_ray(self, cpus: int, gpus: int) -> None:
        check_limits()
        # In it, since Ray opens its own folder to everybody.
        self._home = temporary.new_folder("ray", sockets=True)
        if self._ray.is_initialized():  # one that is gone
            self._ray.shutdown()
        try:
            with _no_idle_helpers():
                self._ray.init(
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
        node = self._ray._private.worker._global_node
        self._processes = {name: one[0].process for name, one in node.all_processes.items()}

    def _join_ray(self, address: str) -> None:
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise RingError(
                f"no Ray cluster at {address}: {first_line(error)}"
                " (start one with `ray start --head`; its token must be in ~/.ray/auth_token"
                " or RAY_AUTH_TOKEN; docs/cluster.md has every step)"
            ) from error


def _share(gpus: int, workers: int) -> float:
    """Of a GPU, for each worker, so that those on the fullest GPU just fit.

    Rounded down, to what Ray counts in: workers whose sum is too large would never start.
    """
    return min(1.0, int(10_000 / -(-workers // gpus)) / 10_000) if gpus else 0


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


def _own_token() -> None:
    """A Ray of our own gets a token that is in no file, whatever is set for other clusters.

    Ray reads these variables once, when it is imported: all Rays of a process have one token.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _OWN_TOKEN
    os.environ.pop("RAY_AUTH_TOKEN_PATH", None)


def checked(address: str) -> str:
    """The address of a cluster that may be joined, without `insecure:` before it.

    Whoever reaches a cluster without token authentication can run programs on all its machines.
    So a wrong token is tried first: raises UsageError for a cluster that takes it, unless the
    address says `insecure:`.
    """
    insecure, plain = address.startswith(INSECURE), address.removeprefix(INSECURE)
    saved = Path.home() / ".ray" / "auth_token"
    known = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or saved.exists()
    if known:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if insecure:
        log.warning("x the Ray cluster %s is joined, whether it has a token or not", plain)
    elif takes_any_token(plain):
        raise UsageError(
            f"the Ray cluster {plain} has no token, so everybody who reaches it can run programs "
            f"there; see docs/cluster.md, or use --ray-address {INSECURE}{plain}"
        )
    return plain


def takes_any_token(address: str) -> bool:
    """Whether the cluster answers a program whose token is wrong; in a process of its own."""
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**os.environ, **wrong}
    environment.pop("RAY_AUTH_TOKEN_PATH", None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            env=environment,
            capture_output=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:  # nobody answers; joining says so in its own words
        return False
    return done.returncode == 0


def _cause(error: BaseException) -> str:
    """The line that says what went wrong: the last of a remote traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
