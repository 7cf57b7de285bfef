"""Teach a student what a teacher paints: first where colours lie, then strokes, then rounding."""

import random
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from streamer.training.calibration import Ranges, calibration
from streamer.training.data import Pairs, Picture, Teacher, crop, to_planes, to_tensor
from streamer.training.discriminator import conviction, discrimination
from streamer.training.fake_quantize import Rounding
from streamer.training.losses import fidelity, flatness, grid, texture, unsteadiness
from streamer.training.net import StyleNet
from streamer.training.state import Progress, Recipe, Run, check_styles, lessons

Place = tuple[int, int]  # of a view: pixels down and right

# Shares of the time.
TEXTURE_FROM = 0.15  # patterns count from here: first where colours lie
STEADY_BY = 0.8  # standing still is worth more and more until here
STROKES_FROM = 0.4  # there is a discriminator to convince from here
PLAIN_FROM = 0.5  # a grid costs more and more from here: who cannot paint yet would stop painting
ROUNDED_FROM = 0.8  # it is rounded inside from here, as its int8 form will be
RANGES_EVERY = 1000  # steps
PROBES = 4  # pictures by which a teacher's own steadiness is measured
MOST_CALM = 2.0  # times what standing still is worth in a style of mean sway
MARGIN = 16  # the teacher paints this much more than the student sees, and may be shifted by it


def view(rgb: Tensor, at: Place, size: int, noise: float) -> Tensor:
    """The part of a picture the student sees, with sensor noise (none at all in a third)."""
    cut = rgb[:, :, at[0] : at[0] + size, at[1] : at[1] + size]
    strength = noise * (torch.rand(len(cut), 1, 1, 1) * 1.5 - 0.5).clamp(min=0)
    return (cut + strength * torch.randn_like(cut)).clamp(0, 1)


def overlap(plane: Tensor, at: Place, other: Place) -> Tensor:
    """What a view at `at` shares with one of the same size at `other`."""
    down, right = (max(0, o - a) for a, o in zip(at, other, strict=True))
    up, left = (max(0, a - o) for a, o in zip(at, other, strict=True))
    return plane[..., down : plane.shape[-2] - up, right : plane.shape[-1] - left]


def _two_places() -> tuple[Place, Place]:
    first, second = torch.randint(0, MARGIN + 1, (2, 2)).tolist()
    return tuple(first), tuple(second)


def calm(teacher: Teacher, pictures: Sequence[Picture], recipe: Recipe) -> Tensor:
    """What standing still is worth in each style (styles,): much where the teacher does.

    A style that the teacher paints anew for every speck of noise could not be learned as still as
    one in calm colours: its lines would be blurred away.
    """
    rng, size = random.Random(recipe.seed), recipe.crop_px
    cuts = [crop(rng.choice(pictures), size + MARGIN, rng) for _ in range(PROBES)]
    sway = torch.zeros(len(teacher.styles))
    for cut in cuts:
        places = _two_places()
        seen = [view(to_tensor([cut]), place, size, recipe.noise) for place in places]
        bytes_ = [(255 * rgb[0]).round().byte().permute(1, 2, 0).numpy() for rgb in seen]
        for style in range(len(sway)):
            painted = [to_planes(to_tensor([teacher.paint(b, style)]))[0] for b in bytes_]
            both = zip(painted, (places, places[::-1]), strict=True)
            first, second = (overlap(luma, *order) for luma, order in both)
            sway[style] += (first - second).abs().mean()
    sway = sway.clamp(min=1e-3)
    return (sway.mean() / sway).clamp(max=MOST_CALM)


@dataclass(frozen=True, slots=True)
class _Loss:
    student: Tensor
    unsteadiness: Tensor
    discriminator: Tensor | None


def _loss(run: Run, photo: Tensor, painting: Tensor, style: Tensor) -> _Loss:
    """Of a batch, every pair seen in two places."""
    recipe, size = run.recipe, run.recipe.crop_px
    places = _two_places()
    beside = to_planes(torch.cat([view(photo, at, size, 0) for at in places]))
    seen = torch.cat([view(photo, at, size, recipe.noise) for at in places])
    target = to_planes(torch.cat([view(painting, at, size, 0) for at in places]))
    style = style.repeat(2)
    y, uv = run.net(*to_planes(seen), nn.functional.one_hot(style, len(run.net.styles)).float())
    first, second = y.chunk(2)
    flat = flatness(beside[0])
    still = overlap(flat.chunk(2)[0], *places)
    moved = unsteadiness(overlap(first, *places), overlap(second, *places[::-1]), still)
    moved = (moved * run.calm[style.chunk(2)[0]]).mean()
    loss = fidelity((y, uv), target)
    if run.done > TEXTURE_FROM:
        loss = loss + recipe.texture * texture(y, target[0], flat)
    loss = loss + recipe.steady * min(1.0, run.done / STEADY_BY) * moved
    loss = loss + recipe.plain * max(0.0, run.done - PLAIN_FROM) / (1 - PLAIN_FROM) * grid(y)
    if run.done <= STROKES_FROM or not recipe.strokes:
        return _Loss(loss, moved, None)
    judge = run.discriminator
    loss = loss + recipe.strokes * conviction(judge(beside, (y, uv), style), flat)
    of_student = judge(beside, (y.detach(), uv.detach()), style)
    return _Loss(loss, moved, discrimination(judge(beside, target, style), of_student))


def learn(run: Run, threads: ThreadPoolExecutor, batch: Sequence[Tensor]) -> tuple[float, float]:
    """One step of the student and its discriminator; returns (loss, unsteadiness).

    Halves of the batch go to threads of their own: on cores that are shared with other work
    that loses far less than splitting every single operation.
    """
    own, judges = list(run.net.parameters()), list(run.discriminator.parameters())

    def half(part: Sequence[Tensor]) -> tuple[float, float, tuple[Tensor, ...]]:
        loss = _loss(run, *part)
        gradients = torch.autograd.grad(loss.student, own)
        if loss.discriminator is not None:
            gradients += torch.autograd.grad(loss.discriminator, judges)
        return loss.student.item(), loss.unsteadiness.item(), gradients

    halves = list(threads.map(half, zip(*(tensor.chunk(2) for tensor in batch), strict=True)))
    gradients = [torch.stack(pair).mean(0) for pair in zip(*(g for _, _, g in halves), strict=True)]
    for parameter, gradient in zip(own + judges, gradients, strict=False):
        parameter.grad = gradient
    nn.utils.clip_grad_norm_(own, 1.0)
    run.optimizer.step()
    if len(gradients) > len(own):
        run.discriminating.step()
    return sum(h[0] for h in halves) / len(halves), sum(h[1] for h in halves) / len(halves)


def train(
    run: Run,
    pictures: Sequence[Picture],
    teacher: Teacher,
    checkpoint: Path,
    *,
    every: int = 100,
) -> Generator[Progress, None, None]:
    """Train until the recipe is done; reports and saves every `every` steps."""
    check_styles(run, teacher.styles)
    torch.set_num_threads(1)  # see `learn`
    seed = run.recipe.seed + run.step
    torch.manual_seed(seed)
    run.calm = calm(teacher, pictures, run.recipe)
    pairs = Pairs(pictures, teacher, run.recipe.crop_px + MARGIN, seed=seed)
    batches = pairs.batches(run.recipe.pairs, run.recipe.fresh)
    rounding = Rounding(run.net)

    def learn_once() -> tuple[float, float]:
        if run.done > ROUNDED_FROM and (run.step % RANGES_EVERY == 0 or not rounding.on):
            rounding.close()
            rounding.begin(Ranges.measure(run.net, calibration(pictures)))
        return learn(run, threads, next(batches))

    with closing(batches), closing(rounding), ThreadPoolExecutor(2) as threads:
        yield from lessons(run, learn_once, checkpoint, every)


@torch.no_grad()
def distance(net: StyleNet, pictures: Sequence[Picture], teacher: Teacher, style: int) -> float:
    """Mean absolute difference to the teacher over I420 bytes (0..255), on whole pictures."""
    weights = nn.functional.one_hot(torch.tensor([style]), len(net.styles)).float()
    total = []
    for picture in pictures:
        height, width = (side - side % 8 for side in picture.shape[:2])
        cut = picture[:height, :width]
        planes = net(*to_planes(to_tensor([cut])), weights)
        wanted = to_planes(to_tensor([teacher.paint(cut, style)]))
        total.append(_mean_difference(planes, wanted))
    return float(torch.tensor(total).mean())


def _mean_difference(planes: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    flat = [torch.cat([p.clamp(0, 1).flatten() for p in side]) for side in (planes, wanted)]
    return float((flat[0] - flat[1]).abs().mean() * 255)
