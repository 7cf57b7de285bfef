"""What `streamer bench` found: kept, used, deleted."""

from pathlib import Path

import pytest

from streamer.diagnostics import saved
from streamer.errors import StreamerError
from streamer.ring.setup import Setup

LIVE, FILE = Setup("torch", 1, 4), Setup("onnx", 8)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, no GPU, nothing found yet."""
    monkeypatch.setattr(saved, "cores", lambda: 8)
    monkeypatch.setattr(saved, "gpus", lambda: 0)
    return tmp_path


def test_findings_are_taken_over_and_said() -> None:
    assert saved.load_saved("live", None, None) is None
    path = saved.save(LIVE, FILE, "2026-01-31")
    assert path == saved.path()
    live, file = saved.load_saved("live", None), saved.load_saved("file", None)
    assert live is not None and file is not None
    assert (live[0], file[0]) == (LIVE, FILE)
    assert live[1] == (
        "using what `streamer bench` found best on 2026-01-31: "
        "--backend torch --workers 1 --threads 4"
    )


def test_anything_asked_for_sets_findings_aside() -> None:
    saved.save(LIVE, FILE, "2026-01-31")
    assert saved.load_saved("live", None, 0) is None
    assert saved.load_saved("live", "onnx", None) is None


def test_findings_of_another_machine_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    saved.save(LIVE, FILE, "2026-01-31")
    monkeypatch.setattr(saved, "cores", lambda: 4)
    assert saved.load() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"live": {"backend": "onnx"}, "file": 1}'])
def test_a_damaged_file_is_as_good_as_none(text: str) -> None:
    saved.save(LIVE, FILE, "2026-01-31")
    saved.path().write_text(text)
    assert saved.load() is None


def test_what_was_found_can_be_forgotten() -> None:
    saved.save(LIVE, FILE, "2026-01-31")
    assert saved.clear()
    assert not saved.clear()
    assert saved.load() is None


def test_a_folder_that_cannot_be_is_said_in_one_line(machine: Path) -> None:
    (machine / "data").write_text("a file, not a folder")
    with pytest.raises(StreamerError, match=r"cannot write .*bench\.json"):
        saved.save(LIVE, FILE, "2026-01-31")


def test_gpus_are_named_where_there_are_any() -> None:
    assert str(Setup("torch", 2, 1, 2)) == "--backend torch --workers 2 --threads 1 --gpus 2"
