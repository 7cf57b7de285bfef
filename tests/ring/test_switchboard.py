"""Several rings on one worker: every ring gets its turn, and what one leaves goes to the others."""

import asyncio
from collections.abc import Sequence

from streamer.frame import Frame, Image
from streamer.ring.channel import Request, Response
from streamer.ring.flow import Completion, Flow
from streamer.ring.ring import Ring
from streamer.ring.switchboard import Switchboard
from tests.support.fakes import Gate, ThreadWorkers, numbered
from tests.support.waiting import eventually


class Shared(ThreadWorkers):
    """One worker, that serves whoever connects; `order` has the first byte of every image."""

    def __init__(self, gate: Gate | None = None, slots: int = 1, together: bool = False) -> None:
        super().__init__()
        self.gate = gate
        self.order: list[int] = []
        self.sizes: list[int] = []
        self.board = Switchboard(slots, self.stylize_all, together)

    def stylize_all(self, requests: Sequence[Request], images: Sequence[Image]) -> list[Response]:
        if self.gate is not None:
            self.gate.pass_()
        self.sizes.append(len(images))
        self.order += [int(image.data[0]) for image in images]
        return [Response(0.001, image) for image in images]

    def _answer(self, address: str, index: int) -> bool:
        return self.board.serve(address, index)


async def through(flow: Flow, frame: Frame) -> Completion:
    await flow.submit(lambda: frame)
    done = await flow.result(5)
    assert done is not None
    return done


async def test_a_ring_alone_gets_every_frame_through() -> None:
    workers = Shared()
    async with Ring(lambda: workers, shared=True) as ring:
        flow = ring.open(live=False)
        for number in range(5):
            assert (await through(flow, numbered(number))).seq == number
    assert workers.order == [0, 1, 2, 3, 4]


async def test_rings_take_turns_however_much_one_of_them_wants() -> None:
    gate = Gate()
    workers = Shared(gate)
    async with (
        Ring(lambda: workers, shared=True) as greedy,
        Ring(lambda: workers, shared=True) as modest,
    ):
        flow = greedy.open(live=False)
        many = [asyncio.create_task(flow.submit(lambda: numbered(1))) for _ in range(6)]
        await asyncio.to_thread(gate.reached.wait, 5)
        other = modest.open(live=False)
        few = [asyncio.create_task(other.submit(lambda: numbered(2))) for _ in range(3)]
        await asyncio.sleep(0)
        gate.open.set()
        for _ in range(6):
            assert (await flow.result(5)) is not None
        for _ in range(3):
            assert (await other.result(5)) is not None
        await asyncio.gather(*many, *few)
    assert sorted(workers.order) == [1] * 6 + [2] * 3
    assert workers.order[:7].count(2) == 3, workers.order  # one of each in turn


async def test_slots_of_a_ring_that_ends_go_to_the_others() -> None:
    gate = Gate()
    workers = Shared(gate)
    async with Ring(lambda: workers, shared=True) as stays:
        async with Ring(lambda: workers, shared=True) as goes:
            lost = asyncio.create_task(goes.open(live=False).submit(lambda: numbered(1)))
            await asyncio.to_thread(gate.reached.wait, 5)
        gate.open.set()
        await asyncio.gather(lost, return_exceptions=True)
        flow = stays.open(live=False)
        assert (await through(flow, numbered(2))).frame is not None
        assert [one["state"] for one in stays.stats()] == ["ready"]


async def test_what_waits_in_several_rings_is_stylized_together() -> None:
    gate = Gate()
    workers = Shared(gate, slots=4, together=True)
    async with (
        Ring(lambda: workers, depth=4, shared=True) as one,
        Ring(lambda: workers, depth=4, shared=True) as two,
    ):
        flows = [one.open(live=False), two.open(live=False)]
        first = asyncio.create_task(flows[0].submit(lambda: numbered(0)))
        await asyncio.to_thread(gate.reached.wait, 5)
        rest = [asyncio.create_task(flow.submit(lambda: numbered(1))) for flow in flows]
        await eventually(lambda: sum(flow.in_flight for flow in flows) == 1 + len(rest))
        gate.open.set()
        for flow, count in zip(flows, (2, 1), strict=True):
            for _ in range(count):
                assert (await flow.result(5)) is not None
        await asyncio.gather(first, *rest)
    assert workers.sizes == [1, 2]
