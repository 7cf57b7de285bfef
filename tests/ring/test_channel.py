"""Images between ring and worker: copied, or handed over when they are large and can be."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

import numpy as np
import pytest

from streamer.frame import Image, Style, i420_size
from streamer.memory import new_memory
from streamer.ring.channel import Request, Response, RingEnd, WorkerEnd, answer

SMALL, LARGE = (64, 48), (3840, 2160)


@pytest.fixture
def ring_end() -> Iterator[RingEnd]:
    """Its worker inverts images."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_invert, args=(Connection(theirs.detach()),))
    thread.start()
    end = RingEnd(ours, 2)
    with contextlib.closing(end):
        yield end
    thread.join(10)
    assert not thread.is_alive()


def _invert(connection: "Connection[Response, int]") -> None:
    def stylize(requests: Sequence[Request], images: Sequence[Image]) -> list[Response]:
        return [Response(0.0, Image(one.width, one.height, 255 - one.data)) for one in images]

    with connection, contextlib.suppress(EOFError, OSError):
        end = WorkerEnd(connection)
        while True:
            (response,) = answer([end.receive()], stylize)
            end.respond(response)


def image(size: tuple[int, int], value: int, given: bool) -> Image:
    count = i420_size(*size)
    data = new_memory(count) if given else np.empty(count, np.uint8)
    data[:] = value
    return Image(*size, data)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("given", [False, True])
def test_every_image_comes_back_as_its_own_result(
    ring_end: RingEnd, size: tuple[int, int], given: bool
) -> None:
    for value in (10, 20, 30, 40, 50):
        # Of several sizes, so that a slot's memory is used for what came before and after.
        sent = [image(SMALL, value, False), image(size, value + 1, given)]
        for one in sent:
            ring_end.send(one, Request(Style()))
        for number, one in enumerate(sent):
            back = ring_end.receive().image
            assert back is not None and (back.width, back.height) == (one.width, one.height)
            assert (back.data == 255 - value - number).all()
            handed_over = given and one.width == LARGE[0]
            assert np.shares_memory(back.data, one.data) == handed_over
