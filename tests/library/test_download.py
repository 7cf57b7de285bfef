"""Files from mirrors on loopback that break off, lie, or are not there at all."""

import hashlib
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamer.errors import ModelError
from streamer.library import download as download_module
from streamer.library.download import DownloadError, download
from tests.support.mirror import Mirror, mirror

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes: some chunks of 64 KiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOBODY = "http://127.0.0.1:9/net.onnx"  # the discard port: nobody listens


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "models" / "net.part"


@pytest.fixture
def mirrors() -> Iterator[list[Mirror]]:
    with ExitStack() as stack:
        yield [stack.enter_context(mirror(CONTENT)) for _ in range(2)]


def fetch(part: Path, *urls: str) -> tuple[bytes, list[int]]:
    told: list[int] = []
    download(urls, part, len(CONTENT), SHA256, told.append)
    return part.read_bytes(), told


def test_a_file_comes_whole_and_progress_is_told(mirrors: list[Mirror], part: Path) -> None:
    data, told = fetch(part, mirrors[0].url)
    assert data == CONTENT
    assert told == sorted(set(told)) and (told[0], told[-1]) == (0, len(CONTENT))
    assert len(told) > 5


def test_what_broke_off_is_gone_on_with_even_elsewhere(mirrors: list[Mirror], part: Path) -> None:
    mirrors[0].breaks_after = 100_000
    data, told = fetch(part, mirrors[0].url, mirrors[1].url)
    assert data == CONTENT
    assert (mirrors[0].asked, mirrors[1].asked) == (["bytes=0-"], ["bytes=100000-"])
    assert told == sorted(told)


def test_what_broke_off_is_gone_on_with_the_next_time(mirrors: list[Mirror], part: Path) -> None:
    mirrors[0].breaks_after = 100_000
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+: broke off after 100000 of 512000"):
        fetch(part, mirrors[0].url)
    assert part.read_bytes() == CONTENT[:100_000]
    mirrors[0].breaks_after = None
    assert fetch(part, mirrors[0].url)[0] == CONTENT
    assert mirrors[0].asked == ["bytes=0-", "bytes=100000-"]


def test_a_server_without_ranges_starts_again(mirrors: list[Mirror], part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    mirrors[0].ranges = False
    data, told = fetch(part, mirrors[0].url)
    assert data == CONTENT
    assert told[0] == 0


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_beginning_of_something_else_is_thrown_away(
    mirrors: list[Mirror], part: Path, size: int
) -> None:
    part.parent.mkdir()
    part.write_bytes(b"x" * size)
    assert fetch(part, mirrors[0].url)[0] == CONTENT
    assert mirrors[0].asked[-1] == "bytes=0-"


def test_mirrors_are_tried_in_order(mirrors: list[Mirror], part: Path) -> None:
    first, second = mirrors
    first.status = 404
    assert fetch(part, NOBODY, first.url, second.url)[0] == CONTENT
    assert (len(first.asked), len(second.asked)) == (1, 1)
    part.unlink()
    assert fetch(part, second.url, first.url)[0] == CONTENT
    assert len(first.asked) == 1


def test_of_each_mirror_is_said_what_is_wrong_with_it(mirrors: list[Mirror], part: Path) -> None:
    mirrors[0].status, mirrors[1].content = 404, CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError) as caught:
        fetch(part, NOBODY, mirrors[0].url, mirrors[1].url)
    nobody, missing, wrong = str(caught.value).split("; ")
    assert nobody == "127.0.0.1:9: Connection refused"
    assert missing.endswith("answers 404 Not Found")
    assert wrong.endswith("the file is not the published one (its SHA-256 differs)")
    assert not part.exists()


@pytest.mark.parametrize("length", [1, 10**12])
def test_a_wrong_size_is_noticed_before_anything_is_written(
    mirrors: list[Mirror], part: Path, length: int
) -> None:
    mirrors[0].announce = length
    with pytest.raises(DownloadError, match=f"offers {length} bytes where 512000 were expected"):
        fetch(part, mirrors[0].url)
    assert not part.parent.exists()


def test_a_server_that_falls_silent_is_given_up(
    mirrors: list[Mirror], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "TIMEOUT_S", 0.3)
    mirrors[0].silent_s = 1.0
    with pytest.raises(DownloadError, match="timed out"):
        fetch(part, mirrors[0].url)
    assert fetch(part, mirrors[0].url, mirrors[1].url)[0] == CONTENT


def test_a_folder_that_cannot_be_written_is_named(mirrors: list[Mirror], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write .*file/net\.part: (Not a dir|File exists)"):
        fetch(tmp_path / "file" / "net.part", mirrors[0].url, mirrors[1].url)
    assert mirrors[1].asked == []  # another mirror would not help


def test_a_full_disk_gets_its_room_back(mirrors: list[Mirror], part: Path) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(ModelError, match=r"cannot write .*net\.part: File too large"):
            fetch(part, mirrors[0].url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not part.exists()
