import asyncio

import pytest

from streamer.pipeline.intake import Intake


async def test_take_returns_the_newest_and_counts_what_was_let_go() -> None:
    intake = Intake[int]()
    for item in range(5):
        intake.put(item)
    assert await intake.ready() and intake.waits
    assert intake.take() == 4
    assert not intake.waits
    assert (intake.received, intake.dropped) == (5, 4)


async def test_ready_waits_for_an_item() -> None:
    intake = Intake[int]()
    waiting = asyncio.create_task(intake.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    intake.put(1)
    assert await waiting


async def test_close_ends_those_who_wait_and_refuses_the_rest() -> None:
    intake = Intake[int]()
    waiting = asyncio.create_task(intake.ready())
    await asyncio.sleep(0)
    intake.close()
    assert not await waiting
    intake.put(1)
    assert not await intake.ready()
    assert intake.received == 0


async def test_an_item_that_ready_promised_outlives_close() -> None:
    intake = Intake[int]()
    intake.put(1)
    assert await intake.ready()
    intake.close()
    assert intake.take() == 1
    assert not await intake.ready()


def test_take_without_an_item_is_an_error() -> None:
    with pytest.raises(LookupError, match="ready"):
        Intake[int]().take()
