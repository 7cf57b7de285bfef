"""lane → **turns** → ring: who may send a frame next."""

import asyncio
from collections.abc import Callable

from streamer.ring.flow import Lane


class Turns:
    """First come, first served: a lane queues anew for every frame, so lanes alternate.

    `room` is called when a turn that was given is not taken.
    """

    def __init__(self, room: Callable[[], None]) -> None:
        self.given = 0  # turns whose frames are not here yet
        self._room = room
        self._queue: list[tuple[Lane, asyncio.Future[None]]] = []

    async def wait(self, lane: Lane) -> None:
        """Until it is this lane's turn; then call `taken`."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((lane, turn))
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
        """Up to `room` turns; none to a live lane of which workers hold `each` frames already.

        Its newest frame is better off in the intake, where a newer one may take its place.
        """
        self._queue = [(lane, turn) for lane, turn in self._queue if not turn.done()]
        for lane, turn in self._queue:
            if room <= 0:
                break
            if not lane.live or lane.held < each:
                turn.set_result(None)
                self.given += 1
                room -= 1
