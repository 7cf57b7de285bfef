"""Models on a machine that has the package only."""

import hashlib
from pathlib import Path

import pytest

from streamer.errors import ModelError
from streamer.ring.sent_files import SentFiles, read_all

DATA = b"weights"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STREAMER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def never(key: bytes) -> bytes | None:
    raise AssertionError("it is here already")


def test_a_file_that_is_the_same_here_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(DATA)
    assert SentFiles({path: (SHA, b"key")}, never)(path) == path
    assert SentFiles({}, never)(tmp_path / "other") == tmp_path / "other"


def test_one_that_differs_or_is_missing_comes_over_the_cluster_once(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"an older version")
    here = SentFiles({path: (SHA, b"key")}, {b"key": DATA}.get)(path)
    assert here != path and here.read_bytes() == DATA
    assert SentFiles({path: (SHA, b"key")}, never)(path) == here
    assert SentFiles({tmp_path / "none": (SHA, b"key")}, never)(tmp_path / "none") == here


def test_what_does_not_come_whole_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"a\.onnx did not come whole"):
        SentFiles({tmp_path / "a.onnx": (SHA, b"key")}, {b"key": b"weigh"}.get)(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"a\.onnx did not come whole"):
        SentFiles({tmp_path / "a.onnx": (SHA, b"key")}, lambda key: None)(tmp_path / "a.onnx")
    assert not list(cache.rglob("*"))


def test_files_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    assert dict(read_all([tmp_path / "a", tmp_path / "b"])) == {tmp_path / "a": DATA}
