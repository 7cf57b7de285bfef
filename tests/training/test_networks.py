"""A short real training, and that its files say what the network says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="torch is not installed (streamer[train])")
pytest.importorskip("onnx", reason="onnx is not installed (streamer[train])")

import onnxruntime as ort
import torch

from streamer.errors import ModelError
from streamer.library.sheet import CAPTION_PX, GAP_PX
from streamer.training.calibration import Ranges, calibration
from streamer.training.contrast import match_contrast
from streamer.training.data import Pairs, Picture, crop, photos, to_planes, to_tensor
from streamer.training.discriminator import Discriminator, conviction, discrimination
from streamer.training.distill import MOST_CALM, calm, distance, train
from streamer.training.export import export_int8
from streamer.training.fake_quantize import Rounding
from streamer.training.int8 import WEIGHT_LIMIT
from streamer.training.losses import flatness, texture, unsteadiness
from streamer.training.net import StyleConv, StyleNet, pack, unpack
from streamer.training.sheet import sheet, write_all
from streamer.training.state import Recipe, Run, averaged

SMALL = Recipe(crop_px=64, pairs=4, learning_rate=4e-3)


class Painter:
    """Two styles that a network can learn quickly: a negative, and a warm grey."""

    styles = ("negative", "warm")

    def paint(self, picture: Picture, style: int) -> Picture:
        if style == 0:
            return 255 - picture
        grey = picture.mean(2, keepdims=True)
        return np.asarray(grey * (1.0, 0.8, 0.6), np.uint8)


def blobs(seed: int, height: int = 120, width: int = 160) -> Picture:
    """Soft coloured shapes with some grain: smooth areas, edges and texture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), rng.uniform(60, 200, 3))
    for _ in range(12):
        y, x, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(8, 40)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < size**2
        picture[inside] = rng.uniform(0, 255, 3)
    return np.asarray((picture + rng.normal(0, 4, picture.shape)).clip(0, 255), np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float, float]:
    """A checkpoint, and its distance to the teacher before and after."""
    torch.set_num_threads(1)  # on a busy core two would wait far longer than they work
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("training") / "small.pt"
    held_out = [blobs(100), blobs(101)]
    run = Run(StyleNet(Painter.styles, width=16, deep=16, residuals=1), SMALL)
    before = distance(run.net, held_out, Painter(), 0)
    reports = train(run, [blobs(i) for i in range(6)], Painter(), path, every=60)
    next(reports)
    next(reports)
    reports.close()
    return path, before, distance(averaged(path), held_out, Painter(), 0)


def test_training_brings_pictures_nobody_showed_it_closer(
    trained: tuple[Path, float, float],
) -> None:
    _, before, after = trained
    assert after < 0.6 * before


def test_training_goes_on_where_it_stopped(
    trained: tuple[Path, float, float], tmp_path: Path
) -> None:
    run = Run.load(trained[0], SMALL)
    assert run.step == 120
    assert 0 < run.elapsed_s < 600
    reports = train(run, [blobs(0)], Painter(), tmp_path / "next.pt", every=2)
    assert next(reports).step == 122
    reports.close()
    assert Run.load(tmp_path / "next.pt", SMALL).step == 122


@pytest.mark.parametrize("state", [{"styles": ("a",)}, torch.zeros(3)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt is no checkpoint of a training: delete it"):
        Run.load(tmp_path / "other.pt", SMALL)


def test_training_stops_when_its_time_is_over(tmp_path: Path) -> None:
    recipe = Recipe(crop_px=32, minutes=0.001)
    run = Run(StyleNet(Painter.styles, width=8, deep=8, residuals=1), recipe)
    reports = list(train(run, [blobs(0)], Painter(), tmp_path / "short.pt"))
    assert reports[-1].done == 1


def _run(path: Path, y: torch.Tensor, uv: torch.Tensor, weights: list[float]) -> NDArray[np.int16]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {
        "y": y.numpy(),
        "uv": uv.numpy(),
        "style_weights": np.array(weights, np.float32),
    }
    planes = session.run(None, feed)
    assert [p.shape for p in planes] == [tuple(y.shape), tuple(uv.shape)]
    return np.concatenate([p.ravel() for p in planes]).astype(np.int16)


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])
@pytest.mark.parametrize(("height", "width"), [(120, 160), (64, 64), (16, 24)])
def test_files_paint_what_the_network_paints(
    trained: tuple[Path, float, float],
    tmp_path: Path,
    weights: list[float],
    height: int,
    width: int,
) -> None:
    net = averaged(trained[0])
    write_all(net, tmp_path / "small.onnx", [blobs(i) for i in range(3)])
    planes = to_planes(to_tensor([blobs(200, height, width)]))
    y, uv = ((p * 255).round().byte() for p in planes)
    with torch.no_grad():
        painted = net(y / 255, uv / 255, torch.tensor([weights]))
    wanted = np.concatenate([(p.clamp(0, 1) * 255).round().numpy().ravel() for p in painted])
    floats = np.abs(_run(tmp_path / "small.onnx", y, uv, weights) - wanted)
    assert np.percentile(floats, 99) <= 2
    bytes_ = np.abs(_run(tmp_path / "small.int8.onnx", y, uv, weights) - wanted)
    assert bytes_.mean() < 3
    assert np.percentile(bytes_, 99) <= 12


def test_ranges_are_those_of_each_style(trained: tuple[Path, float, float]) -> None:
    net = averaged(trained[0])
    with torch.no_grad():
        net.stem.gain[1] *= 10
        net.stem.shift[1] *= 10
    negative, warm = Ranges.measure(net, calibration([blobs(0)])).largest["stem"].tolist()
    assert warm > 5 * negative > 0


def test_rounding_inside_paints_what_the_int8_file_paints(
    trained: tuple[Path, float, float], tmp_path: Path
) -> None:
    net, path = averaged(trained[0]), tmp_path / "small.int8.onnx"
    for layer in (module for module in net.modules() if isinstance(module, StyleConv)):
        weights, most = layer.conv.weight, layer.conv.weight.abs().amax((1, 2, 3), keepdim=True)
        weights.data = (weights / most * WEIGHT_LIMIT).round() * most / WEIGHT_LIMIT
    ranges = Ranges.measure(net, calibration([blobs(i) for i in range(3)]))
    export_int8(net, path, ranges)
    y, uv = ((p * 255).round().byte() for p in to_planes(to_tensor([blobs(200)])))
    file, away, rounding = _run(path, y, uv, [0.3, 0.7]), [], Rounding(net)
    for _ in range(2):
        with torch.no_grad():
            painted = net(y / 255, uv / 255, torch.tensor([[0.3, 0.7]]))
        both = np.concatenate([(p.clamp(0, 1) * 255).round().numpy().ravel() for p in painted])
        away.append(np.abs(file - both).mean())
        rounding.begin(ranges)
    assert away[1] < 0.3 * away[0]
    rounding.close()
    assert not rounding.on


def test_a_student_learns_through_rounding(trained: tuple[Path, float, float]) -> None:
    net = averaged(trained[0])
    rounding = Rounding(net)
    rounding.begin(Ranges.measure(net, calibration([blobs(0)])))
    y, uv = net(*to_planes(to_tensor([blobs(1)])), torch.tensor([[1.0, 0.0]]))
    (y.mean() + uv.mean()).backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if name.endswith("weight")}
    assert all(g is not None and g.abs().max() > 0 for g in gradients.values())


def test_a_discriminator_tells_strokes_from_their_average() -> None:
    torch.manual_seed(2)
    judge = Discriminator(2)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    style = torch.tensor([0, 1])
    seen = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 16, 16)

    def opinions() -> tuple[torch.Tensor, torch.Tensor]:
        """Of two-tone noise, and of its mean."""
        strokes = (torch.rand(2, 1, 32, 32) > 0.5).float(), torch.full((2, 2, 16, 16), 0.5)
        average = torch.full((2, 1, 32, 32), 0.5), strokes[1]
        return judge(seen, strokes, style), judge(seen, average, style)

    for _ in range(60):
        optimizer.zero_grad()
        discrimination(*opinions()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    of_teacher, of_student = opinions()
    assert of_teacher.mean() > 0.7
    assert of_student.mean() < 0.3
    flat = torch.zeros(2, 1, 32, 32)
    assert conviction(of_teacher, flat) < conviction(of_student, flat)
    assert conviction(of_student, flat + 1) == 0


class Restless(Painter):
    """Its second style is another noise each time."""

    def paint(self, picture: Picture, style: int) -> Picture:
        if style == 0:
            return super().paint(picture, style)
        return np.random.default_rng().integers(0, 255, picture.shape, np.uint8)


def test_standing_still_is_worth_most_where_the_teacher_does() -> None:
    still, restless = calm(Restless(), [blobs(i) for i in range(3)], SMALL).tolist()
    assert still == MOST_CALM
    assert 0 < restless < 1


def test_a_wall_is_flat_and_an_edge_is_not() -> None:
    luma = torch.full((1, 1, 48, 64), 0.2)
    luma[..., 32:] = 0.8
    flat = flatness(luma)
    assert flat.shape == luma.shape
    assert flat[..., :24].min() > 0.99 and flat[..., 40:].min() > 0.99
    assert flat[..., 31:33].max() < 0.1


def test_what_moves_counts_more_on_a_wall_than_at_an_edge() -> None:
    first, second = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.1)
    flat = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    wall, edge = unsteadiness(first, second, flat).tolist()
    assert wall == pytest.approx(0.1)
    assert 0 < edge < wall


def test_texture_is_asked_for_only_where_the_photo_is_not_flat() -> None:
    torch.manual_seed(6)
    luma, target = torch.full((1, 1, 32, 32), 0.5), torch.rand(1, 1, 32, 32)
    busy, wall = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    assert texture(luma, target, busy) > 0
    assert texture(luma, target, wall) == pytest.approx(0, abs=1e-6)
    assert texture(target, target, busy) == 0


def test_the_last_part_of_a_training_convinces_and_rounds(tmp_path: Path) -> None:
    torch.manual_seed(4)
    run = Run(StyleNet(Painter.styles, width=8, deep=8, residuals=1), replace(SMALL, steps=20))
    judged = run.discriminator.real.weight.detach().clone()
    rounded = []
    for report in train(run, [blobs(0)], Painter(), tmp_path / "last.pt", every=1):
        hooks = run.net.stem._forward_hooks
        rounded.append(bool(hooks))
        learned = not torch.equal(run.discriminator.real.weight, judged)
        assert learned == (report.step > 0.4 * 20 + 1)
    assert rounded == [False] * 17 + [True] * 3
    assert not run.net.stem._forward_hooks
    again = Run.load(tmp_path / "last.pt", SMALL)
    assert torch.equal(again.discriminator.real.weight, run.discriminator.real.weight)


def test_packing_is_undone_by_unpacking() -> None:
    y, uv = torch.rand(1, 1, 16, 24), torch.rand(1, 2, 8, 12)
    again = unpack(pack(y, uv))
    assert torch.equal(again[0], y)
    assert torch.equal(again[1], uv)


def test_exposure_does_not_change_the_painting(trained: tuple[Path, float, float]) -> None:
    net, weights = averaged(trained[0]), torch.tensor([[1.0, 0.0]])
    y, uv = to_planes(to_tensor([blobs(3)]))
    with torch.no_grad():
        plain, darker = net(y, uv, weights)[0], net(y - 0.1, uv, weights)[0]
    assert torch.allclose(plain, darker, atol=1e-3)


def test_planes_are_video_range_bt601() -> None:
    white, black, red = (torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 2, 2) for c in _COLORS)
    assert [round(255 * to_planes(c)[0][0, 0, 0, 0].item()) for c in (white, black, red)] == [
        235,
        16,
        81,
    ]
    u, v = (round(255 * value) for value in to_planes(red)[1].flatten().tolist())
    assert (u, v) == (90, 240)


_COLORS = ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0))


def test_pairs_are_the_teachers_own(tmp_path: Path) -> None:
    batches = Pairs([blobs(0)], Painter(), 48).batches(3, 1)
    photo, painting, style = next(batches)
    batches.close()
    for one, other, index in zip(photo, painting, style.tolist(), strict=True):
        if index == 0:
            assert torch.allclose(1 - one, other, atol=1e-6)
        else:
            assert torch.all(other[0] >= other[2])


def test_photos_are_split_and_unreadable_ones_passed_over(tmp_path: Path) -> None:
    import cv2

    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), blobs(i))
    (tmp_path / "9.jpg").write_bytes(b"no picture")
    training, held_out = photos(tmp_path)
    assert (len(training), len(held_out)) == (2, 1)


def test_a_crop_has_the_size_asked_for() -> None:
    import random

    rng = random.Random(0)
    shapes = {crop(blobs(1, 40, 90), 64, rng).shape for _ in range(8)}
    assert shapes == {(64, 64, 3)}


def test_the_sheet_shows_every_style(trained: tuple[Path, float, float], tmp_path: Path) -> None:
    import cv2

    sheet(averaged(trained[0]), blobs(7), tmp_path / "sheet.png")
    written = cv2.imread(str(tmp_path / "sheet.png"))
    assert written is not None
    step_x, step_y = 320 + GAP_PX, 240 + CAPTION_PX + GAP_PX
    assert written.shape == (step_y + GAP_PX, 4 * step_x + GAP_PX, 3)


def test_contrast_and_colours_become_those_of_the_teacher() -> None:
    torch.manual_seed(3)
    net = StyleNet(Painter.styles, width=16, deep=16, residuals=1)
    pictures = [blobs(i, 96, 128) for i in range(4)]

    def away() -> float:
        """How far mean and deviation of luma are from the teacher's, summed over the styles."""
        total = 0.0
        with torch.no_grad():
            for style, weights in enumerate(torch.eye(2)):
                both = [
                    (
                        net(*to_planes(to_tensor([picture])), weights[None])[0].clamp(0, 1),
                        to_planes(to_tensor([Painter().paint(picture, style)]))[0],
                    )
                    for picture in pictures
                ]
                for of in (torch.mean, torch.std):
                    mine, wanted = (
                        np.mean([of(y).item() for y in ys]) for ys in zip(*both, strict=True)
                    )
                    total += float(abs(mine - wanted))
        return total

    before = away()
    match_contrast(net, Painter(), pictures)
    assert away() < 0.5 * before
