"""A server's catalogue while it runs: a painting sent by HTTP is a style, for workers as well."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from streamer.engine.network import Network
from streamer.engine.onnx_network import OnnxNetwork
from streamer.engine.stylizer import Stylizer, StylizerSpec
from streamer.errors import ModelError, UnknownStyleError, UsageError
from streamer.files.uploads import VideoJobs
from streamer.frame import Image, Style
from streamer.library import live as styles_live
from streamer.library.add import import_model
from streamer.library.live import LiveCatalogue
from streamer.live.broadcast import Broadcasts
from streamer.live.pictures import Pictures
from streamer.paths import user_models
from streamer.server.app import create_app
from streamer.server.interfaces import Live
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import ModelFile
from tests.support.http_world import (
    HERE,
    PHOTO_FILES,
    SMALL,
    FakeRing,
    FakeSessions,
    FakeViewers,
    error_of,
    no_flow,
    photo,
)
from tests.support.networks import model_file, negative_network
from tests.support.pictures import picture


def client(*, here: bool = True) -> httpx.AsyncClient:
    """A server with a real catalogue, and all else made up."""
    live = LiveCatalogue(Catalogue.load(), max_pixels=SMALL.max_photo_pixels, here=here)
    sessions = FakeSessions()
    people = Live(sessions, FakeViewers(sessions), Pictures(Broadcasts()))
    app = create_app(SMALL, FakeRing(), people, live, VideoJobs(no_flow), photo_files=PHOTO_FILES)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE)


def painting(name: str, content: bytes | None = None) -> dict[str, tuple[str, bytes, str]]:
    return {"image": (name, content or photo(kind="PNG"), "image/png")}


async def names(http: httpx.AsyncClient) -> list[str]:
    return [entry["name"] for entry in (await http.get("/styles")).json()["styles"]]


async def test_a_painting_is_a_style_at_once() -> None:
    async with client() as http:
        before = await names(http)
        answer = await http.post("/styles", files=painting("Starry Night.png"))
        assert answer.status_code == 201
        entry = answer.json()
        assert (entry["name"], entry["title"]) == ("starry-night", "Starry night")
        assert entry in (await http.get("/styles")).json()["styles"]
        assert await names(http) == [*before, "starry-night"]
    assert [model.source for model in Catalogue.load().models if model.added] == [
        "added from starry-night.png"
    ]


async def test_its_name_is_the_one_given_else_a_free_one_after_the_file() -> None:
    async with client() as http:
        for file, name in (
            ("mosaic.png", "mosaic-2"),  # a style has that name already
            ("mosaic.png", "mosaic-3"),
            ("写真.heic", "painting"),  # the content counts, not the ending
            ("../../etc/passwd.onnx", "passwd"),
        ):
            answer = await http.post("/styles", files=painting(file))
            assert (answer.status_code, answer.json()["name"]) == (201, name)
        given = await http.post("/styles", files=painting("a.png"), data={"name": "My Cat"})
        assert given.json()["name"] == "my-cat"
        again = await http.post("/styles", files=painting("a.png"), data={"name": "my-cat"})
        assert error_of(again) == (400, "bad_request")
        assert "my-cat is taken" in again.json()["error"]["message"]
    assert {path.parent for path in user_models().iterdir()} == {user_models()}


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"not a picture", (415, "unsupported_media")),
        (photo(101, 100), (413, "too_large")),
        (photo() + bytes(SMALL.max_body_bytes), (413, "too_large")),
    ],
)
async def test_what_is_no_painting_is_refused(content: bytes, refusal: tuple[int, str]) -> None:
    async with client() as http:
        assert error_of(await http.post("/styles", files=painting("a.png", content))) == refusal
    assert not user_models().exists()


async def test_paintings_have_the_limit_of_photos() -> None:
    large = photo(kind="PNG") + bytes(150_000)  # more than an offer may have
    async with client() as http:
        assert (await http.post("/styles", files=painting("a.png", large))).status_code == 201


async def test_workers_elsewhere_would_not_find_it() -> None:
    async with client(here=False) as http:
        assert error_of(await http.post("/styles", files=painting("a.png"))) == (501, "unavailable")


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveCatalogue(Catalogue.load(), max_pixels=10_000)
    monkeypatch.setattr(styles_live, "MAX_ADDED", 1)
    live.add(photo(), "one.jpg")
    with pytest.raises(UsageError, match="streamer styles remove"):
        live.add(photo(), "two.jpg")


# --- the workers -------------------------------------------------------------------------------


def only(name: str) -> Style:
    return Style(((name, 1.0),))


def inverted(image: Image) -> bool:
    return bool(abs(image.planes[0].mean() + picture(64, 48).planes[0].mean() - 251) < 3)


def test_a_stylizer_asks_for_names_it_does_not_know_and_for_each_once(tmp_path: Path) -> None:
    model = model_file(negative_network(tmp_path / "n.onnx"), "rgb255", "negative", name="n")
    asked: list[str] = []

    def more(name: str) -> tuple[ModelFile, Network]:
        asked.append(name)
        return model, OnnxNetwork(model, model.read(), 1)

    stylizer, image = Stylizer({}, more), picture(64, 48)
    for _ in range(2):
        assert inverted(stylizer.stylize(image, only("negative")))
    assert asked == ["negative"]
    assert "negative@n" in stylizer.styles
    with pytest.raises(UnknownStyleError, match="nobody"):
        stylizer.stylize(image, only("nobody"))


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_what_is_added_later_is_painted_where_that_was_asked_for(
    tmp_path: Path, backend: str
) -> None:
    spec = replace(StylizerSpec("onnx" if backend == "onnx" else "torch"), follow_catalogue=True)
    growing, fixed, image = (
        spec.load(),
        replace(spec, follow_catalogue=False).load(),
        picture(64, 48),
    )
    with pytest.raises(UnknownStyleError, match="negative"):
        growing.stylize(image, only("negative"))
    import_model(negative_network(tmp_path / "negative.onnx"))
    assert inverted(growing.stylize(image, only("negative")))
    with pytest.raises(UnknownStyleError, match="negative"):
        fixed.stylize(image, only("negative"))


def test_an_added_network_that_is_damaged_says_so(tmp_path: Path) -> None:
    growing = StylizerSpec("onnx", follow_catalogue=True).load()
    import_model(negative_network(tmp_path / "negative.onnx"))
    (user_models() / "negative.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="streamer styles remove negative"):
        growing.stylize(picture(64, 48), only("negative"))


async def test_an_own_style_is_renamed_handed_out_and_removed() -> None:
    async with client() as http:
        await http.post("/styles", files=painting("Starry Night.png"))
        renamed = await http.patch("/styles/starry-night", json={"title": "Over the Rhône"})
        assert (renamed.json()["title"], renamed.json()["added"]) == ("Over the Rhône", True)
        listed = (await http.get("/styles")).json()["styles"]
        assert [s["title"] for s in listed if s["name"] == "starry-night"] == ["Over the Rhône"]
        model = await http.get("/styles/starry-night/model")
        assert "starry-night.onnx" in model.headers["content-disposition"]
        assert model.content == (user_models() / "starry-night.onnx").read_bytes()
        assert (await http.delete("/styles/starry-night")).status_code == 200
        assert "starry-night" not in await names(http)
        assert not (user_models() / "starry-night.onnx").exists()


async def test_what_came_with_streamer_stays_as_it_is() -> None:
    async with client() as http:
        renamed = await http.patch("/styles/autumn", json={"title": "Spring"})
        assert error_of(renamed) == (400, "bad_request")
        assert error_of(await http.delete("/styles/autumn")) == (400, "bad_request")
        assert error_of(await http.get("/styles/autumn/model")) == (400, "bad_request")
