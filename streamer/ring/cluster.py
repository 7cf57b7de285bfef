"""ring → **cluster** → worker.

Ray, as the ring needs it: N workers as actors, on this machine or on a cluster's, restarted by
Ray when they die. Only what was started here is ever stopped.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from streamer import __version__
from streamer.engine.stylizer import Stylizer
from streamer.errors import RingError, StreamerError, StylizeError, first_line
from streamer.frame import Frame, Style
from streamer.ring import own_ray
from streamer.ring.channel import Response
from streamer.ring.joining import checked
from streamer.ring.own_ray import OwnRay
from streamer.ring.sent_files import SentFiles, read_all
from streamer.ring.worker import About, Worker

WATCH_S = 0.25
CALLS = 8  # at a time to a worker: `serve` holds one for life, for each ring
NAMESPACE = "streamer"  # of the workers' names
_OUR_ERROR = re.compile(r"^streamer\.errors\.\w+: ")  # for people, its text says it all
KEPT = b"streamer"  # the namespace of files that a cluster keeps for us


Make = Callable[["Workers"], Coroutine[Any, Any, Any]]


class Workers:
    """The worker processes, by name. `shared`: slots of each, when it serves several rings."""

    def __init__(self, names: list[str], shared: int = 0) -> None:
        import ray

        self._ray = ray
        self._names = names
        self._actors: list[Any] = [ray.get_actor(name, namespace=NAMESPACE) for name in names]
        self._shared = shared

    def __len__(self) -> int:
        return len(self._actors)

    async def about(self, index: int) -> About:
        """What worker `index` runs on, once it is loaded and warm; raises as `serve` does."""
        async with self._gone(index):
            about = await self._actors[index].about.remote()
        assert isinstance(about, About)
        return about

    async def serve(self, index: int, address: str) -> bool:
        """Worker `index` serves the ring at `address`: returns when it hung up or cannot.

        False: it runs on another machine, use `stylize`. Raises ConnectionError when its process
        died (call again: the next one is on its way) and RingError when there will be no next.
        """
        async with self._gone(index):
            return bool(await self._actors[index].serve.remote(address, index, self._shared))

    @contextlib.asynccontextmanager
    async def _gone(self, index: int) -> AsyncIterator[None]:
        try:
            yield
        except self._ray.exceptions.ActorDiedError as error:
            if not error.actor_init_failed:  # its machine is gone, and Ray looks for another
                raise ConnectionError(_cause(error)) from error
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

    def shortage(self) -> str | None:
        """See Cluster."""
        return None

    async def ended(self) -> str:
        """See Cluster; who did not start Ray does not know."""
        await asyncio.Event().wait()
        raise AssertionError

    def restart(self, index: int) -> None:
        """End a worker that does not answer; Ray starts another in its place."""
        self._ray.kill(self._actors[index], no_restart=False)

    def stop(self) -> None:
        """They are not ours."""

    def start_processes(self, count: int, make: Make) -> "list[Process]":
        """Processes that use the same workers, spread over the machines. Blocking.

        In each one `make` makes what answers its calls. It is made again when the process died.
        """
        actor = self._ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy="SPREAD")(
            PeerActor
        )
        return [Process(actor.remote(make, self._names, self._shared)) for _ in range(count)]


class Process:
    """A process somewhere in the cluster, and what was made in it."""

    def __init__(self, actor: Any) -> None:
        import ray

        self._ray = ray
        self._actor = actor

    async def call(self, method: str, *arguments: object) -> Any:
        """What the method returns or raises; ConnectionError when the process is gone."""
        try:
            return await self._actor.call.remote(method, *arguments)
        except self._ray.exceptions.RayActorError as error:
            raise ConnectionError(first_line(error)) from error
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, StreamerError):
                raise error.cause from None
            raise RuntimeError(_cause(error)) from error

    def kill(self) -> None:
        """End it, for good."""
        with contextlib.suppress(Exception):  # Ray may be gone already
            self._ray.kill(self._actor)


class PeerActor:
    """What runs in such a process: an actor with an event loop."""

    def __init__(self, make: Make, names: list[str], shared: int) -> None:
        self._make, self._workers = make, Workers(names, shared)
        self._made: asyncio.Future[Any] | None = None

    async def call(self, method: str, *arguments: object) -> Any:
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.ensure_future(self._make(self._workers))
        return await getattr(await asyncio.shield(self._made), method)(*arguments)


class Cluster(Workers):
    """`workers` actors with `threads` CPUs each, or one GPU each when `gpus` is set.

    More workers than GPUs share them evenly. `load` makes a worker's stylizer. With `files` it is
    called with a function that says where each of them is on that worker's machine: they travel
    there when their like is not there yet.

    Blocking to create and to stop: minutes of Ray in a thread, not on the event loop. Raises
    RingError when Ray cannot be started or joined.
    """

    def __init__(
        self,
        load: Callable[..., Stylizer],
        warm: Style,
        *,
        workers: int,
        threads: int = 1,
        gpus: int = 0,
        address: str | None = None,
        files: Iterable[Path] = (),
        shared: int = 0,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"  # it prints a stack at SIGTERM
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # the ring tells of deaths itself
        if address is None:
            own_ray.isolate()
        else:
            address = checked(address, alive=True)
        super().__init__([], shared)
        self._own: OwnRay | None = None
        if address is None:
            self._own = OwnRay(workers * threads, gpus)
        else:
            self._join_ray(address)
        self._needs = {"GPU": _share(gpus, workers)} if gpus else {"CPU": float(threads)}
        actor = self._ray.remote(
            num_cpus=0 if gpus else threads,
            num_gpus=_share(gpus, workers),
            max_restarts=-1,
            max_concurrency=CALLS,
            scheduling_strategy="DEFAULT" if address is None else "SPREAD",
        )(WorkerActor)
        run = secrets.token_hex(8)
        self._run = run.encode()
        sent = {path: self._send(data) for path, data in read_all(files)}
        self._names = [f"streamer-{run}-{index}" for index in range(workers)]
        self._actors = [
            actor.options(name=name, namespace=NAMESPACE).remote(load, warm, sent, __version__)
            for name in self._names
        ]

    def _send(self, data: bytes) -> tuple[str, bytes]:
        """Keep a file with the head, for workers on any node; its SHA-256 and its key.

        Not in the object store: a worker that is restarted must find it, too.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        key = self._run + sha256.encode()
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(key, data, namespace=KEPT)
        return sha256, key

    def shortage(self) -> str | None:
        """Why workers wait for a place in the cluster; None when there is a free one. Blocking."""
        if self._own is not None:  # it has as many places as there are workers
            return None
        total, free = self._ray.cluster_resources(), self._ray.available_resources()
        for kind, needed in self._needs.items():
            if free.get(kind, 0.0) < needed:
                return (
                    f"the cluster has no free {kind}: {total.get(kind, 0.0):g} in all, "
                    f"{free.get(kind, 0.0):g} free, and a worker needs {needed:g}"
                )
        return None

    async def ended(self) -> str:
        """What ended Ray, once that happens: no worker is started again then."""
        if self._own is None:
            return await super().ended()
        while (what := self._own.ended()) is None:  # noqa: ASYNC110 - processes set no event
            await asyncio.sleep(WATCH_S)
        return f"Ray is gone: {what}"

    def stop(self) -> None:
        """End our workers, and Ray itself if we started it."""
        if self._own is None or self._own.ended() is None:
            for actor in self._actors:
                with contextlib.suppress(Exception):  # it may be gone already
                    self._ray.kill(actor)
            with contextlib.suppress(Exception):
                from ray.experimental.internal_kv import _internal_kv_del

                _internal_kv_del(self._run, del_by_prefix=True, namespace=KEPT)
        self._actors.clear()
        if self._own is None:
            self._ray.shutdown()
        else:
            self._own.stop()

    def _join_ray(self, address: str) -> None:
        try:
            with own_ray.unnamed():
                self._ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise RingError(
                f"no Ray cluster at {address}: {first_line(error)} (this machine must be a node of "
                "it: `streamer node join`; docs/cluster.md has every step)"
            ) from error


class WorkerActor(Worker):
    """A worker where Ray has placed it."""

    def __init__(
        self,
        load: Callable[..., Stylizer],
        warm: Style,
        files: Mapping[Path, tuple[str, bytes]],
        version: str,
    ) -> None:
        if version != __version__:
            raise RingError(
                f"{socket.gethostname()} has streamer {__version__}, the server {version}"
            )
        super().__init__(partial(load, SentFiles(files, _fetch)) if files else load, warm)

    def about(self) -> About:
        """What this worker runs on."""
        import ray

        return replace(super().about(), address=ray.util.get_node_ip_address())


def _fetch(key: bytes) -> bytes | None:
    from ray.experimental.internal_kv import _internal_kv_get

    data: bytes | None = _internal_kv_get(key, namespace=KEPT)
    return data


def _share(gpus: int, workers: int) -> float:
    """Of a GPU, for each worker, so that those on the fullest GPU just fit.

    Rounded down, to what Ray counts in: workers whose sum is too large would never start.
    """
    return min(1.0, int(10_000 / -(-workers // gpus)) / 10_000) if gpus else 0


def _cause(error: BaseException) -> str:
    """The line that says what went wrong: the last of a remote traceback, in our words if any."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _OUR_ERROR.sub("", lines[-1]) if lines else type(error).__name__
