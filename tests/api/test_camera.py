"""A camera's frames, for programs with an event loop and without; a video file is the camera."""

import asyncio
import itertools
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamer
from streamer.api.event_loop import event_loop
from streamer.errors import MediaError, UsageError
from tests.support.video_clips import Clip, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", Clip(tuple(range(0, 5 * 512, 512)), width=96))


def open_(source: object) -> streamer.Camera:
    return streamer.open_camera(str(source), "mosaic", backend="none", threads=1)


def test_frames_come_over_and_over(clip: Path) -> None:
    camera = open_(clip)
    frames = list(itertools.islice(camera, 8))
    assert all(frame.shape == (64, 96, 3) and frame.dtype == np.uint8 for frame in frames)
    camera.change("ember", transition_s=0)
    with pytest.raises(UsageError, match="unknown style"):
        camera.change("nosuch")
    assert len(list(itertools.islice(camera, 2))) == 2  # it can be opened again


def test_what_was_left_early_is_closed(clip: Path) -> None:
    before = threading.active_count()
    for _ in open_(clip):
        break
    names = {thread.name for thread in threading.enumerate()}
    assert "event loop" not in names
    assert threading.active_count() <= before + 2  # a read under way is not waited for


async def test_frames_for_an_event_loop(clip: Path) -> None:
    async with aclosing(aiter(open_(clip))) as frames:
        first = await anext(frames)
    assert first.shape == (64, 96, 3)


def test_a_source_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4: Invalid data"):
        next(iter(open_(tmp_path / "text.mp4")))
    with pytest.raises(UsageError, match="neither a camera's number"):
        open_("nothing of the kind")


def test_the_event_loop_ends_with_all_that_ran_on_it() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def begin() -> Any:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return task

    with event_loop() as run:
        run(begin())
    assert ended == ["cancelled"]


def test_what_a_coroutine_raises_is_raised() -> None:
    async def fail() -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"), event_loop() as run:
        run(fail())
