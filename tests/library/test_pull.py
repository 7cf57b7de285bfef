"""Networks fetched from mirrors on loopback that break off, lie, or are not there at all."""

import hashlib
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamer.engine.stylizer import StylizerSpec
from streamer.errors import ModelError, UsageError
from streamer.frame import Style
from streamer.library import download as styles_download
from streamer.library import pull as styles_pull
from streamer.library.download import DownloadError, download
from streamer.library.pull import Published, published, pull
from streamer.paths import built_in_models, user_models
from streamer.styles.catalogue import Catalogue
from tests.support.commands import Command
from tests.support.mirror import Mirror, mirror
from tests.support.networks import fixed_network
from tests.support.pictures import picture

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
    data = download(urls, part, len(CONTENT), SHA256, told.append)
    assert not part.exists()
    return data, told


def test_a_file_comes_whole_and_progress_is_told(mirrors: list[Mirror], part: Path) -> None:
    data, told = fetch(part, mirrors[0].url)
    assert data == CONTENT
    assert told == sorted(set(told)) and (told[0], told[-1]) == (0, len(CONTENT))
    assert len(told) > 5


def test_what_broke_off_is_gone_on_with_even_elsewhere(mirrors: list[Mirror], part: Path) -> None:
    mirrors[0].breaks_after = 100_000
    data, told = fetch(part, mirrors[0].url, mirrors[1].url)
    assert data == CONTENT
    assert (mirrors[0].asked, mirrors[1].asked) == ([""], ["bytes=100000-"])
    assert told == sorted(told)


def test_what_broke_off_is_gone_on_with_the_next_time(mirrors: list[Mirror], part: Path) -> None:
    mirrors[0].breaks_after = 100_000
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+: broke off after 100000 of 512000"):
        fetch(part, mirrors[0].url)
    assert part.read_bytes() == CONTENT[:100_000]
    mirrors[0].breaks_after = None
    assert fetch(part, mirrors[0].url)[0] == CONTENT
    assert mirrors[0].asked == ["", "bytes=100000-"]


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
    assert mirrors[0].asked[-1] == ""


def test_mirrors_are_tried_in_order(mirrors: list[Mirror], part: Path) -> None:
    first, second = mirrors
    first.status = 404
    assert fetch(part, NOBODY, first.url, second.url)[0] == CONTENT
    assert (len(first.asked), len(second.asked)) == (1, 1)
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
    monkeypatch.setattr(styles_download, "TIMEOUT_S", 0.3)
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


# --- what was fetched becomes a style ----------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of one network for 224x224, which is all that is published."""
    data = fixed_network(tmp_path / "fixed.onnx", 224).read_bytes()
    with mirror(data) as served:
        digest = hashlib.sha256(data).hexdigest()
        model = Published(
            "candy", "candy", len(data), digest, "rgb255", "BSD-3-Clause", "Curls", (served.url,)
        )
        monkeypatch.setattr(styles_pull, "published", lambda: {"candy": model})
        yield served


def test_a_pulled_network_paints_every_size(store: Mirror, streamer: Command) -> None:
    code, out, err = streamer("styles", "pull", "candy")
    assert (code, err) == (0, "")
    assert out.startswith("candy is here")
    catalogue = Catalogue.load()
    model, look = catalogue.find("candy")
    assert (model.license, model.source, look.description) == ("BSD-3-Clause", store.url, "Curls")
    assert model.added
    for backend in ("onnx", "torch"):
        stylizer = StylizerSpec(backend, models=(model,)).load()
        for size in ((224, 224), (101, 57), (320, 180)):
            stylized = stylizer.stylize(picture(*size), Style((("candy", 1.0),)))
            assert (stylized.width, stylized.height) == size
            assert stylized.data.std() > 5
    assert streamer("styles", "pull", "candy") == (0, "", "candy is here already\n")
    assert len(store.asked) == 1
    assert [path.name for path in sorted(user_models().iterdir())] == ["candy.onnx", "styles.toml"]


def test_pulled_under_another_name(store: Mirror, streamer: Command) -> None:
    code, _, err = streamer("styles", "pull", "candy", "--name", "ember")
    assert code == 2
    assert err.startswith("streamer: the name ember is taken, by the model live")
    assert store.asked == []
    assert streamer("styles", "pull", "candy", "--name", "Sweet shop")[0] == 0
    assert "sweet-shop" in Catalogue.load()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"content": b"x" * 5000}, "offers 5000 bytes where"),
        ({"status": 503}, "answers 503 Service Unavailable"),
    ],
)
def test_a_pull_that_fails_is_one_line_and_leaves_nothing(
    store: Mirror, streamer: Command, change: dict[str, object], text: str
) -> None:
    for name, value in change.items():
        setattr(store, name, value)
    code, out, err = streamer("styles", "pull", "--all")
    assert (code, out) == (1, "")
    assert err.startswith("streamer: cannot fetch candy: 127.0.0.1:") and text in err
    assert err.count("\n") == 1
    assert not user_models().exists()
    assert "candy" not in Catalogue.load()


def test_a_pull_of_another_file_of_that_size_leaves_nothing(
    store: Mirror, streamer: Command
) -> None:
    store.content = b"?" * len(store.content)
    code, _, err = streamer("styles", "pull", "candy")
    assert code == 1
    assert err.endswith("the file is not the published one (its SHA-256 differs)\n")
    assert not user_models().exists()


def test_a_pull_that_broke_off_says_so_and_goes_on(store: Mirror, streamer: Command) -> None:
    store.breaks_after = 700
    code, _, err = streamer("styles", "pull", "candy")
    assert code == 1
    assert err.endswith("; pull it again to go on from there\n")
    assert [path.suffix for path in user_models().iterdir()] == [".part"]
    store.breaks_after = None
    assert streamer("styles", "pull", "candy")[0] == 0
    assert store.asked == ["", "bytes=700-"]
    assert not list(user_models().glob("*.part"))


def test_what_is_not_published_cannot_be_pulled(store: Mirror, streamer: Command) -> None:
    unknown = streamer("styles", "pull", "kandy")
    assert unknown == (2, "", "streamer: kandy is not published; there are: candy\n")
    assert streamer("styles", "pull") == (2, "", "streamer: pull which? candy, or --all\n")


def test_the_list_names_what_can_be_pulled_until_it_is_here(
    store: Mirror, streamer: Command
) -> None:
    def line() -> str:
        return next(li for li in streamer("styles", "list")[1].splitlines() if "candy" in li)

    assert line().split() == ["candy", "to", "pull", "Curls"]
    pull(published_here())
    assert line().split() == ["candy", "candy", "Curls"]


def published_here() -> Published:
    return styles_pull.published()["candy"]


def test_the_published_networks_are_well_described() -> None:
    models = published()
    assert set(models) == {"candy", "mosaic", "rain-princess", "udnie", "pointilism"}
    for model in models.values():
        assert len(model.sha256) == 64 and model.bytes == 6728029
        assert len(model.urls) == 3
        assert all(u.startswith("https://") and u.endswith("-9.onnx") for u in model.urls)
    assert (built_in_models() / "published.toml").is_file()
    with pytest.raises(UsageError, match="not published"):
        styles_pull.find("nothing")
    assert styles_pull.find("classic-mosaic") == models["mosaic"]
