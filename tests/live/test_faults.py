"""After a fault a stream is back in two seconds, or ended for both sides, with its reason."""

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from aiortc import rtcrtpsender

from streamer.files import source_sink, transcode
from streamer.ring import supervisor
from streamer.webrtc import rtp_sender
from tests.support.faults import FILM, LIVE, Kind, faults, film_fault, live, live_fault
from tests.support.video_runs import times
from tests.support.waiting import eventually

SOON_S = 2.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcode, "FROZEN_S", 2.0)
    monkeypatch.setattr(source_sink, "JOIN_S", 0.5)
    monkeypatch.setattr(supervisor, "HELLO_S", 0.5)


def slack() -> float:
    """What is promised holds on an idle machine; on a busy one it takes its share longer."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.parametrize(("place", "kind"), LIVE)
async def test_a_live_stream(place: str, kind: Kind) -> None:
    row = await live_fault(place, kind)
    assert row.seconds < SOON_S * slack(), row
    assert row.seen == "back" or len(row.seen) > len("ended: "), "the client was told why"
    if kind == "delay" or place in ("stylize", "accept"):
        assert row.seen == "back", row


@pytest.mark.parametrize(("place", "kind"), FILM)
async def test_a_film(place: str, kind: Kind, tmp_path: Path) -> None:
    """It is whole, or it is not there, and who made it was told why."""
    row = await film_fault(place, kind, tmp_path)
    target = tmp_path / "out.mp4"
    assert (row.seen == "whole, 40 frames") == target.exists(), row
    assert not target.exists() or len(times(target)) == 40 + 1
    assert row.seen.startswith(("whole, 40", "ended: ")) and len(row.seen) > len("ended: ")
    if kind == "delay" or place == "stylize":
        assert target.exists(), row


async def test_numbers_and_times_that_wrap_amid_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both sides: sequence numbers at 65,535, RTP times at 2**32."""
    begin = rtp_sender.RtpSender.__init__

    def begin_late(self: rtp_sender.RtpSender, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self._sequence = self._rtx_sequence = 65_500
        self._origin = 2**32 - 90_000
        self._packets, self._octets = 2**32 - 60, 2**32 - 60_000

    monkeypatch.setattr(rtcrtpsender, "random_sequence_number", lambda: 65_500)
    numbers = itertools.count(2**32 - 90_000)
    monkeypatch.setattr(rtcrtpsender, "random32", lambda: next(numbers))
    monkeypatch.setattr(rtp_sender.RtpSender, "__init__", begin_late)
    calls = itertools.count()
    with faults() as made:
        async with live(made) as (sessions, client, _):
            began = time.monotonic()
            client.lose(lambda: next(calls) % 10 == 0)
            await eventually(lambda: len(client.arrivals) > 150)
            assert sessions.stats()
            shown = [arrival.at for arrival in client.arrivals if arrival.at > began]
            assert max(b - a for a, b in itertools.pairwise(shown)) < SOON_S * slack()
            told = [json.loads(text)["stats"] for text in client.messages if "stats" in text]
            assert told[-1]["out_fps"] > 0
