"""A process that reads a stranger's video gets the processor last; nobody may wait for it."""

import asyncio
import os
import struct
import threading
from pathlib import Path

import pytest

from streamer.bounded import EndedError, Limits
from streamer.errors import MediaError
from streamer.files import apart
from streamer.files.job import TranscodeOptions
from streamer.ring.flow import Flow, Slot
from tests.support.waiting import eventually


class InTheMiddle:
    """Instead of a process: it stands still in the middle of a message."""

    sent, turned = threading.Event(), threading.Event()  # the message was; the event loop did
    waited_for = False

    def __init__(self, limits: Limits, fds: tuple[int, ...]) -> None:
        self._fd = os.dup(fds[0])

    def start(self) -> None:
        pass

    def call(self, *arguments: object) -> None:
        os.write(self._fd, struct.pack("!i", 100) + b"half")
        self.sent.set()
        InTheMiddle.waited_for = not self.turned.wait(5)
        os.close(self._fd)
        raise EndedError("it was stopped")

    def close(self) -> None:
        pass


async def test_the_event_loop_does_not_wait_for_the_rest_of_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def reserve(flow: Flow) -> Slot:
        raise AssertionError("no frame came")

    monkeypatch.setattr(apart, "Bounded", InTheMiddle)
    film = asyncio.create_task(
        apart.transcode_apart(
            tmp_path / "a.mp4", tmp_path / "b.mp4", TranscodeOptions(),
            Flow(live=False, window=1, reserve=reserve),
            report=lambda progress: None, preview=tmp_path / "a.jpg",
        )
    )  # fmt: skip
    await eventually(InTheMiddle.sent.is_set)
    for _ in range(10):  # so that whoever reads on the loop does so
        await asyncio.sleep(0.01)
    InTheMiddle.turned.set()
    with pytest.raises(MediaError, match="it was stopped"):
        await film
    assert not InTheMiddle.waited_for
