"""`streamer train` as users run it: short, and on pictures made here."""

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

import torch

from streamer.engine.folded_network import FoldedNetwork
from streamer.errors import ModelError, StreamerError
from streamer.frame import Image
from streamer.i420 import Pixels, from_rgb, to_rgb
from streamer.paths import data_dir
from streamer.styles.catalogue import Catalogue
from streamer.training import vgg
from streamer.training.data import crop, photos, scaled, to_tensor
from streamer.training.net import TransformerNet
from streamer.training.perceptual_loss import PerceptualLoss
from streamer.training.run import Progress, Recipe, Run
from streamer.training.train import Files, attend
from tests.support.commands import Command
from tests.support.library import stylized
from tests.support.mirror import mirror
from tests.support.pictures import smooth_rgb
from tests.support.vgg_file import vgg_file

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """On a busy core two would wait far longer than they work."""
    torch.set_num_threads(1)


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


def blobs(seed: int, height: int = 120, width: int = 160) -> Pixels:
    """Soft coloured shapes with some grain: smooth areas, edges and texture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), rng.uniform(60, 200, 3))
    for _ in range(12):
        y, x, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(8, 40)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < size**2
        picture[inside] = rng.uniform(0, 255, 3)
    return np.asarray((picture + rng.normal(0, 4, picture.shape)).clip(0, 255), np.uint8)


def stripes() -> Pixels:
    """A painting of hard red and yellow stripes."""
    rows, columns = np.mgrid[:140, :180]
    bright = ((rows + columns) // 6 % 2)[..., None]
    return np.asarray(bright * (250, 210, 20) + (1 - bright) * (180, 10, 10), np.uint8)


def painting(path: Path) -> Path:
    cv2.imwrite(str(path), stripes()[:, :, ::-1])
    return path


def is_red_and_yellow(image: Image) -> bool:
    u, v = (plane.astype(int).mean() for plane in image.planes[1:])
    return bool(v > u + 20)


def test_a_painting_is_a_style_in_seconds(tmp_path: Path, streamer: Command) -> None:
    """The network that it becomes is the one that `streamer styles add` makes of it."""
    words = (painting(tmp_path / "Stripes.png"), "--license", "CC0-1.0")
    assert streamer("train", *words) == (0, "stripes is here\n", "")
    assert streamer("styles", "add", *words, "--name", "again") == (0, "again is here\n", "")
    trained, added = (Catalogue.load().find(name)[0] for name in ("stripes", "again"))
    assert trained.sha256 == added.sha256
    assert trained.license == "CC0-1.0"


def test_a_painting_is_learned_from_thoroughly(
    tmp_path: Path, content: Path, streamer: Command
) -> None:
    words = ("train", painting(tmp_path / "Stripes.png"), "--thorough", "--content", content,
             "--vgg", vgg_file(tmp_path / "vgg.pth", thin=2), "--style-size", 128,
             "--channels", 4, "--license", "CC0-1.0", "--rate", "0.006")  # fmt: skip
    code, out, err = streamer(*words, "--steps", 1, "--name", "before")
    assert (code, err) == (0, "")
    before, photo = strokes(out)
    code, out, err = streamer(*words, "--steps", 30, "--output", "before.onnx")
    assert (code, err) == (0, "")
    assert out.startswith("going on at step 1 of before.pt\n")
    assert "100%  step 30, loss " in out
    assert out.endswith("stripes is here\n")
    after, _ = strokes(out)
    assert after < 0.6 * before  # on a photo that nobody showed it
    assert after < 0.8 * photo
    assert {path.name for path in Path().iterdir()} == {"before.onnx", "before.png", "before.pt"}
    assert cv2.imread("before.png") is not None
    model, _ = Catalogue.load().find("stripes")
    assert (model.layout, model.license) == ("rgb255", "CC0-1.0")
    assert model.source == "trained on Stripes.png"
    assert is_red_and_yellow(stylized("stripes", from_rgb(blobs(9))))


def strokes(out: str) -> tuple[float, float]:
    """The distances that a training reports: of stylized photos, and of photos."""
    found = re.search(r"strokes ([\d.]+) from .* are ([\d.]+)\n", out)
    assert found
    return float(found[1]), float(found[2])


def test_what_was_trained_runs_folded_and_looks_as_it_did(tmp_path: Path) -> None:
    from streamer.library.from_pytorch import transformer_net

    torch.manual_seed(2)
    net = TransformerNet(8).eval()
    torch.nn.init.normal_(net.deconv3.conv2d.weight, std=0.06)
    folded = FoldedNetwork(
        transformer_net(net.weights()).SerializeToString(), 0, 255, "onnxruntime"
    )
    image = from_rgb(smooth_rgb(96, 64))
    shown = to_rgb(Image(96, 64, folded.measure(image.planes, None).data))
    with torch.no_grad():
        wanted = 255 * net(to_tensor([to_rgb(image)]))[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert wanted.std() > 20
    inner = np.s_[8:-8, 8:-8]  # the margin is computed from repeated edges
    assert (
        np.abs(
            to_rgb(from_rgb(wanted.round().astype(np.uint8)))[inner] - shown[inner].astype(int)
        ).mean()
        < 3
    )


def test_the_perceptual_loss_prefers_the_work_itself(tmp_path: Path) -> None:
    work, other, photo = (
        to_tensor([p]) for p in (stripes(), smooth_rgb(180, 140), blobs(4, 140, 180))
    )
    perceptual = PerceptualLoss(vgg.load(vgg_file(tmp_path / "vgg.pth")), work)
    content, own = perceptual.judge(work, photo)
    assert own == pytest.approx(0, abs=1e-9)
    assert perceptual.judge(other, photo)[1] > 1e-6 and content > 1e-6
    unpainted = perceptual.judge(photo, photo)
    assert unpainted[0] == 0 and unpainted[1] > 1e-6


def small_run(steps: int) -> Run:
    return Run(TransformerNet(4), Recipe(crop_px=32, photos=1, steps=steps), CPU)


def small_loss(folder: Path) -> PerceptualLoss:
    return PerceptualLoss(vgg.load(vgg_file(folder / "vgg.pth", thin=1)), to_tensor([stripes()]))


def test_what_was_learned_is_shown_while_it_learns(tmp_path: Path) -> None:
    files, run, seen = Files(tmp_path / "own.onnx"), small_run(6), list[bool]()

    def watched() -> Iterator[Progress]:
        for report in run.train([blobs(0)], small_loss(tmp_path), files.checkpoint, 3):
            seen.append(files.preview.exists())
            yield report

    attend(run, watched(), files, blobs(7))
    assert seen == [False, True]  # the second report comes after the first preview


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    files, run = Files(tmp_path / "own.onnx"), small_run(50)

    def interrupted() -> Iterator[Progress]:
        yield next(run.train([blobs(0)], small_loss(tmp_path), files.checkpoint, 2))
        run.step += 1
        raise KeyboardInterrupt

    with pytest.raises(StreamerError, match="stopped at step 3; the same command goes on"):
        attend(run, interrupted(), files, blobs(7))
    again = Run.load(files.checkpoint, Recipe(steps=50), CPU)
    assert again.step == 3
    for name, value in run.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name])


def test_large_photos_are_made_small_when_they_are_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), blobs(1, 1000, 1600))
    cv2.imwrite(str(tmp_path / "b.jpg"), blobs(2, 200, 300))
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    training, held_out = photos(tmp_path)
    assert [p.shape for p in (*held_out, *training)] == [(480, 768, 3), (200, 300, 3)]


@pytest.mark.parametrize("size", [(40, 90), (200, 33), (64, 64)])
def test_a_crop_has_the_size_asked_for(size: tuple[int, int]) -> None:
    rng = random.Random(0)
    assert {crop(blobs(1, *size), 64, rng).shape for _ in range(8)} == {(64, 64, 3)}
    assert min(scaled(blobs(1, *size), 50).shape[:2]) == 50


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
    ("words", "code", "text"),
    [
        (("nowhere.jpg",), 2, "there is no picture nowhere.jpg"),
        (("a.png", "--device", "toaster"), 2, "--device toaster cannot be used"),
        (("a.png", "--output", "student.bin"), 2, "must end in .onnx"),
        (("a.png", "--name", "mosaic"), 2, "the name mosaic is taken"),
        (("a.png", "--content", "nowhere"), 2, "nowhere is no folder"),
        (("a.png", "--content", "."), 1, "needs at least two photos"),
        (("a.png", "--output", "letter/x.onnx"), 1, "cannot write to letter"),
        (("a.png", "--output", "old.onnx"), 1, "old.pt is not a checkpoint"),
        (("letter",), 1, "this is not a picture"),
    ],
)
def test_what_cannot_be_learned_from_is_said_before_the_work(
    content: Path, streamer: Command, words: tuple[str, ...], code: int, text: str
) -> None:
    painting(Path("a.png"))
    for name in ("letter", "old.pt"):
        Path(name).write_text("Dear Sir or Madam")
    eyes = vgg_file(content / "vgg.pth")
    given = ("--thorough", "--content", content, "--vgg", eyes, "--steps", 1, *words)
    left, out, err = streamer("train", *given)
    assert (left, out, err.count("\n")) == (code, "", 1), err
    assert text in err


def test_photos_are_for_the_thorough_way_only(content: Path, streamer: Command) -> None:
    work = painting(Path("a.png"))
    assert streamer("train", work, "--content", content)[0] == 2
    code, _, err = streamer("train", work, "--thorough")
    assert code == 2 and "--content" in err
