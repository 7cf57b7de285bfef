"""One encoder for many: who joins, who is too slow, who asks for what."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest
from aiortc.mediastreams import MediaStreamError

from streamer.frame import Frame
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.fan_out import (
    DOWN_S,
    EACH_BPS,
    SHARED_BPS,
    TOGETHER_BPS,
    WAITING_MAX,
    FanOut,
    Rung,
    RungChoice,
    ViewerTrack,
)
from tests.support.clips import number_frame
from tests.support.fakes import VIDEO
from tests.support.waiting import eventually

BITRATE = Bitrate(1_000_000, 300_000, 4_000_000)


def frame(n: int) -> Frame:
    return Frame(number_frame(n, 64, 48), 3000 * n, VIDEO, 0.0)


@contextlib.asynccontextmanager
async def fan_out() -> AsyncIterator[FanOut]:
    with ThreadPoolExecutor(1) as threads:
        made = FanOut("H264", BITRATE, threads)
        running = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.wait({running})


def has_made(rung: Rung, frames: int) -> bool:
    return rung.as_dict()["frames"] == frames


async def encode(out: FanOut, numbers: range) -> None:
    for n in numbers:
        sent = out.as_dict()["frames"]
        for rung in out.rungs:
            rung.frames.put(frame(n))
        async with asyncio.timeout(10):
            while out.as_dict()["frames"] == sent:
                await asyncio.sleep(0.001)


def viewer(out: FanOut) -> ViewerTrack:
    track = ViewerTrack()
    track.watch(out)
    track.join()
    return track


async def test_every_viewer_gets_the_very_same_packets_of_one_encoder() -> None:
    async with fan_out() as out:
        tracks = [viewer(out) for _ in range(3)]
        await encode(out, range(4))
        packets = [[await track.recv() for _ in range(4)] for track in tracks]
    for others in packets[1:]:
        assert all(a is b for a, b in zip(packets[0], others, strict=True))
    told = out.as_dict()
    assert (told["viewers"], told["frames"], told["keyframes"]) == (3, 4, 1)


async def test_a_viewer_who_joins_begins_with_a_keyframe_made_for_them() -> None:
    async with fan_out() as out:
        first = viewer(out)
        await encode(out, range(3))
        await asyncio.sleep(0.35)  # so often keyframes are made
        late = viewer(out)
        await encode(out, range(3, 6))
        packet = await late.recv()
        assert packet.is_keyframe and packet.pts == 3 * 3000
        assert [(await first.recv()).is_keyframe for _ in range(4)] == [True, False, False, True]


async def test_keyframes_are_shared_however_many_ask() -> None:
    async with fan_out() as out:
        tracks = [viewer(out) for _ in range(5)]
        for n in range(10):
            await encode(out, range(n, n + 1))
            for track in tracks:
                track.want_keyframe()
        assert out.as_dict()["keyframes"] in (1, 2)  # one in 0.3 s


async def test_a_viewer_too_slow_skips_to_a_keyframe_and_holds_nobody_up() -> None:
    async with fan_out() as out:
        slow, quick = viewer(out), viewer(out)
        for n in range(WAITING_MAX + 1):
            await encode(out, range(n, n + 1))
            assert (await quick.recv()).pts == 3000 * n
        assert slow.skipped > WAITING_MAX, "all that waited"
        await asyncio.sleep(0.35)
        await encode(out, range(WAITING_MAX + 1, WAITING_MAX + 3))
        assert (await slow.recv()).is_keyframe


async def test_the_best_path_of_all_counts() -> None:
    async with fan_out() as out:
        one, other = viewer(out), viewer(out)
        one.on_target(500_000)
        assert out.as_dict()["bitrate_bps"] == 500_000
        other.on_target(3_000_000)
        one.on_target(400_000)
        assert out.as_dict()["bitrate_bps"] == 3_000_000
        other.stop()
        one.on_target(400_000)
        assert out.as_dict()["bitrate_bps"] == 400_000


@pytest.mark.parametrize(
    ("viewers", "bps"),
    [(1, Bitrate().max), (2, SHARED_BPS), (16, TOGETHER_BPS // 16), (50, EACH_BPS)],
)
async def test_the_more_viewers_the_less_for_each(viewers: int, bps: int) -> None:
    with ThreadPoolExecutor(1) as threads:
        out = FanOut("H264", Bitrate(start=Bitrate().max), threads)
        tracks = [viewer(out) for _ in range(viewers)]
        assert out.as_dict()["bitrate_bps"] == bps  # before they said anything
        for track in tracks:
            track.on_target(Bitrate().max)
        assert out.as_dict()["bitrate_bps"] == bps


async def test_a_viewer_who_leaves_is_gone() -> None:
    async with fan_out() as out:
        track = viewer(out)
        waiting = asyncio.create_task(track.recv())
        await asyncio.sleep(0)
        track.stop()
        with pytest.raises(MediaStreamError):
            await waiting
        assert len(out) == 0


async def test_a_viewer_with_a_bad_path_gets_the_small_picture_and_the_others_pay_nothing() -> None:
    async with fan_out() as out:
        good, bad = viewer(out), viewer(out)
        await encode(out, range(2))
        good.on_target(3_000_000)
        keyframes = out.full.as_dict()["keyframes"]
        bad.on_target(450_000)
        await asyncio.sleep(DOWN_S + 0.05)
        bad.on_target(450_000)
        assert (len(out.full), len(out.small)) == (1, 1)
        for n in range(2, 5):
            for rung in out.rungs:
                rung.frames.put(frame(n))
            await eventually(partial(has_made, out.small, n - 1))
        assert (await bad.recv()).is_keyframe
        bad.want_keyframe()
        assert out.full.as_dict()["keyframes"] == keyframes
        assert out.full.target_bps == 3_000_000


async def test_the_only_viewer_of_the_small_picture_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DOWN_S", "UP_S"):
        monkeypatch.setattr(f"streamer.webrtc.fan_out.{name}", 0.0)
    async with fan_out() as out:
        good, other = viewer(out), viewer(out)
        good.on_target(3_000_000)
        for path_bps, full, small in ((400_000, 1, 1), (3_000_000, 2, 0)):
            other.on_target(path_bps)
            assert (len(out.full), len(out.small)) == (full, small)


def test_one_alone_keeps_the_full_picture() -> None:
    choice = RungChoice()
    for tenth in range(100):
        path_bps = 400_000  # and the encoder follows
        assert not choice.update(path_bps, path_bps, 400_000, tenth / 10)


def test_a_better_path_is_tried_ever_more_rarely_if_it_does_not_last() -> None:
    choice, changes, now = RungChoice(), list[float](), 0.0
    while now < 100:
        path_bps = 800_000 if choice.is_small else 500_000
        if choice.update(path_bps, 2_500_000, 400_000, now):
            changes.append(now)
        now += 0.1
    ups = changes[1::2]
    waits = [up - down for down, up in zip(changes[::2], ups, strict=False)]
    assert len(ups) == 4
    assert all(later > 1.8 * sooner for sooner, later in pairwise(waits))
