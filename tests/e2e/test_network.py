"""Chromium's live picture on bad networks, made of namespaces: it goes on, on one connection."""

from collections.abc import Iterator

import pytest

from bench.lab import missing
from bench.network import SHORT, Seen, series

pytestmark = pytest.mark.e2e

SECONDS = 10


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Seen]]:
    if reason := missing():
        pytest.skip(reason)
    yield dict(series("streamer", SHORT, SECONDS))


@pytest.mark.parametrize("scenario", SHORT)
def test_the_picture_goes_on(seen: dict[str, Seen], scenario: str) -> None:
    row = seen[scenario].row()
    assert row["conns"] == 1, row
    assert float(str(row["fps"])) > 5, row
    assert row["width"] != 0, row


def test_a_thin_path_is_not_flooded(seen: dict[str, Seen]) -> None:
    told = seen["500k-down"]
    assert told.down["bytes"] * 8 / SECONDS < 1.5 * 500_000, told.row()
