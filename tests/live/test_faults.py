"""After a fault a stream is back in two seconds, or ended for both sides, with its reason."""

import os
from pathlib import Path

import pytest

from streamer.files import source_sink, transcode
from streamer.ring import supervisor
from tests.support.faults import FILM, LIVE, Kind, film_fault, live_fault

SOON_S = 2.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcode, "FROZEN_S", 2.0)
    monkeypatch.setattr(source_sink, "JOIN_S", 0.1)
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
    assert row.seen.startswith(("whole, 40", "ended: ")) and len(row.seen) > len("ended: ")
    if kind == "delay" or place == "stylize":
        assert target.exists(), row
