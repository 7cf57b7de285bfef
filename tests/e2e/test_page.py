"""What a person does with the page: looks, numbers, snapshots, recordings, photos, films."""

import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Picture
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import (
    DESKTOP,
    HEIGHT,
    LIVE_MS,
    PHONE,
    WIDTH,
    Server,
    button,
    expect_state,
    faults,
    frames_seen,
    page_at,
    server_with,
    shoot,
)
from tests.support.clips import read_number
from tests.support.video_clips import Clip, write_clip
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

FRAMES = 50
KEYS = ("style", "strength", "preserve_color", "smooth", "tone", "brush")


def look(server: Server) -> dict[str, Any]:
    """The one stream's look, as the server has it."""
    (stream,) = server.streams().values()
    return {key: stream[key] for key in KEYS}


def go_live(page: Page) -> None:
    button(page, "Use the sample video").click()
    expect_state(page, "live")


def test_a_look_is_chosen_mixed_and_shared(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        cards = page.locator("[data-style]")
        expect(cards.first).to_be_visible(timeout=LIVE_MS)
        expect(cards.locator("img")).to_have_count(cards.count(), timeout=2 * LIVE_MS)
        go_live(page)
        first, second = (cards.nth(i).get_attribute("data-style") for i in (1, 2))
        page.keyboard.press("1")
        eventually_sync(lambda: look(server)["style"] == {first: 1.0})
        page.keyboard.press("ArrowRight")
        eventually_sync(lambda: look(server)["style"] == {second: 1.0})

        button(page, "Mix").click()
        cards.nth(1).click()
        eventually_sync(lambda: look(server)["style"] == {first: 0.5, second: 0.5})
        slider = page.get_by_role("group", name="Blend").get_by_role("slider").first
        slider.fill("0.2")
        eventually_sync(lambda: sorted(look(server)["style"].values()) == [0.2, 0.8])
        page.get_by_role("slider", name="Strength").fill("0.6")
        button(page, "Look").click()
        page.get_by_role("slider", name="Calm").fill("0.5")
        page.get_by_role("checkbox", name="Keep colours").check()
        page.get_by_role("slider", name="Tone").fill("0.25")
        page.get_by_role("radio", name="Bold").check()
        rest: dict[str, object] = {
            "strength": 0.6,
            "preserve_color": True,
            "smooth": 0.5,
            "tone": 0.25,
        }
        rest |= {"brush": "bold"}
        eventually_sync(lambda: rest.items() <= look(server).items())
        shoot(page, "mixture")
        shared, wanted = page.url, look(server)
    eventually_sync(lambda: server.streams() == {})
    with page_at(chromium, shared) as page:
        go_live(page)
        eventually_sync(lambda: server.streams() != {} and look(server) == wanted)
    eventually_sync(lambda: server.streams() == {})


def test_a_panel_leaves_the_focus_with_what_is_used(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        go_live(page)
        strength = page.get_by_role("slider", name="Strength")
        page.keyboard.press("n")
        strength.focus()
        expect(page.get_by_role("region", name="Stats")).to_be_visible(timeout=LIVE_MS)
        expect(strength).to_be_focused()
        button(page, "Settings and shortcuts").click()
        settings = page.get_by_role("region", name="Settings and shortcuts")
        expect(settings.get_by_role("heading").first).to_be_focused()
        strength.focus()
        page.keyboard.press("Escape")
        expect(settings).not_to_be_attached()
        expect(strength).to_be_focused()
    eventually_sync(lambda: server.streams() == {})


def test_divider_mirror_numbers_snapshot_and_recording(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none", accept_downloads=True) as page:
        button(page, "Settings and shortcuts").click()
        page.get_by_role("combobox", name="Microphone").select_option("")
        button(page, "Start camera").click()
        expect_state(page, "live")
        page.locator('video[aria-label="Stylized picture"]').evaluate(
            "video => { window.begun = 0; video.onemptied = () => window.begun++; }"
        )
        for key in "cmn":
            page.keyboard.press(key)
        for part in ("camera=divider", "mirror=1", "stats=1"):
            page.wait_for_url(re.compile(part))
        divider = page.get_by_role("slider", name="Divider between the camera")
        divider.press("Home")
        expect(divider).to_have_value("0")
        for x, y in ((300, 120), (900, 400)):  # anywhere in the picture
            page.mouse.move(640, y)
            page.mouse.down()
            page.mouse.move(x, y + 30, steps=4)
            page.mouse.up()
            expect(divider).to_have_value(str(round(100 * x / DESKTOP["width"])))
        assert page.evaluate("begun") == 0, "no control makes the video begin anew"
        age = page.locator("[data-age]")
        eventually_sync(lambda: float(age.get_attribute("data-age") or 0) > 0)
        (stream,) = server.streams().values()
        assert float(age.get_attribute("data-age") or 0) > stream["latency_ms"]["p50"] / 4

        page.keyboard.press("s")
        button(page, "Last picture").click()
        shots = page.get_by_role("region", name="Pictures and clips").get_by_role("listitem")
        expect(shots).to_have_attribute("aria-busy", "false", timeout=LIVE_MS)
        with page.expect_download() as saved:
            button(page, "Save").click()
        with Picture.open(saved.value.path()) as picture:
            assert (picture.format, picture.size) == ("JPEG", (WIDTH, HEIGHT))
            luma = np.asarray(picture.convert("L"))
        assert saved.value.suggested_filename.startswith("streamer-none-")
        assert read_number(luma) is None, "it is mirrored, as it is seen"
        assert read_number(luma[:, ::-1]) is not None

        shots.get_by_role("button", name="Before and after").click()
        pair = page.get_by_role("img", name="Picture 2")
        eventually_sync(lambda: pair.evaluate("image => image.naturalWidth") == WIDTH)
        page.get_by_role("checkbox", name="Record the camera too").check()

        button(page, "Record").click()
        expect(page.get_by_role("button", name="Stop 0:02")).to_be_visible(timeout=LIVE_MS)
        films: list[Any] = []
        page.on("download", lambda film: films.append(film))  # noqa: PLW0108 - not a builtin
        page.keyboard.press("r")
        eventually_sync(lambda: page.evaluate("true") and len(films) == 2)  # asking hands events on
        assert sorted(film.suggested_filename.split("-")[1] for film in films) == ["camera", "none"]
        for film in films:
            with av.open(str(film.path())) as container:
                assert {stream.type for stream in container.streams} == {"video", "audio"}
                if film.suggested_filename.endswith(".mp4"):  # what is named so plays everywhere
                    assert container.streams.video[0].codec.name == "h264"
                assert len(list(container.decode(video=0))) > 10
    eventually_sync(lambda: server.streams() == {})


def test_a_camera_that_comes_back_is_taken_up_again(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        button(page, "Start camera").click()
        expect_state(page, "live")
        page.evaluate(
            """() => {
              const video = document.querySelector('video[aria-label="Camera picture"]');
              video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'));
            }"""
        )
        expect(page.get_by_role("alert")).to_contain_text("was disconnected")
        eventually_sync(lambda: server.streams() == {})  # it has one place only
        page.evaluate("navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
        expect_state(page, "live")
    eventually_sync(lambda: server.streams() == {})


def test_a_photo_is_painted_compared_and_kept(server: Server, chromium: Browser) -> None:
    file = io.BytesIO()
    Picture.effect_noise((301, 203), 90).convert("RGB").save(file, "PNG")
    with page_at(chromium, f"{server.url}/?tab=photo&style=mosaic") as page:
        page.locator(".drop input[type=file]").set_input_files(
            {"name": "holiday.png", "mimeType": "image/png", "buffer": file.getvalue()}
        )
        expect(page.get_by_role("img", name="Stylized photo")).to_be_visible(timeout=LIVE_MS)
        expect(page.get_by_role("slider", name="Divider between the original")).to_be_attached()
        with page.expect_download() as saved:
            button(page, "Download").click()
        assert saved.value.suggested_filename == "holiday.mosaic.jpg"
        with Picture.open(saved.value.path()) as picture:
            assert (picture.format, picture.size) == ("JPEG", (301, 203))
        page.locator(".drop input[type=file]").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": b"none"}
        )
        expect(page.get_by_role("alert")).to_contain_text("This picture cannot be read")


TAKE = """
    ([way, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], `${way}.png`, {type: 'image/png'}));
      const event = way === 'drop'
        ? new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
        : new ClipboardEvent('paste', {clipboardData: data, bubbles: true});
      document.querySelector('main > section').dispatchEvent(event);
    }
"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_may_be_dropped_and_pasted(server: Server, chromium: Browser, way: str) -> None:
    file = io.BytesIO()
    Picture.effect_noise((120, 80), 90).convert("RGB").save(file, "PNG")
    with page_at(chromium, f"{server.url}/?style=mosaic") as page:
        painted = page.get_by_role("img", name="Stylized photo")
        for _ in ("on the live tab", "on the photo that is shown"):
            page.evaluate(TAKE, [way, list(file.getvalue())])
            expect(painted).to_be_visible(timeout=LIVE_MS)
            with page.expect_download() as saved:
                button(page, "Download").click()
            assert saved.value.suggested_filename == f"{way}.mosaic.jpg"
        assert "tab=photo" in page.url
        page.go_back()
        expect(page.get_by_role("heading", name="Your camera, a painting.")).to_be_visible()


def test_a_film_is_sent_painted_and_fetched(
    server: Server, chromium: Browser, tmp_path: Path
) -> None:
    clip = Clip(pts=range(0, FRAMES * 512, 512), audio=("eng",), width=192, height=108)
    source = write_clip(tmp_path / "dance.mp4", clip)
    long = write_clip(tmp_path / "long.mp4", Clip(pts=range(0, 3000 * 512, 512)))
    with page_at(chromium, f"{server.url}/?tab=video&style=mosaic&strength=0.5") as page:
        page.locator(".drop input[type=file]").set_input_files(source)
        first = page.get_by_role("img", name="The first frame in Mosaic")
        expect(first).to_be_visible(timeout=LIVE_MS)
        expect(page.get_by_role("img", name="The first frame in")).to_have_count(
            4, timeout=2 * LIVE_MS
        )
        button(page, "Paint the film").click()
        films = page.get_by_role("list", name="Films").get_by_role("listitem")
        expect(films.filter(has_text="dance.mp4")).to_have_attribute(
            "data-state", "done", timeout=2 * LIVE_MS
        )
        with page.expect_download() as saved:
            page.get_by_role("link", name="Download").click()
        assert saved.value.suggested_filename == "dance.mosaic.mp4"
        with av.open(str(saved.value.path())) as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
            assert container.streams.video[0].frames == FRAMES
        button(page, "Play, pause").click()
        player = page.locator('video[aria-label="dance.mp4, painted"]')
        eventually_sync(lambda: player.evaluate("video => video.videoWidth") == clip.width)
        expect(page.get_by_role("slider", name="Divider between the original")).to_be_attached()

        page.locator(".drop input[type=file]").set_input_files(long)
        button(page, "Paint the film").click()
        expect(films.filter(has_text="long.mp4")).to_contain_text("of 3000", timeout=LIVE_MS)
        page.reload()  # the film goes on, and is found again
        expect(films.filter(has_text="long.mp4")).to_contain_text("of 3000", timeout=LIVE_MS)
        films.filter(has_text="long.mp4").get_by_role("button", name="Cancel").click()
        expect(films).to_have_count(1)
        button(page, "Remove").click()
        expect(films).to_have_count(0)


def test_a_painting_becomes_a_style(chromium: Browser, tmp_path: Path) -> None:
    painting = tmp_path / "Starry Night.png"
    Picture.effect_noise((300, 200), 90).convert("RGB").save(painting)
    environment = {"STREAMER_DATA_DIR": str(tmp_path / "data")}
    with (
        server_with(tmp_path, "--workers", "1", environment=environment) as server,
        page_at(chromium, f"{server.url}/?style=none") as page,
    ):
        expect(page.locator("[data-style]").first).to_be_visible(timeout=LIVE_MS)
        go_live(page)
        own = page.get_by_role("button", name="Your own style…")
        with page.expect_file_chooser() as chooser:
            own.press("Enter")
        chooser.value.set_files(painting)
        card = page.get_by_role("radio", name="Starry night")
        expect(card).to_be_checked(timeout=LIVE_MS)
        eventually_sync(lambda: look(server)["style"] == {"starry-night": 1.0})
        expect(page.locator("[data-style=starry-night] img")).to_be_visible(timeout=LIVE_MS)
        eventually_sync(lambda: len(frames_seen(page, 3)) >= 3)
        shoot(page, "own-style")
        assert faults(page) == []

        with page.expect_file_chooser() as chooser:
            own.click()
        chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
        expect(page.get_by_role("alert")).to_contain_text("this is not a picture")
        expect(own).to_be_enabled()
        shoot(page, "own-style-refused")
        assert faults(page) == []

        button(page, "All styles").click()
        page.get_by_role("searchbox").fill("night")
        button(page, "Rename Starry night").click()
        name = page.get_by_role("textbox", name="New name")
        name.fill("Over the Rhône")
        name.press("Enter")
        mine = page.get_by_role("region", name="All styles")
        expect(mine.get_by_role("radio", name="Over the Rhône")).to_be_visible()
        assert faults(page) == []
        with page.expect_download() as saved:
            page.get_by_role("link", name="Export Over the Rhône").click()
        assert saved.value.suggested_filename == "starry-night.onnx"
        button(page, "Remove Over the Rhône").click()
        button(page, "Really remove Over the Rhône?").click()
        expect(page.locator("[data-style=starry-night]")).to_have_count(0)
        eventually_sync(lambda: look(server)["style"] == {"autumn": 1.0})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_left_out(server: Server, chromium: Browser, scheme: str) -> None:
    with page_at(chromium, f"{server.url}/?style=none&stats=1", color_scheme=scheme) as page:
        expect(page.locator("[data-style]").first).to_be_visible(timeout=LIVE_MS)
        assert faults(page) == [], "idle"
        button(page, "Settings and shortcuts").click()
        assert faults(page) == [], "settings"
        page.get_by_label("Language").select_option("es")
        button(page, "Cerrar").click()
        expect(page.get_by_role("heading", name="Tu cámara, un cuadro.")).to_be_visible()
        expect(page.get_by_role("radio", name="Otoño")).to_be_visible()
        assert page.evaluate("document.documentElement.lang") == "es"
        button(page, "Usar el vídeo de muestra").click()
        expect_state(page, "live")
        page.keyboard.press("c")
        expect(page.get_by_role("region", name="Estadísticas")).to_be_visible(timeout=LIVE_MS)
        assert faults(page) == [], "live"
        page.keyboard.press("n")
        for sheet in (
            "Aspecto",
            "Todos los estilos",
            "Fotos y clips",
            "Enviar a",
            "En un escenario",
        ):
            button(page, sheet).click()
            expect(page.get_by_role("region", name=sheet)).to_be_visible()
            assert faults(page) == [], sheet
            page.keyboard.press("Escape")
        page.set_viewport_size(PHONE)
        assert faults(page) == [], "live on a phone"
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for tab in ("Foto", "Vídeo"):
            button(page, tab).click()
            assert faults(page) == [], tab
    eventually_sync(lambda: server.streams() == {})
