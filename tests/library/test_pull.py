"""Published networks become styles; what a mirror gets wrong leaves nothing behind."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.engine.stylizer import StylizerSpec
from streamer.errors import UnknownStyleError, UsageError
from streamer.frame import Style
from streamer.library import pull as library_pull
from streamer.library.pull import pull
from streamer.paths import built_in_models, user_models
from streamer.styles.catalogue import Catalogue
from streamer.styles.published import Published, published
from tests.support.commands import Command
from tests.support.mirror import Mirror, mirror
from tests.support.networks import fixed_network
from tests.support.pictures import picture


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of one network for 224x224, which is all that is published."""
    data = fixed_network(tmp_path / "fixed.onnx", 224).read_bytes()
    with mirror(data) as served:
        digest = hashlib.sha256(data).hexdigest()
        table = ["[[model]]", 'name = "candy"', 'style = "candy"', f"bytes = {len(data)}"]
        table += [f'sha256 = "{digest}"', 'layout = "rgb255"', 'license = "BSD-3-Clause"']
        table += ['description = "Curls"', f'urls = ["{served.url}"]']
        (tmp_path / "published.toml").write_text("\n".join(table))
        monkeypatch.setattr("streamer.styles.published.built_in_models", lambda: tmp_path)
        yield served


def test_a_pulled_network_paints_every_size(store: Mirror, streamer: Command) -> None:
    code, out, err = streamer("styles", "pull", "candy")
    assert (code, err) == (0, "")
    assert out.startswith("candy is here")
    catalogue = Catalogue.load()
    model, entry = catalogue.find("candy")
    assert (model.license, model.source, entry.description) == ("BSD-3-Clause", store.url, "Curls")
    assert model.added
    for backend in ("onnx", "torch"):
        stylizer = StylizerSpec(backend, models=(model,)).load()
        for size in ((224, 224), (101, 57), (320, 180)):
            stylized = stylizer.stylize(picture(*size), Style((("candy", 1.0),)))
            assert (stylized.width, stylized.height) == size
            assert stylized.data.std() > 5
    assert streamer("styles", "pull", "candy") == (0, "", "candy is here already\n")
    assert len(store.asked) == 1
    kept = ["candy.onnx", "candy.statistics.npz", "styles.toml"]
    assert [path.name for path in sorted(user_models().iterdir())] == kept


def test_a_command_that_names_it_pulls_it(store: Mirror, streamer: Command) -> None:
    """With --pull, and before it looks at anything else."""
    _, _, err = streamer("file", "missing.mp4", "--style", "candy:0.5,mosaic:0.5", "--pull")
    assert "candy is here\n" in err and "unknown style" not in err
    assert "candy" in Catalogue.load() and len(store.asked) == 1


def test_pulled_under_another_name(store: Mirror, streamer: Command) -> None:
    code, _, err = streamer("styles", "pull", "candy", "--name", "ember")
    assert code == 2
    assert err.startswith("streamer: the name ember is taken, by the model multistyle26")
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
    assert err.endswith("; pull it again to resume\n")
    assert [path.suffix for path in user_models().iterdir()] == [".part"]
    store.breaks_after = None
    assert streamer("styles", "pull", "candy")[0] == 0
    assert store.asked == ["bytes=0-", "bytes=700-"]
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
    return published()["candy"]


def test_what_can_be_pulled_is_shown_and_named(store: Mirror, streamer: Command) -> None:
    code, out, err = streamer("styles", "show", "candy")
    assert (code, err) == (0, "")
    facts = " ".join(out.split())
    for fact in ("candy, not here", "title Candy", "MB", "BSD-3-Clause", store.url):
        assert fact in facts
    assert facts.endswith("to get it streamer styles pull candy")
    gets = "`streamer styles pull candy` gets it"
    with pytest.raises(UnknownStyleError, match=f"the style 'candy' is not here: {gets}"):
        Catalogue.load().parse("candy")
    said = f"streamer: unknown style 'cnady'; did you mean candy? {gets}\n"
    assert streamer("styles", "show", "cnady") == (2, "", said)
    streamer("styles", "pull", "candy", "--name", "sweets")
    code, out, err = streamer("styles", "show", "candy")
    assert (code, out) == (2, "") and "unknown style 'candy'" in err and "pull" not in err


def test_the_published_networks_are_well_described() -> None:
    models = published()
    assert set(models) == {"candy", "mosaic", "rain-princess", "udnie", "pointilism"}
    for model in models.values():
        assert len(model.sha256) == 64 and model.bytes == 6728029
        assert len(model.urls) == 3
        assert all(u.startswith("https://") and u.endswith("-9.onnx") for u in model.urls)
    assert (built_in_models() / "published.toml").is_file()
    with pytest.raises(UsageError, match="not published"):
        library_pull.find("nothing")
    assert library_pull.find("classic-mosaic") == models["mosaic"]
