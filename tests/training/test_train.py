"""`streamer distill` and `streamer train` as users run them: short, and on pictures made here."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="torch is not installed (streamer[train])")
pytest.importorskip("onnx", reason="onnx is not installed (streamer[train])")

import torch

from streamer.engine.stylizer import StylizerSpec
from streamer.errors import ModelError, StreamerError, UsageError
from streamer.frame import Style
from streamer.i420 import from_rgb
from streamer.paths import data_dir
from streamer.styles.catalogue import Catalogue
from streamer.training import perceptual, vgg
from streamer.training.data import from_planes, photos, to_planes, to_tensor
from streamer.training.distill import train
from streamer.training.loop import Files, attend, enrolled
from streamer.training.net import StyleNet
from streamer.training.perceptual import Critic, Taste
from streamer.training.state import Progress, Recipe, Run
from streamer.training.teachers import CatalogueTeacher, Origin
from tests.support.commands import Command
from tests.support.mirror import mirror
from tests.support.networks import negative_network, planes_network
from tests.support.pictures import smooth_rgb
from tests.support.vgg_file import vgg_file
from tests.training.test_networks import Painter, blobs


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photos, one of which is kept for measuring; we stand in an empty one beside."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        cv2.imwrite(str(folder / f"{i}.png"), blobs(i)[:, :, ::-1])
    return folder


def scores(card: Path, style: str) -> list[float]:
    """The numbers of a style's row in the card's table."""
    line = next(li for li in card.read_text().splitlines() if li.startswith(f"| {style} "))
    return [float(cell) for cell in line.strip("| ").split(" | ")[3:]]


# --- distill -----------------------------------------------------------------------------------


def test_a_network_and_a_picture_are_distilled_and_added(
    tmp_path: Path, content: Path, streamer: Command
) -> None:
    painting, negative = tmp_path / "painting.png", negative_network(tmp_path / "negative.onnx")
    cv2.imwrite(str(painting), smooth_rgb(200, 150, seed=9))
    output = tmp_path / "made" / "own.onnx"
    words = ("distill", "--teacher", negative, "--teacher", painting, "--content", content,
             "--output", output, "--rate", "0.004")  # fmt: skip
    assert streamer(*words, "--steps", 1)[0] == 0
    before = scores(output.with_suffix(".md"), "negative")
    code, out, err = streamer(*words, "--steps", 200)
    assert (code, err) == (0, "")
    assert out.startswith(f"going on at step 1 of {output.with_suffix('.pt')}\n")
    assert "100%  step 200, loss " in out
    after = scores(output.with_suffix(".md"), "negative")
    assert after[0] < 0.7 * before[0]  # in float, on a photo nobody showed it
    assert after[1] < 0.7 * before[1]  # in 8 bits
    assert after[0] < after[2]  # nearer than the photo as it is
    names = {path.name for path in output.parent.iterdir()}
    assert names == {"own.onnx", "own.int8.onnx", "own.png", "own.md", "own.pt"}
    assert cv2.imread(str(output.with_suffix(".png"))) is not None
    card = output.with_suffix(".md").read_text()
    assert "| negative | negative.onnx | unknown |" in card
    assert "| painting | painting.png | unknown |" in card
    assert re.search(r"\| `own\.int8\.onnx` \| \d+ \| `[0-9a-f]{64}` \|", card)
    assert streamer("styles", "add", output) == (0, "negative, painting are here\n", "")
    model, _ = Catalogue.load().find("negative")
    assert (model.layout, model.license) == ("i420", "unknown")
    assert model.source == "distilled from negative.onnx, painting.png"
    assert model.int8 is not None


def test_a_catalogues_style_brings_its_licence_along(tmp_path: Path, content: Path) -> None:
    teacher = CatalogueTeacher(["ember@multistyle26", str(planes_network(tmp_path / "own.onnx"))])
    assert teacher.styles == ("ember", "own-0", "own-1")
    assert teacher.origins[0] == Origin("ember", "ember of multistyle26", "Apache-2.0")
    assert teacher.origins[2] == Origin("own-1", "own.onnx", "unknown")
    photo = blobs(1)
    assert np.abs(teacher.paint(photo, 0).astype(int) - photo).mean() > 20
    assert teacher.paint(photo, 2).mean() < photo.mean()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--teacher", "vortex"), 2, "unknown style 'vortex'"),
        (("--teacher", "nowhere.jpg"), 2, "there is no file nowhere.jpg"),
        (("--teacher", "ember", "--teacher", "ember"), 2, "two of the styles have one name"),
        (("--teacher", "ember", "--output", "student.bin"), 2, "must end in .onnx"),
        (("--teacher", "ember", "--content", "nowhere"), 2, "nowhere is no folder"),
        (("--teacher", "ember", "--content", "."), 1, "needs at least two photos"),
        (("--teacher", "ember", "--output", "letter/x.onnx"), 1, "cannot write to letter"),
        (("--teacher", "ember", "--output", "old.onnx"), 1, "old.pt is no checkpoint"),
    ],
)
def test_what_cannot_be_taught_is_said_before_the_work(
    content: Path, streamer: Command, words: tuple[str, ...], code: int, text: str
) -> None:
    for name in ("letter", "old.pt"):
        Path(name).write_text("Dear Sir or Madam")
    left, out, err = streamer("distill", "--content", content, *words, "--steps", "1")
    assert (left, out, err.count("\n")) == (code, "", 1), err
    assert text in err


def test_a_checkpoint_of_other_styles_is_left_alone(tmp_path: Path) -> None:
    files = Files(tmp_path / "own.onnx")
    Run(StyleNet(("a", "b"), width=8, deep=8, residuals=1), Recipe()).save(files.checkpoint)
    saved = files.checkpoint.read_bytes()
    with pytest.raises(ModelError, match=r"has learned a, b, not c: choose another --output"):
        enrolled(files, Recipe(), ("c",))
    assert files.checkpoint.read_bytes() == saved
    assert enrolled(files, Recipe(), ("a", "b")).net.styles == ("a", "b")


def small_run(steps: int) -> Run:
    recipe = Recipe(crop_px=32, pairs=2, steps=steps)
    return Run(StyleNet(Painter.styles, width=8, deep=8, residuals=1), recipe)


def test_what_was_learned_is_shown_while_it_learns(tmp_path: Path) -> None:
    files, run = Files(tmp_path / "own.onnx"), small_run(6)
    seen: list[bool] = []

    def watched() -> Iterator[Progress]:
        for report in train(run, [blobs(0)], Painter(), files.checkpoint, every=3):
            seen.append(files.preview.exists())
            yield report

    attend(run, watched(), files, [blobs(7)])
    assert seen == [False, True]  # the second report comes after the first picture


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    files, run = Files(tmp_path / "own.onnx"), small_run(50)

    def interrupted() -> Iterator[Progress]:
        reports = train(run, [blobs(0)], Painter(), files.checkpoint, every=2)
        yield next(reports)
        reports.close()
        run.step += 1
        raise KeyboardInterrupt

    with pytest.raises(StreamerError, match="stopped at step 3; the same command goes on"):
        attend(run, interrupted(), files, [blobs(7)])
    assert enrolled(files, Recipe(steps=50), Painter.styles).step == 3
    assert not files.output.exists()


def test_large_photos_are_made_small_when_they_are_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), blobs(1, 1000, 1600))
    cv2.imwrite(str(tmp_path / "b.jpg"), blobs(2, 200, 300))
    training, held_out = photos(tmp_path)
    assert [p.shape for p in (*held_out, *training)] == [(480, 768, 3), (200, 300, 3)]


# --- train -------------------------------------------------------------------------------------


def stripes() -> np.ndarray:
    """A painting of hard red and yellow stripes."""
    rows, columns = np.mgrid[:140, :180]
    bright = ((rows + columns) // 6 % 2)[..., None]
    return np.asarray(bright * (250, 210, 20) + (1 - bright) * (180, 10, 10), np.uint8)


def test_a_painting_is_learned_from_and_added(
    tmp_path: Path, content: Path, streamer: Command
) -> None:
    painting, output = tmp_path / "Stripes.png", tmp_path / "own.onnx"
    cv2.imwrite(str(painting), stripes()[:, :, ::-1])
    words = ("train", "--style-image", painting, "--content", content, "--output", output,
             "--vgg", vgg_file(tmp_path / "vgg.pth", thin=3), "--style-size", 128,
             "--license", "CC0-1.0", "--rate", "0.006")  # fmt: skip
    assert streamer(*words, "--steps", 1)[0] == 0
    before = scores(output.with_suffix(".md"), "stripes")
    code, out, err = streamer(*words, "--steps", 30)
    assert (code, err) == (0, "")
    assert "going on at step 1" in out and "100%  step 30, loss " in out
    after = scores(output.with_suffix(".md"), "stripes")
    assert after[0] < 0.6 * before[0]  # strokes in float, on a photo nobody showed it
    assert after[1] < 0.6 * before[1]  # in 8 bits
    assert after[0] < 0.8 * after[2]  # nearer than the photo as it is
    assert streamer("styles", "add", output) == (0, "stripes is here\n", "")
    catalogue = Catalogue.load()
    model, _ = catalogue.find("stripes")
    assert (model.license, model.source) == ("CC0-1.0", "trained on Stripes.png")
    image = from_rgb(blobs(9))
    painted = (
        StylizerSpec("onnx", models=catalogue.models)
        .load()
        .stylize(image, Style((("stripes", 1.0),)))
    )
    u, v = (plane.astype(int).mean() for plane in painted.planes[1:])
    assert v > u + 20  # red and yellow


def test_a_critic_prefers_the_work_itself(tmp_path: Path) -> None:
    works = [stripes(), smooth_rgb(180, 140)]
    critic = Critic(vgg.load(vgg_file(tmp_path / "vgg.pth")), works, torch.device("cpu"))
    photo = blobs(4, 140, 180)
    for index, other in ((0, 1), (1, 0)):
        own = critic.judge_pictures([works[index]], [photo], index)
        wrong = critic.judge_pictures([works[other]], [photo], index)
        unpainted = critic.judge_pictures([photo], [photo], index)
        assert own[1] == pytest.approx(0, abs=1e-9)
        assert wrong[1] > 1e-6 and unpainted[1] > 1e-6
        assert unpainted[0] == 0 < own[0]


def test_a_pattern_fixed_to_the_blocks_is_given_away_by_shifting(tmp_path: Path) -> None:
    """What a network paints always at the same places counts as unsteady, photo or no photo."""
    run = Run(StyleNet(("a",), width=8, deep=8, residuals=1), Recipe(crop_px=64, steps=10))
    critic = Critic(vgg.load(vgg_file(tmp_path / "vgg.pth")), [stripes()], torch.device("cpu"))
    flat = torch.full((4, 3, 80, 80), 0.5)
    with torch.no_grad():
        run.net.out.gain.zero_()
    style, taste = torch.zeros(4, dtype=torch.int64), Taste(noise=0)
    torch.manual_seed(0)
    assert perceptual.learn(run, critic, taste, flat, style)[1] == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        run.net.out.gain.zero_()
        run.net.out.shift[0, 0] += 0.5  # one pixel in sixteen
    torch.manual_seed(0)
    assert perceptual.learn(run, critic, taste, flat, style)[1] > 0.01


def test_planes_and_colours_are_each_others_inverse() -> None:
    smooth = to_tensor([cv2.blur(smooth_rgb(64, 48), (9, 9))])
    assert torch.allclose(from_planes(*to_planes(smooth)), smooth, atol=0.03)
    even = torch.rand(2, 3, 1, 1).expand(2, 3, 8, 8)
    assert torch.allclose(from_planes(*to_planes(even)), even, atol=1e-5)


def test_the_eyes_are_torchvisions_vgg16(tmp_path: Path) -> None:
    """Against its layers written down in a row: 3x3, ReLU, and a pool after each block."""
    eyes, rgb = vgg.load(vgg_file(tmp_path / "vgg.pth")), torch.rand(1, 3, 32, 48)
    state = torch.load(tmp_path / "vgg.pth", weights_only=True)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1)
                       for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip
    x, answers = (rgb - mean) / deviation, []
    for number in range(23):
        if f"features.{number}.weight" in state:
            weight, bias = (state[f"features.{number}.{part}"] for part in ("weight", "bias"))
            x = torch.nn.functional.conv2d(x, weight, bias, padding=1).relu()
        elif number in (4, 9, 16):
            x = torch.nn.functional.max_pool2d(x, 2)
        if number in (3, 8, 15, 22):
            answers.append(x)
    for ours, theirs in zip(eyes(rgb), answers, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features.7.bias": None}, "it has no features.7.bias"),
        ({"features.7.bias": torch.zeros(3)}, "it has no fitting layers"),
        ({"features.7.weight": torch.zeros(3)}, "it has no fitting layers"),
    ],
)
def test_weights_of_another_network_are_refused(
    tmp_path: Path, change: dict[str, torch.Tensor | None], text: str
) -> None:
    state = torch.load(vgg_file(tmp_path / "vgg.pth"), weights_only=True) | change
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=text):
        vgg.load(tmp_path / "other.pth")
    with pytest.raises(ModelError, match="there is no file"):
        vgg.load(tmp_path / "nowhere.pth")


def test_the_published_eyes_are_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = vgg_file(tmp_path / "vgg.pth").read_bytes()
    with mirror(data) as served:
        monkeypatch.setattr(vgg, "URLS", (served.url,))
        monkeypatch.setattr(vgg, "BYTES", len(data))
        monkeypatch.setattr(vgg, "SHA256", hashlib.sha256(b"something else").hexdigest())
        with pytest.raises(ModelError, match=r"SHA-256 differs\); or give a copy .* with --vgg"):
            vgg.fetched()
        monkeypatch.setattr(vgg, "SHA256", hashlib.sha256(data).hexdigest())
        told: list[int] = []
        path = vgg.fetched(told.append)
        assert path == data_dir() / "training" / "vgg16-397923af.pth"
        assert path.read_bytes() == data and told[-1] == len(data)
        assert vgg.fetched() == path
        assert len(served.asked) == 2
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_published_eyes_are_those_their_name_says() -> None:
    assert f"vgg16-{vgg.SHA256[:8]}.pth" == vgg.FILE
    assert len(vgg.SHA256) == 64


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--style-image", "nowhere.jpg"), "there is no picture nowhere.jpg"),
        (("--style-image", "a.png", "--style-image", "A.png"), "two of the paintings"),
        (("--style-image", "a.png", "--device", "toaster"), "--device toaster cannot be used"),
    ],
)
def test_what_cannot_be_learned_from_is_said_before_the_work(
    content: Path, streamer: Command, words: tuple[str, ...], text: str
) -> None:
    for name in ("a.png", "A.png"):
        cv2.imwrite(name, stripes())
    eyes = vgg_file(content / "vgg.pth")
    code, out, err = streamer("train", "--content", content, "--vgg", eyes, *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert text in err


def test_a_files_own_licence_is_kept_when_it_is_taught_from(tmp_path: Path) -> None:
    path = planes_network(tmp_path / "own.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"license": "CC-BY-4.0"})
    onnx.save(model, path)
    assert CatalogueTeacher([str(path)]).origins[0].license == "CC-BY-4.0"
    with pytest.raises(UsageError, match="there is no file"):
        CatalogueTeacher([str(tmp_path / "none.onnx")])
