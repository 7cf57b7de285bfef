"""flow → **turns** → ring: who may send a frame next."""

import asyncio
from collections.abc import Callable

from streamer.ring.flow import Flow


class Turns:
    """First come, first served: a flow queues anew for every frame, so flows alternate.

    `room` is called when a turn that was given is not taken.
    """

    def __init__(self, room: Callable[[], None]) -> None:
        self.given = 0  # turns whose frames are not here yet
        self._room = room
        self._queue: list[tuple[Flow, asyncio.Future[None]]] = []

    async def wait(self, flow: Flow) -> None:
        """Until it is this flow's turn; then call `taken`."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((flow, turn))
        self._room()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.taken()
                self._room()
            raise

    def taken(self) -> None:
        """The frame of a turn is here."""
        self.given -= 1

    def give(self, room: float, each: float) -> None:
        """Up to `room` turns; none to a live flow of which workers hold `each` frames already.

        Its newest frame is better off in the intake, where a newer one may take its place.
        """
        self._queue = [(flow, turn) for flow, turn in self._queue if not turn.done()]
        for flow, turn in self._queue:
            if room <= 0:
                break
            if not flow.live or flow.held < each:
                turn.set_result(None)
                self.given += 1
                room -= 1
