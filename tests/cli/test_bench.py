"""`streamer bench` keeps what it found on an idle machine only, unless it is told to."""

from collections.abc import Iterator

import pytest

from streamer.diagnostics import measure, saved, trials
from streamer.diagnostics.measure import Speed
from streamer.diagnostics.trials import Trial, Whole
from streamer.ring.setup import Setup
from tests.support.commands import Command

SETUP = Setup("onnx", 1)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What is measured, in turn; no ring is started."""

    async def trial(*_: object) -> Trial:
        return Trial(SETUP, Speed(30.0, 0.03))

    async def whole(*_: object) -> Whole:
        return Whole(25.0, 20.0)

    told: list[float] = []
    monkeypatch.setattr(trials, "trial", trial)
    monkeypatch.setattr(trials, "whole", whole)
    monkeypatch.setattr(measure, "others_load", lambda: told.pop(0))
    yield told


@pytest.mark.parametrize(
    ("found", "options", "last"),
    [
        ([0.02, 0.05], [], "kept in "),
        ([0.02, 0.34], [], "not kept; --save keeps it all the same"),
        ([0.34, 0.02], [], "not kept; --save keeps it all the same"),
        ([0.02, 0.34], ["--save"], "kept in "),
        ([0.02, 0.02], ["--no-save"], "not kept"),
    ],
)
def test_what_a_busy_machine_gives_is_not_kept(
    streamer: Command, loads: list[float], found: list[float], options: list[str], last: str
) -> None:
    loads += found
    code, out, err = streamer("bench", "--backend", "onnx", "--threads", "1", *options)
    assert (code, loads) == (0, []), err
    assert ("other programs took 34% of the processor" in out) == (max(found) > 0.1)
    assert out.splitlines()[-1].startswith(last)
    assert (saved.load() is not None) == last.startswith("kept")
