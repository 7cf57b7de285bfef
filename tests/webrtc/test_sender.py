"""Frames that wait for an encoder; keyframes that are rationed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiortc.mediastreams import MediaStreamError

from streamer.frame import VIDEO_TIME_BASE, Frame
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.sender import VideoTrack
from tests.support.clips import number_frame
from tests.support.waiting import eventually


def frame(n: int) -> Frame:
    return Frame(number_frame(n, 160, 96), n * 3000, VIDEO_TIME_BASE, 0.0)


async def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("VP8")
        for n in range(5):
            await track.send(frame(n))
        packet = await track.recv()
        assert packet.pts == 4 * 3000
        assert (track.frames.dropped, track.sent, track.keyframes) == (4, 1, 1)
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_keyframes_on_demand_are_rationed(codec: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("VP8" if codec == "VP8" else "H264")
        for n in range(30):
            track.want_keyframe()  # with every single frame
            await track.send(frame(n))
            await track.recv()
            await asyncio.sleep(0.01)
        assert 2 <= track.keyframes <= 5
        track.stop()


async def test_a_keyframe_that_could_not_be_made_is_still_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamer.webrtc.sender.KEYFRAME_EVERY_S", 0)
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("VP8")
        await track.send(frame(1))
        await track.recv()
        track.want_keyframe()
        await track.send(frame(1))  # not later than the last one: no packet
        receiving = asyncio.create_task(track.recv())
        await eventually(lambda: len(track.encode_s) == 2)
        await track.send(frame(2))
        assert (await receiving).is_keyframe
        track.stop()


async def test_a_frame_that_cannot_be_encoded_does_not_end_the_stream() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(), threads)
        track.negotiated("H264")
        too_wide = Frame(number_frame(0, 20_000, 32), 0, VIDEO_TIME_BASE, 0.0)
        await track.send(too_wide)
        receiving = asyncio.create_task(track.recv())
        await eventually(lambda: track.errors)
        await track.send(frame(1))
        assert (await receiving).pts == 3000
        track.stop()


def test_estimates_are_bounded() -> None:
    with ThreadPoolExecutor(1) as threads:
        track = VideoTrack(Bitrate(1_000_000, 500_000, 2_000_000), threads)
        assert track.target_bps == 1_000_000
        track.on_target(10**9)
        assert track.target_bps == 2_000_000
        track.on_target(1)
        assert track.target_bps == 500_000
