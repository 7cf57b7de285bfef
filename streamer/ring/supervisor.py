"""ring ↔ **supervisor** ↔ cluster: starts and connects workers, replaces those that die or hang.

Every task of a ring is owned here: one that breaks ends the ring with its reason.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from streamer import temporary
from streamer.errors import RingError
from streamer.ring.channel import HELLO_S, RingEnd
from streamer.ring.worker_handle import Make, Owner, Process, WorkerHandle, Workers

log = logging.getLogger(__name__)

START_S = 120.0  # for all workers to be up
RETRY_S = 0.05  # Ray refuses at once while it restarts a worker
MAX_RETRY_S = 5.0
STABLE_S = 10.0  # a worker that dies sooner is started again ever more slowly
SHORTAGE_S = 2.0  # between looks at why workers have no place yet
MAX_KILLS = 3  # of a worker that hangs; then it is given up


class Supervisor:
    """`quorum` workers must be up to begin with (None: all)."""

    def __init__(
        self,
        start: Callable[[], Workers],
        ring: Owner,
        depth: int,
        quorum: int | None,
        shared: bool = False,
    ) -> None:
        self.handles: list[WorkerHandle] = []
        self.shortage: str | None = None  # why some workers have no place yet
        self._start, self._ring, self._depth, self._quorum = start, ring, depth, quorum
        self._shared = shared
        self._tasks: set[asyncio.Task[None]] = set()
        self._home = Path()
        self._listener: socket.socket | None = None
        self._workers: Workers | None = None
        # One thread for all the time: Linux kills what Ray started with the thread that did.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ring-workers")

    async def start(self) -> None:
        """Until enough workers are up. Raises RingError, and whatever `start` raises."""
        self._home = temporary.new_folder("ring", sockets=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._home / "ring"))
        self._listener.listen()
        self._listener.setblocking(False)
        self._workers = await self._start_workers()
        self.handles += [
            WorkerHandle(index, self._depth, self._workers, self._ring, self._shared)
            for index in range(len(self._workers))
        ]
        self.own(self._watch(self._workers), "watching Ray")
        self.own(self._accept(self._listener), "accepting workers")
        self.own(self._watch_shortage(self._workers), "watch for free places")
        for index, handle in enumerate(self.handles):
            self.own(self._tend(index, handle, self._workers), f"supervision of worker {index}")
        await self._until_up()

    async def stop(self) -> None:
        """End every task and worker, from whatever state."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for handle in self.handles:
            handle.disconnect()
        if self._listener is not None:
            self._listener.close()
            temporary.remove(self._home)
        if self._workers is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._workers.stop)
        self._thread.shutdown(wait=False)

    async def start_processes(self, count: int, make: Make) -> Sequence[Process]:
        """In the thread that started the workers."""
        assert self._workers is not None
        start = self._workers.start_processes
        return await asyncio.get_running_loop().run_in_executor(self._thread, start, count, make)

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run a task of this ring."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s broke", name, exc_info=error)
                self._ring.fail(RingError(f"{name} broke: {error!r}"))

        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(ended)

    def end(self, handle: WorkerHandle) -> None:
        """Have a worker's process replaced by another; what it holds goes to others."""
        handle.disconnect()
        self.own(self._kill(handle), f"end of worker {handle.index}")

    async def _start_workers(self) -> Workers:
        """A thread cannot be cancelled: what nobody waits for any more is stopped there."""
        starting = self._thread.submit(self._start)
        try:
            return await asyncio.shield(asyncio.wrap_future(starting))
        except asyncio.CancelledError:
            starting.add_done_callback(_stop)
            raise

    async def _until_up(self) -> None:
        try:
            async with asyncio.timeout(START_S):
                while self._ring.failure is None and self._up() < self._enough():
                    await self._ring.wait_changed()
        except TimeoutError:
            raise RingError(
                f"{self._up()} of {len(self.handles)} workers came up within {START_S:.0f} s"
                f": {self.shortage or 'they are still loading'}. Fewer --workers need less"
            ) from None
        if self._ring.failure is not None:
            raise self._ring.failure

    async def _watch_shortage(self, workers: Workers) -> None:
        """Say it when there is no room in the cluster for a worker."""
        while True:
            await asyncio.sleep(SHORTAGE_S)
            reason = None
            if any(one.about is None and one.failure is None for one in self.handles):
                reason = await asyncio.to_thread(workers.shortage)
            if reason is not None and self.shortage is None:
                log.warning("workers wait: %s", reason)
            self.shortage = reason

    def _up(self) -> int:
        return sum(handle.up.is_set() for handle in self.handles)

    def _enough(self) -> int:
        hopeful = sum(handle.failure is None for handle in self.handles)
        return hopeful if self._quorum is None else min(self._quorum, hopeful)

    async def _accept(self, listener: socket.socket) -> None:
        """Workers connect when they are warm, and again after a restart."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, say; they may come back
                log.warning("a worker cannot connect: %s", error)
                await asyncio.sleep(MAX_RETRY_S / 10)
                continue
            try:  # in a thread: it reads who connects
                async with asyncio.timeout(2 * HELLO_S):
                    channel = await asyncio.to_thread(RingEnd, accepted, self._depth)
                self.handles[channel.index].plug_in(channel)
            except Exception as error:  # it died meanwhile, or is not a worker of ours
                log.warning("a connection that is not a worker's: %r", error)
            finally:
                accepted.close()  # unless it was taken over; also when the ring ends meanwhile

    async def _watch(self, workers: Workers) -> None:
        """Without what starts workers, the ring fails."""
        self._ring.fail(RingError(await workers.ended()))

    async def _tend(self, index: int, handle: WorkerHandle, workers: Workers) -> None:
        """Have a worker serve the ring, again after every death, until it is given up."""
        retry_s = RETRY_S
        while handle.failure is None:
            began_at = time.monotonic()
            try:
                handle.about = await workers.about(index)
                if not await workers.serve(index, str(self._home / "ring")):
                    await handle.serve_by_calls()
            except RingError as error:
                self._give_up(handle, str(error))
                return
            except ConnectionError:
                pass
            except Exception as error:  # of Ray itself
                log.warning("worker %d cannot be reached: %s", index, error)
            if handle.was_up():
                lived_s = time.monotonic() - began_at
                retry_s = RETRY_S if lived_s > STABLE_S else min(2 * retry_s, MAX_RETRY_S)
                log.warning("worker %d died after %.1f s and is restarted", index, lived_s)
            handle.disconnect()
            handle.about = None
            await asyncio.sleep(retry_s)

    async def _kill(self, handle: WorkerHandle) -> None:
        assert self._workers is not None
        for _ in range(MAX_KILLS):
            try:  # in a thread: Ray waits for an answer
                await asyncio.to_thread(self._workers.restart, handle.index)
            except Exception as error:
                log.warning("worker %d cannot be ended: %s", handle.index, error)
            try:
                async with asyncio.timeout(self._ring.patience.hung_s):
                    await handle.up.wait()
                return
            except TimeoutError:
                continue
        self._give_up(handle, f"worker {handle.index} hangs and cannot be ended")

    def _give_up(self, handle: WorkerHandle, reason: str) -> None:
        """The others go on without it; without any the ring fails."""
        handle.failure = reason
        handle.disconnect()
        if left := sum(one.failure is None for one in self.handles):
            log.error("%s; %d workers are left", reason, left)
        else:
            self._ring.fail(RingError(self.handles[0].failure))
        self._ring.share_out()


def _stop(started: Future[Workers]) -> None:
    if started.exception() is None:
        started.result().stop()
