"""server → **placement** → place, in other processes: the front door, which carries no media.

Every process looks after the streams whose packets come to it. New streams go where most room is,
viewers where their publisher is. One that dies ends only its own streams, and is started again.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from streamer import temporary
from streamer.errors import NotLiveError, RingError, ServerFullError
from streamer.live.place import Answer, Report, Settings, open_place
from streamer.live.placing import Load, Rate, choose, full
from streamer.pipeline.change import Change
from streamer.ring.ring import Ring
from streamer.ring.worker_handle import Process

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between reports
RETRY_S = 0.1  # between looks at a process that is being started
END_S = 3.0  # for a process to end its streams
ANSWER_S = 20.0  # a process that takes longer is as good as dead


@dataclass(eq=False)
class _Host:
    """One process, as the front door knows it."""

    index: int
    process: Process
    address: str  # of a socket that it holds on to while it lives
    run: str = ""  # another one after every death, "" while it is down
    report: Report | None = None
    cpu: float = 0.0  # cores, over the last look
    reported_at: float = 0.0
    ids: dict[str, str] = field(default_factory=dict)  # of publishers, with their streams' names
    fresh: set[str] = field(default_factory=set)  # of these, newer than the report
    deaths: int = 0

    @property
    def load(self) -> Load:
        cores = 1 if self.report is None else self.report.cores
        old = len(self.ids) - len(self.fresh)
        return Load(bool(self.run), self.cpu, old, len(self.fresh), cores)


class Placement:
    """Publishers and pictures of all processes; `viewers` has the viewers. Use as `async with`.

    Statistics are those of the last report, half a second old at most.
    """

    def __init__(self, ring: Ring, count: int, settings: Settings) -> None:
        self._ring, self._count, self._settings = ring, count, settings
        self._hosts: list[_Host] = []
        self._home: Path | None = None
        self._servers: list[asyncio.Server] = []
        self._holding: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._ended = False
        self._answering = 0
        self.viewers = _Viewers(self)

    async def start(self) -> None:
        """Until the first process is up. Raises RingError."""
        self._ring.ready = False  # whoever publishes now would find no place
        make = partial(open_place, self._settings)
        self._home = temporary.new_folder("live", sockets=True)
        for process in await self._ring.start_processes(self._count, make):
            index = len(self._hosts)
            host = _Host(index, process, str(self._home / str(index)))
            self._hosts.append(host)
            held = partial(self._held, host)
            self._servers.append(await asyncio.start_unix_server(held, host.address))
            self._ring.own(self._watch(host), f"watch over process {index}")
        while not any(host.run for host in self._hosts):
            if self._ring.failure is not None:
                raise self._ring.failure
            await asyncio.sleep(RETRY_S)
        self._ring.ready = True

    async def aclose(self) -> None:
        """End all streams, and the processes."""
        self._ended = True
        await asyncio.gather(*(self._end(host) for host in self._hosts))
        for server in self._servers:
            server.close()
        for writer in self._holding.values():
            writer.close()
        await asyncio.gather(*self._holding, return_exceptions=True)
        if self._home is not None:
            temporary.remove(self._home)

    async def _end(self, host: _Host) -> None:
        with contextlib.suppress(Exception):  # then it is only killed
            async with asyncio.timeout(END_S):
                if host.run:
                    await host.process.call("aclose")
        host.process.kill()

    # --- publishers ------------------------------------------------------------------------

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> Answer:
        """Start a session where most room is, or where this name is live already.

        Raises ServerFullError, UsageError for an offer that cannot be answered, MediaError when no
        UDP port is free, and RingError while no process is up.
        """
        while (host := await self._host_for(name)) is not None:
            self._check_room()
            self._answering += 1
            try:
                answer: Answer = await self._call(host, "publish", name, offer_sdp, owner)
            except NotLiveError:  # it has just died: another one takes the stream
                continue
            finally:
                self._answering -= 1
            host.ids[answer.id] = name
            host.fresh.add(answer.id)
            return Answer(f"{host.run}.{answer.id}", answer.answer_sdp)
        raise ServerFullError("the processes for streams are being started; try again")

    def has(self, id_: str) -> bool:
        """Whether a session, or the process of a viewer, is still there."""
        run, _, inner = id_.partition(".")
        return any(run and host.run == run for host in self._hosts) and bool(inner)

    async def trickle(self, session_id: str, fragment: str) -> bool | None:
        """More ICE candidates; None: there is no such session."""
        taken: bool | None = await self._to(session_id, "trickle", None, True, fragment)
        return taken

    async def close(self, session_id: str) -> bool:
        """End a session; False when there is none of that id."""
        ended = bool(await self._to(session_id, "close", False, True))
        for host in self._hosts:
            if ended and host.run and host.run == session_id.partition(".")[0]:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await self._look(host)  # so that it is in no statistics any more
        return ended

    async def end_of(self, owner: str, publishes: bool = True) -> None:
        """End what was opened by one whose token was revoked. Raises RingError: try again."""

        async def end(host: _Host) -> None:
            with contextlib.suppress(NotLiveError):  # it died, and all of it is ended
                await self._call(host, "end_of", publishes, owner)

        await asyncio.gather(*(end(host) for host in self._hosts if host.run))

    async def change(self, name: str, wanted: Change) -> dict[str, object]:
        """Change a stream; its statistics. Raises NotLiveError, UnknownStyleError, UsageError."""
        found: dict[str, object] = await self._at(name, "change", name, wanted)
        return found

    def active(self) -> dict[str, dict[str, object]]:
        """The statistics of every stream that can be watched, by name."""
        return {name: one for report in self._reports() for name, one in report.active.items()}

    def stats(self) -> dict[str, dict[str, object]]:
        """The statistics of every session, by id, with the index of its process."""
        return {
            f"{host.run}.{id_}": {**one, "process": index}
            for index, host in enumerate(self._hosts)
            if host.report is not None
            for id_, one in host.report.streams.items()
        }

    def processes(self) -> list[dict[str, object]]:
        """What `/stats` shows of each process."""
        return [
            {
                "up": bool(host.run),
                "pid": None if host.report is None else host.report.pid,
                "cpu": round(host.cpu, 2),
                "cpu_s": 0.0 if host.report is None else round(host.report.cpu_s, 2),
                "streams": len(host.ids),
                "deaths": host.deaths,
            }
            for host in self._hosts
        ]

    # --- pictures --------------------------------------------------------------------------

    async def newest(self, name: str) -> bytes:
        """The newest frame as JPEG. Raises NotLiveError."""
        found: bytes = await self._at(name, "newest", name)
        return found

    async def each(self, name: str) -> AsyncIterator[bytes]:
        """One JPEG after the other, see `Pictures.each`."""
        reader = secrets.token_hex(8)
        try:
            while (jpeg := await self._at(name, "next_picture", name, reader)) is not None:
                yield jpeg
        except NotLiveError:
            return
        finally:
            if (host := self._host_of(name)) is not None:
                await self._call(host, "end_pictures", reader)

    # --- the processes ---------------------------------------------------------------------

    async def watch(self, name: str, offer_sdp: str, owner: str) -> Answer:
        """See `Viewers.answer`."""
        if (host := self._host_of(name)) is None:
            raise NotLiveError(name)
        limit = self._settings.max_viewers
        if sum(sum(report.watching.values()) for report in self._reports()) >= limit:
            raise ServerFullError(f"all {limit} viewers' places are taken; try later")
        answer: Answer = await self._call(host, "watch", name, offer_sdp, owner)
        return Answer(f"{host.run}.{answer.id}", answer.answer_sdp)

    def reports(self) -> Sequence[Report]:
        """The newest one of every process that is up."""
        return self._reports()

    async def to_viewer(self, method: str, id_: str, *arguments: object) -> Any:
        """Call a viewer's process; None when it is gone."""
        return await self._to(id_, method, None, False, *arguments)

    def _reports(self) -> list[Report]:
        return [host.report for host in self._hosts if host.run and host.report is not None]

    def _host_of(self, name: str) -> _Host | None:
        """The process that publishes this name, else one that has viewers waiting for it."""
        for host in self._hosts:
            if host.run and name in host.ids.values():
                return host
        for host in self._hosts:
            if host.run and host.report is not None and host.report.watching.get(name):
                return host
        return None

    async def _host_for(self, name: str) -> _Host | None:
        """The process that shall take a new publisher of this name; None when none is up."""
        if (host := self._host_of(name)) is not None:
            with contextlib.suppress(NotLiveError, ConnectionError):
                await self._call(host, "end_silent", name)
                await self._look(host)
                return host
        index = choose([one.load for one in self._hosts])
        return None if index is None else self._hosts[index]

    def _check_room(self) -> None:
        live = sum(len(host.ids) for host in self._hosts) + self._answering
        if live >= self._settings.max_peers:
            limit = self._settings.max_peers
            raise ServerFullError(f"all {limit} streams are in use; try again later")
        streams = [one for report in self._reports() for one in report.streams.values()]
        if reason := full([_rate(one) for one in streams]):
            raise ServerFullError(reason)

    async def _at(self, name: str, method: str, *arguments: object) -> Any:
        if (host := self._host_of(name)) is None:
            raise NotLiveError(name)
        return await self._call(host, method, *arguments)

    async def _to(
        self, id_: str, method: str, otherwise: object, publishes: bool, *arguments: object
    ) -> Any:
        run, _, inner = id_.partition(".")
        for host in self._hosts:
            if run and host.run == run:
                try:
                    return await self._call(host, method, publishes, inner, *arguments)
                except NotLiveError:
                    return otherwise
        return otherwise

    async def _call(self, host: _Host, method: str, *arguments: object) -> Any:
        """Raises NotLiveError when the process died meanwhile."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await host.process.call(method, *arguments)
        except ConnectionError:
            self._down(host)
            raise NotLiveError(str(arguments[0])) from None
        except TimeoutError:
            raise RingError(
                f"process {host.index}, which has this stream, does not answer"
            ) from None

    async def _held(
        self, host: _Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until the process is gone: its socket closes at once, Ray takes seconds to notice."""
        run, task = host.run, asyncio.current_task()
        assert task is not None
        self._holding[task] = writer
        task.add_done_callback(self._holding.pop)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        if host.run == run:
            self._down(host)

    async def _watch(self, host: _Host) -> None:
        """Ask it for reports, again after every death."""
        while not self._ended:
            try:
                await self._look(host)
            except ConnectionError:
                self._down(host)
                await asyncio.sleep(RETRY_S)
            except TimeoutError:
                log.warning("x process %d does not answer within %.0f s", host.index, ANSWER_S)
            except Exception as error:  # it cannot begin, or cannot say what it does
                log.error("x process %d: %s", host.index, error)
                await asyncio.sleep(ANSWER_S / 10)
            else:
                await asyncio.sleep(LOOK_S)

    async def _look(self, host: _Host) -> None:
        fresh, host.fresh = host.fresh, set()
        try:
            async with asyncio.timeout(ANSWER_S):
                report: Report = await host.process.call("report")
        except BaseException:
            host.fresh |= fresh
            raise
        now = time.monotonic()
        if not host.run:
            host.run, host.cpu = secrets.token_hex(6), 0.0
            await host.process.call("hold", host.address)
        elif host.report is not None and now > host.reported_at:
            host.cpu = (report.cpu_s - host.report.cpu_s) / (now - host.reported_at)
        host.report, host.reported_at = report, now
        names = {id_: str(one["name"]) for id_, one in report.streams.items()}
        host.ids = names | {id_: host.ids[id_] for id_ in host.fresh if id_ in host.ids}
        for level, line in report.log:
            log.log(level, "%s", line)

    def _down(self, host: _Host) -> None:
        if host.run and not self._ended:
            host.deaths += 1
            with_it = len(host.ids)
            streams = f"{with_it} stream{'s' * (with_it != 1)}"
            log.warning("x process %d died, and %s with it", host.index, streams)
        host.run, host.report = "", None
        host.ids.clear()
        host.fresh.clear()


class _Viewers:
    """The viewers of all processes, as WHEP and statistics see them."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> Answer:
        """See `streamer.live.viewers.Viewers.answer`."""
        return await self._placement.watch(name, offer_sdp, owner)

    def has(self, viewer_id: str) -> bool:
        """See Placement."""
        return self._placement.has(viewer_id)

    async def trickle(self, viewer_id: str, fragment: str) -> bool | None:
        """More ICE candidates; None: there is no such viewer."""
        taken: bool | None = await self._placement.to_viewer("trickle", viewer_id, fragment)
        return taken

    async def close(self, viewer_id: str) -> bool:
        """End a viewer's connection; False when there is none of that id."""
        return bool(await self._placement.to_viewer("close", viewer_id))

    async def end_of(self, owner: str) -> None:
        """End the viewers of one whose token was revoked."""
        await self._placement.end_of(owner, publishes=False)

    def count(self, name: str) -> int:
        """Viewers of a stream."""
        return sum(report.watching.get(name, 0) for report in self._placement.reports())

    def stats(self) -> dict[str, dict[str, object]]:
        """By stream and codec: the statistics of the encoder and its viewers."""
        reports = self._placement.reports()
        return {name: one for report in reports for name, one in report.viewers.items()}


def _rate(stream: dict[str, Any]) -> Rate:
    return Rate(stream["in_fps"], stream["out_fps"], stream["age_s"])
