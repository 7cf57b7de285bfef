"""The ring over the real channel, with workers in threads."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

import pytest

from streamer.errors import RingError, StylizeError, UsageError
from streamer.frame import Frame, Image, Style, i420_size
from streamer.ring.channel import (
    Request,
    Response,
    RingEnd,
    SlotFilled,
    SlotResized,
    serve_ring,
)
from streamer.ring.flow import Completion, Flow
from streamer.ring.ring import Ring
from streamer.ring.worker import About
from streamer.ring.worker_handle import Patience
from streamer.statistics import Orders
from tests.support.fakes import (
    Gate,
    Killed,
    Once,
    ThreadWorkers,
    four_at_a_gate,
    invert,
    leave,
    numbered,
)
from tests.support.waiting import eventually


def kill() -> None:
    raise Killed


def break_down() -> None:
    raise ValueError("a bad picture")


def give(number: int) -> Callable[[], Frame]:
    return lambda: numbered(number)


async def through(flow: Flow, frame: Frame) -> Completion:
    await flow.submit(lambda: frame)
    done = await flow.result(5)
    assert done is not None
    flow.advance(done.seq + 1)
    return done


async def test_a_frame_comes_back_stylized_with_everything_else_as_it_was() -> None:
    async with Ring(lambda: ThreadWorkers(1, invert)) as one:
        frame = numbered(7)
        done = await through(one.open(live=True), frame)
    assert done.frame is not None
    assert set(done.frame.image.data) == {255 - 7}
    assert (done.frame.pts, done.frame.captured_at) == (frame.pts, frame.captured_at)
    assert done.wait_s >= 0 and done.transfer_s >= 0
    assert set(frame.image.data) == {7}  # the camera's own picture is not touched


async def test_every_flow_counts_from_zero() -> None:
    async with Ring(lambda: ThreadWorkers(2)) as two:
        for flow in (two.open(live=True), two.open(live=False)):
            assert [(await through(flow, numbered(n))).seq for n in range(5)] == [0, 1, 2, 3, 4]


async def test_a_frame_is_taken_only_when_a_worker_has_room() -> None:
    gate = Gate()

    def wait(image: Image) -> Image:
        gate.pass_()
        return image

    async with Ring(lambda: ThreadWorkers(1, wait)) as one:
        flow = one.open(live=True)
        taken: list[int] = []

        def take(number: int) -> Callable[[], Frame]:
            def frame() -> Frame:
                taken.append(number)
                return numbered(number)

            return frame

        await flow.submit(take(0))
        second = asyncio.create_task(flow.submit(take(1)))
        await asyncio.sleep(0.1)
        assert taken == [0]
        gate.open.set()
        await second
        assert taken == [0, 1]


async def test_images_may_grow_and_shrink() -> None:
    sizes = [(32, 16), (64, 48), (33, 17), (320, 180), (2, 2)]
    async with Ring(lambda: ThreadWorkers(1, invert)) as one:
        flow = one.open(live=False)
        for width, height in sizes:
            done = await through(flow, numbered(1, width, height))
            assert done.frame is not None
            assert (done.frame.image.width, done.frame.image.height) == (width, height)
            assert set(done.frame.image.data) == {254}


async def test_the_window_bounds_what_is_accepted_and_not_delivered() -> None:
    async with Ring(lambda: ThreadWorkers(4)) as four:
        flow = four.open(live=False, window=3)
        for number in range(3):
            await flow.submit(give(number))
        fourth = asyncio.create_task(flow.submit(lambda: numbered(3)))
        await asyncio.sleep(0.1)
        assert not fourth.done()
        flow.advance(1)
        assert await fourth == 3


async def test_flows_share_a_worker() -> None:
    """A flow that always has a frame waiting does not keep another one out."""

    def slow(image: Image) -> Image:
        time.sleep(0.005)
        return image

    async with Ring(lambda: ThreadWorkers(1, slow)) as one:
        flows = [one.open(live=False, window=1000) for _ in range(3)]

        async def flood(flow: Flow) -> None:
            while True:
                await flow.submit(lambda: numbered(1))

        floods = [asyncio.create_task(flood(flow)) for flow in flows]
        await asyncio.sleep(0.5)
        for task in floods:
            task.cancel()
        counts = [flow.in_flight for flow in flows]
    assert min(counts) > 10
    assert max(counts) < 1.5 * min(counts)  # by time: a frame that took long counts for more


async def test_live_a_killed_worker_costs_its_frame_at_once_and_comes_back() -> None:
    workers = ThreadWorkers(1, Once(kill))
    async with Ring(lambda: workers) as one:
        flow = one.open(live=True)
        began = time.monotonic()
        lost = await through(flow, numbered(0))
        assert lost.frame is None
        assert time.monotonic() - began < 1.0
        assert flow.lost == 1
        assert (await through(flow, numbered(1))).frame is not None
        assert one.stats()[0]["restarts"] == 1
        assert one.stats()[0]["lost"] == 1


async def test_file_a_killed_worker_costs_no_frame() -> None:
    async with Ring(lambda: ThreadWorkers(2, Once(kill))) as two:
        flow = two.open(live=False)
        results = [await through(flow, numbered(n)) for n in range(6)]
    assert all(done.frame is not None for done in results)
    assert flow.lost == 0


async def test_file_a_frame_that_no_worker_survives_is_an_error() -> None:
    async with Ring(lambda: ThreadWorkers(1, Once(kill, times=99))) as one:
        with pytest.raises(RingError, match="frame 0 crashed 3 workers"):
            await through(one.open(live=False), numbered(0))


@pytest.mark.parametrize("measured", [True, False])
async def test_live_a_frame_that_is_measured_may_take_longer(measured: bool) -> None:
    seconds = iter([0, 0, 0, 0, 0.3])

    def stylize(image: Image) -> Image:
        time.sleep(next(seconds))
        return image

    patience = Patience(stall_s=0.1, exact_factor=50)
    exact = frozenset({"a"} if measured else ())
    async with Ring(lambda: ThreadWorkers(1, stylize), patience=patience) as one:
        flow = one.open(live=True)
        for number in range(4):  # now it is known how long one takes
            await through(flow, numbered(number))
        done = await through(flow, replace(numbered(4), orders=Orders(0, {}, exact, exact)))
    assert (done.frame is not None) == measured


async def test_live_a_stalled_worker_is_gone_around() -> None:
    gate = Gate()
    workers = ThreadWorkers(2, Once(gate.pass_))
    async with Ring(lambda: workers, patience=Patience(unknown_stall_s=0.1)) as two:
        flow = two.open(live=True)
        await flow.submit(lambda: numbered(0))  # stalls one of the two
        await asyncio.to_thread(gate.reached.wait, 5)
        rest = []
        for number in range(1, 6):
            await flow.submit(give(number))
            rest.append(await flow.result(5))
        tombstone = await flow.result(5)
        assert [done.seq for done in rest if done and done.frame] == [1, 2, 3, 4, 5]
        assert tombstone is not None and (tombstone.seq, tombstone.frame) == (0, None)
        flow.advance(6)
        gate.open.set()
        await eventually(lambda: all(worker["state"] == "ready" for worker in two.stats()))
        for number in range(6, 10):  # it has answered: it gets work again
            assert (await through(flow, numbered(number))).frame is not None
        assert all(worker["frames"] for worker in two.stats())


async def test_a_hung_worker_is_ended_and_its_frame_done_again() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_))
    async with Ring(lambda: workers, patience=Patience(hung_s=0.5)) as one:
        flow = one.open(live=False)
        await flow.submit(lambda: numbered(0))
        await eventually(lambda: bool(workers.restarted))
        gate.open.set()  # as the kill that `restarted` only notes would
        done = await flow.result(5)
    assert done is not None and done.frame is not None


async def test_a_frame_that_hangs_twice_is_an_error() -> None:
    """A third try would stop everybody else for as long again."""
    tries = 0

    def hang() -> None:
        nonlocal tries
        tries += 1
        time.sleep(0.6)
        raise Killed  # as `restart` would have done

    async with Ring(
        lambda: ThreadWorkers(1, Once(hang, times=9)), patience=Patience(hung_s=0.5)
    ) as one:
        flow = one.open(live=False)
        await flow.submit(lambda: numbered(0))
        with pytest.raises(RingError):
            await flow.result(20)
        assert tries == 2


async def test_a_worker_that_hangs_and_cannot_be_ended_is_given_up_with_a_reason() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_, times=9))  # whose `restart` does nothing
    async with Ring(lambda: workers, patience=Patience(hung_s=0.02)) as one:
        flow = one.open(live=False)
        await flow.submit(lambda: numbered(0))
        with pytest.raises(RingError, match="hangs and cannot be ended"):
            await flow.result(5)
        assert one.failed.is_set() and not one.ready
        gate.open.set()


async def test_live_a_worker_that_hangs_after_its_frame_was_given_up_is_ended() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_))
    patience = Patience(unknown_stall_s=0.05, hung_s=0.05)
    async with Ring(lambda: workers, patience=patience) as one:
        assert (await through(one.open(live=True), numbered(0))).frame is None
        await eventually(lambda: bool(workers.restarted))
        gate.open.set()


async def test_an_image_that_fails_is_lost_live_and_an_error_after_three_tries_otherwise() -> None:
    async with Ring(lambda: ThreadWorkers(1, Once(break_down, times=4))) as one:
        live = one.open(live=True)
        assert (await through(live, numbered(0))).frame is None
        assert live.lost == 1
        with pytest.raises(StylizeError, match="cannot be stylized: ValueError: a bad picture"):
            await through(one.open(live=False), numbered(0))
        assert (await through(live, numbered(1))).frame is not None  # the worker lives on
        assert one.stats()[0]["restarts"] == 0


async def test_one_photo() -> None:
    async with Ring(lambda: ThreadWorkers(1, invert)) as one:
        image = numbered(9).image
        assert set((await one.stylize(image, Style())).data) == {246}


@pytest.mark.parametrize("live", [True, False])
async def test_workers_on_other_machines_are_reached_by_plain_calls(live: bool) -> None:
    workers = ThreadWorkers(2, Once(kill), remote=True)
    async with Ring(lambda: workers, depth=2) as two:
        flow = two.open(live=live)
        results = [await through(flow, numbered(n)) for n in range(6)]
    assert [done.seq for done in results] == list(range(6))
    assert sum(done.frame is None for done in results) == (1 if live else 0)
    assert workers.deaths.total() == 1


async def test_a_worker_on_another_machine_comes_back_after_its_death() -> None:
    workers = ThreadWorkers(1, Once(kill), remote=True)
    async with Ring(lambda: workers) as one:
        flow = one.open(live=True)
        results = [await through(flow, numbered(n)) for n in range(3)]
        (told,) = one.stats()
    assert [done.frame is None for done in results] == [True, False, False]
    assert told["state"] == "ready" and told["restarts"] == 1


@dataclass
class Waiting(ThreadWorkers):
    """Worker 1 has no machine until `joined`."""

    joined: asyncio.Event = field(default_factory=asyncio.Event)

    async def about(self, index: int) -> About:
        if index == 1:
            await self.joined.wait()
        return await super().about(index)

    def shortage(self) -> str | None:
        return "no free CPU"


async def test_with_a_quorum_the_others_join_when_they_can() -> None:
    workers = Waiting(2, remote=True)
    async with Ring(lambda: workers, quorum=1) as ring:
        assert [one["state"] for one in ring.stats()] == ["ready", "waiting"]
        flow = ring.open(live=False)
        assert (await through(flow, numbered(0))).seq == 0
        await eventually(lambda: ring.waits_for == "no free CPU")
        workers.joined.set()
        await eventually(lambda: ring.stats()[1]["state"] == "ready")
        await eventually(lambda: ring.waits_for is None)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_worker_that_is_lost_on_another_machine_is_noticed_while_idle(
    monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setattr("streamer.ring.worker_handle.LOOK_S", 0.01)
    monkeypatch.setattr("streamer.ring.worker_handle.ANSWER_S", 0.1)
    workers = Lost(1, remote=True, silent=silent)
    async with Ring(lambda: workers) as ring:
        workers.gone = True
        await eventually(lambda: ring.stats()[0]["state"] == "restarting")
        workers.gone = False
        await eventually(lambda: ring.stats()[0]["state"] == "ready")


@dataclass
class Lost(ThreadWorkers):
    """Worker whose machine is gone for a while."""

    gone: bool = False
    silent: bool = False  # meanwhile: calls to it wait

    async def about(self, index: int) -> About:
        while self.gone and self.silent:
            await asyncio.sleep(0.01)
        if self.gone:
            raise ConnectionError("the node is gone")
        return await super().about(index)


async def test_a_ring_whose_workers_cannot_start_says_why() -> None:
    workers = ThreadWorkers(2, hopeless=True)
    with pytest.raises(RingError, match="worker 0 cannot start: no model"):
        async with Ring(lambda: workers):
            pass
    assert workers.stopped


async def test_closing_ends_those_who_wait() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_))
    async with Ring(lambda: workers) as one:
        flow = one.open(live=True)
        await flow.submit(lambda: numbered(0))
        waiting = asyncio.create_task(flow.submit(lambda: numbered(1)))
        await eventually(lambda: len(one._waiting) == 1)
    gate.open.set()
    with pytest.raises(RingError, match="closed"):
        await waiting
    with pytest.raises(RingError, match="closed"):
        await flow.result(1)
    assert workers.stopped


async def test_a_submit_that_is_cancelled_leaves_its_room_to_others() -> None:
    gate = Gate()
    async with Ring(lambda: ThreadWorkers(1, Once(gate.pass_))) as one:
        flow = one.open(live=False)
        await flow.submit(lambda: numbered(0))
        waiting = [asyncio.create_task(flow.submit(lambda: numbered(1))) for _ in range(3)]
        await eventually(lambda: len(one._waiting) == 3)
        for task in waiting[:2]:
            task.cancel()
        gate.open.set()
        assert await waiting[2] == 1
        assert (await through(one.open(live=False), numbered(5))).frame is not None


async def test_a_source_that_fails_while_giving_a_frame_costs_no_room() -> None:
    def fail() -> Frame:
        raise LookupError

    async with Ring(lambda: ThreadWorkers(1, leave)) as one:
        flow = one.open(live=True)
        for _ in range(3):
            with pytest.raises(LookupError):
                await flow.submit(fail)
        assert (await through(flow, numbered(1))).seq == 0


# --- several at once -----------------------------------------------------------------------------


async def test_frames_that_wait_from_several_peers_are_stylized_together() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_, then=invert), together=True)
    async with Ring(lambda: workers, depth=4) as one:
        results = await four_at_a_gate(one, gate)
        assert one.busy_s < 5
    assert workers.batches == [1, 3]  # the first one came alone
    for number, done in enumerate(results):
        assert done is not None and done.frame is not None
        assert set(done.frame.image.data) == {255 - number}
        assert done.transfer_s >= 0 and done.wait_s >= 0


async def test_one_live_stream_does_not_queue_up_at_a_worker() -> None:
    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_), together=True)
    async with Ring(lambda: workers, depth=4) as one:
        live, film = one.open(live=True), one.open(live=False)
        await live.submit(give(0))
        second = asyncio.create_task(live.submit(give(1)))
        await film.submit(give(2))  # the room that is left is others'
        await film.submit(give(3))
        assert not second.done()
        gate.open.set()
        assert await asyncio.wait_for(second, 5) == 1


async def test_a_picture_that_cannot_be_stylized_does_not_spoil_those_beside_it() -> None:
    def stylize(image: Image) -> Image:
        if image.data[0] == 2:
            raise ValueError("a bad picture")
        return invert(image)

    gate = Gate()
    workers = ThreadWorkers(1, Once(gate.pass_, then=stylize), together=True)
    async with Ring(lambda: workers, depth=4) as one:
        results = await four_at_a_gate(one, gate)
        assert one.stats()[0]["restarts"] == 0
    kept = [done is not None and done.frame is not None for done in results]
    assert kept == [True, True, False, True]


# --- what must not take the ring along -----------------------------------------------------------


async def test_a_connection_that_is_no_workers_changes_nothing() -> None:
    """A worker that died between connect and hello, and bytes of somebody else."""
    workers = ThreadWorkers(1, Once(kill))
    async with Ring(lambda: workers) as one:
        for said in (b"", b"\0\0\0\x05hello", b"\xff" * 64):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(one.supervisor._home / "ring"))
                stranger.sendall(said)
        flow = one.open(live=True)
        assert (await through(flow, numbered(0))).frame is None  # its worker dies
        assert (await through(flow, numbered(1))).frame is not None  # and connects again


async def test_whatever_ray_raises_a_worker_is_tried_again() -> None:
    class Odd(ThreadWorkers):
        async def serve(self, index: int, address: str) -> bool:
            if index == 0 and not self.deaths[0]:
                self.deaths[0] += 1
                raise OSError(24, "Too many open files")
            return await super().serve(index, address)

    async with Ring(lambda: Odd(2), quorum=1) as two:
        await eventually(lambda: [one["state"] for one in two.stats()] == ["ready", "ready"])


async def test_one_worker_that_cannot_be_restarted_leaves_the_others_at_work() -> None:
    class Gone(ThreadWorkers):
        async def serve(self, index: int, address: str) -> bool:
            if self.deaths[index]:
                raise RingError(f"worker {index} cannot start: its model was removed")
            return await super().serve(index, address)

    workers = Gone(2, Once(kill))
    async with Ring(lambda: workers) as two:
        flow = two.open(live=True)
        assert (await through(flow, numbered(0))).frame is None
        await eventually(lambda: "failed" in [one["state"] for one in two.stats()])
        assert two.ready
        assert (await through(flow, numbered(1))).frame is not None
        workers.stylize_image = Once(kill)
        assert (await through(flow, numbered(2))).frame is None
        with pytest.raises(RingError, match="its model was removed"):
            await flow.result(5)


async def test_a_worker_that_fails_fast_does_not_eat_the_stream() -> None:
    """It is always free, and would get nearly every frame."""
    seen: set[int] = set()

    class OneBroken(ThreadWorkers):
        def _answer(self, address: str, index: int) -> bool:
            def stylize(asked: Sequence[Request], images: Sequence[Image]) -> list[Response]:
                if index == 0:
                    raise RuntimeError("CUDA error: device-side assert triggered")
                time.sleep(0.01)
                return [Response(0.01, image) for image in images]

            seen.add(index)
            return serve_ring(address, index, stylize)

    workers = OneBroken(2)
    async with Ring(lambda: workers) as two:
        live, file = two.open(live=True), two.open(live=False)
        results = [await through(live, numbered(n)) for n in range(40)]
        whole = [await through(file, numbered(n)) for n in range(10)]
    assert seen == {0, 1}
    assert sum(done.frame is not None for done in results) >= 34
    assert all(done.frame is not None for done in whole)  # done again by the other one
    assert set(workers.restarted) <= {0}


async def test_what_is_asked_wrongly_is_nobodys_fault() -> None:
    def wrong(image: Image) -> Image:
        raise UsageError("unknown style 'x'")

    workers = ThreadWorkers(1, wrong)
    async with Ring(lambda: workers) as one:
        for _ in range(7):
            with pytest.raises(StylizeError, match="unknown style"):
                await one.stylize(numbered(1).image, Style())
        assert one.stats()[0]["failed"] == 7
    assert workers.restarted == []


async def test_a_worker_that_dies_before_it_gets_its_frame_costs_no_try() -> None:
    async with Ring(lambda: ThreadWorkers(2)) as two:
        flow = two.open(live=False)

        def take() -> Frame:
            for handle in two.supervisor.handles:
                if handle._reserved:
                    handle.disconnect()
            return numbered(3)

        await flow.submit(take)
        done = await flow.result(5)
        assert done is not None and done.frame is not None


async def test_a_task_that_breaks_ends_the_ring_with_its_reason() -> None:
    async def breaks() -> None:
        raise LookupError("a bug")

    async with Ring(lambda: ThreadWorkers(1)) as one:
        flow = one.open(live=True)
        one.supervisor.own(breaks(), "a task")
        with pytest.raises(RingError, match="a task broke: LookupError"):
            await flow.result(5)
        assert not one.ready


async def test_a_ring_that_is_given_up_while_it_starts_stops_its_workers() -> None:
    gate, workers = Gate(), ThreadWorkers(1)

    def start() -> ThreadWorkers:
        gate.pass_()
        return workers

    async def enter() -> None:
        async with Ring(start):
            pass

    entering = asyncio.create_task(enter())
    await asyncio.to_thread(gate.reached.wait, 5)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    gate.open.set()
    await eventually(lambda: workers.stopped)


async def test_streams_share_the_workers_by_time_and_live_ones_go_before_files() -> None:
    """A stream of dear frames gets as much time as one of cheap frames, not as many frames."""

    def work(image: Image) -> Image:
        time.sleep(0.016 if image.data[0] == 1 else 0.004)
        return image

    async with Ring(lambda: ThreadWorkers(1, work)) as one:
        dear, cheap = (one.open(live=False, window=1000) for _ in range(2))

        async def flood(flow: Flow, number: int) -> None:
            while True:
                await flow.submit(give(number))

        floods = [asyncio.create_task(flood(dear, 1)), asyncio.create_task(flood(cheap, 2))]
        await eventually(lambda: dear.in_flight >= 15)
        assert cheap.in_flight > 2.5 * dear.in_flight
        live = one.open(live=True)
        began = dear.in_flight + cheap.in_flight
        for number in range(20):
            await through(live, numbered(number))
        assert dear.in_flight + cheap.in_flight - began <= 25  # one for each, were they alike
        for task in floods:
            task.cancel()


async def test_photos_leave_a_worker_to_a_live_stream() -> None:
    release = threading.Event()

    def work(image: Image) -> Image:
        if image.data[0] > 100:
            release.wait(10)
        return image

    async with Ring(lambda: ThreadWorkers(2, work)) as one:
        live = one.open(live=True)
        photos = [asyncio.create_task(one.stylize(numbered(n).image, Style())) for n in (101, 102)]
        for number in range(20):
            assert (await through(live, numbered(number))).frame is not None
        assert [photo.done() for photo in photos] == [False, False]
        release.set()
        await asyncio.gather(*photos)
        live.close()
        release.clear()  # without a stream they have both
        photos = [asyncio.create_task(one.stylize(numbered(n).image, Style())) for n in (101, 102)]
        await eventually(lambda: [handle["state"] for handle in one.stats()] == ["busy"] * 2)
        release.set()
        await asyncio.gather(*photos)


def test_memory_for_a_large_photo_is_given_back() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    worker = Connection(theirs.detach())
    worker.send(0)
    end = RingEnd(ours, 1)
    sizes = []
    for side in (6000, 5000, 640):
        end.send(numbered(1, side, side).image, Request(Style()))
        message = worker.recv()
        if isinstance(message, SlotResized):
            recv_handle_and_close(worker)
            sizes.append(message.size)
            assert isinstance(worker.recv(), SlotFilled)
        worker.send(Response(0.0))
        end.receive()
    assert sizes == [i420_size(6000, 6000), i420_size(640, 640)]
    end.close()
    worker.close()


def recv_handle_and_close(connection: Connection) -> None:
    os.close(recv_handle(connection))
