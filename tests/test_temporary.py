"""Temporary folders and drafts: those of the killed are swept, those of the living are not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamer import temporary
from streamer.paths import written_whole

FOLDER = "from streamer import temporary; print(temporary.new_folder('x'), flush=True); input()"
DRAFT = """
import os, pathlib, sys
from streamer.paths import written_whole
with written_whole(pathlib.Path(sys.argv[1])) as file:
    print(os.readlink(f"/proc/self/fd/{file.fileno()}"), flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_swept", set())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def running(code: str, *words: object) -> subprocess.Popen[str]:
    """Another process that has just made something and keeps using it."""
    environment = os.environ | {"TMPDIR": str(Path(str(words[0])).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def made_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_folder_is_its_user_s_only_and_goes_with_what_is_in_it() -> None:
    with temporary.folder("x") as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
    assert not folder.exists()
    temporary.remove(folder)


def test_the_folder_of_a_killed_process_is_swept_and_of_a_running_one_is_not(
    tmp_path: Path,
) -> None:
    killed, lives = running(FOLDER, tmp_path / "a"), running(FOLDER, tmp_path / "b")
    left, used = Path(made_by(killed)), Path(made_by(lives))
    assert left.parent == used.parent == tmp_path
    end(killed)
    with temporary.folder("x"):
        assert not left.exists()
        assert used.exists()
    end(lives)


def test_what_is_not_ours_is_not_swept(tmp_path: Path) -> None:
    plain = tmp_path / "streamer-notes"
    plain.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").touch()
    (tmp_path / "streamer-link").symlink_to(tmp_path / "elsewhere")
    with temporary.folder("x"):
        pass
    assert plain.exists() and (tmp_path / "elsewhere" / "lock").exists()


def test_drafts_of_killed_processes_are_swept_once_they_are_old(tmp_path: Path) -> None:
    writers = [running(DRAFT, tmp_path / name) for name in ("killed", "young", "lives")]
    killed, young, lives = [Path(made_by(writer)) for writer in writers]
    end(writers[0])
    end(writers[1])
    ago = time.time() - 2 * temporary.YOUNG_S
    theirs = tmp_path / ".mine.part"
    theirs.touch()
    for path in (killed, lives, theirs):
        os.utime(path, (ago, ago))
    with written_whole(tmp_path / "new") as file:
        file.write(b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {
        "new", young.name, lives.name, theirs.name
    }  # fmt: skip
    end(writers[2])


def test_a_file_that_is_used_is_gone_afterwards(tmp_path: Path) -> None:
    token = tmp_path / "token-1"
    token.touch()
    ago = time.time() - 2 * temporary.YOUNG_S
    os.utime(token, (ago, ago))
    with temporary.used(token):
        temporary.sweep_files(tmp_path)
        assert token.exists()
    assert not token.exists()


@pytest.mark.parametrize("name", ["é", "\udcff", "a" * 40])
def test_folders_for_sockets_are_where_ray_can_have_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "SHORT", len(str(tmp_path)) + 10)
    (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    made = temporary.new_folder("x", sockets=True)
    try:
        assert made.parent == Path("/tmp")
    finally:
        temporary.remove(made)
