"""How many workers: as asked, as the bench found, or as the machine has cores."""

from pathlib import Path

import pytest

from streamer.diagnostics import saved as tuning
from streamer.errors import StreamerError
from streamer.ring.setup import Setup

LIVE, FILM = Setup("torch", 1, 4), Setup("onnx", 8)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, no GPU, nothing found yet."""
    monkeypatch.setattr(tuning, "cores", lambda: 8)
    monkeypatch.setattr(tuning, "gpus", lambda: 0)
    return tmp_path


def test_findings_are_taken_over_and_said() -> None:
    assert tuning.recall("live", None, None) is None
    path = tuning.save(LIVE, FILM, "2026-01-31")
    assert path == tuning.place()
    live, film = tuning.recall("live", None), tuning.recall("film", None)
    assert live is not None and film is not None
    assert (live[0], film[0]) == (LIVE, FILM)
    assert live[1] == (
        "as `streamer bench` found best on 2026-01-31: --backend torch --workers 1 --threads 4"
    )


def test_anything_asked_for_sets_findings_aside() -> None:
    tuning.save(LIVE, FILM, "2026-01-31")
    assert tuning.recall("live", None, 0) is None
    assert tuning.recall("live", "onnx", None) is None


def test_findings_of_another_machine_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning.save(LIVE, FILM, "2026-01-31")
    monkeypatch.setattr(tuning, "cores", lambda: 4)
    assert tuning.load() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"live": {"backend": "onnx"}, "film": 1}'])
def test_a_damaged_file_is_as_good_as_none(text: str) -> None:
    tuning.save(LIVE, FILM, "2026-01-31")
    tuning.place().write_text(text)
    assert tuning.load() is None


def test_what_was_found_can_be_forgotten() -> None:
    tuning.save(LIVE, FILM, "2026-01-31")
    assert tuning.forget()
    assert not tuning.forget()
    assert tuning.load() is None


def test_a_folder_that_cannot_be_is_said_in_one_line(machine: Path) -> None:
    (machine / "data").write_text("a file, not a folder")
    with pytest.raises(StreamerError, match=r"cannot write .*bench\.json"):
        tuning.save(LIVE, FILM, "2026-01-31")


def test_gpus_are_named_where_there_are_any() -> None:
    assert str(Setup("torch", 2, 1, 2)) == "--backend torch --workers 2 --threads 1 --gpus 2"
