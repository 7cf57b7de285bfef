"""Teach a student: minutes on the clock, a checkpoint as it goes, resumed where it stopped."""

import math
import pickle
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.errors import ModelError
from streamer.training.data import Pairs, Picture, Teacher, to_planes, to_tensor
from streamer.training.losses import fidelity, grid, unsteadiness
from streamer.training.net import StyleNet

TEXTURE_FROM = 0.15  # share of the time after which patterns count: colours and strokes first
PLAIN_FROM = 0.5  # ... after which a grid costs something: one who cannot paint yet paints nothing
STEADY_FROM = 0.3  # share of the time after which standing still has its full weight
MARGIN = 16  # the teacher paints this much more than the student sees, and may be shifted by it


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The defaults are those of the shipped network."""

    minutes: float = 60.0
    steps: int | None = None  # instead of minutes: so many, however long they take
    crop_px: int = 144
    pairs: int = 4  # each seen twice, shifted and noised differently
    fresh: int = 2  # new paintings a step
    learning_rate: float = 2e-3
    texture: float = 1.5  # weight of the local spectrum, after the first part of the time
    steady: float = 0.2  # weight of standing still
    plain: float = 0.3  # weight of printing no pattern of its own
    noise: float = 0.03  # strongest sensor noise, of the full range
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a running training."""

    step: int
    done: float  # 0..1
    loss: float
    unsteadiness: float


class Run:
    """A student, its optimizer, a slow average of its weights, and how long it has learned."""

    def __init__(self, net: StyleNet, recipe: Recipe) -> None:
        self.net, self.recipe = net, recipe
        self.optimizer = torch.optim.Adam(net.parameters(), recipe.learning_rate)
        self.average = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.step, self.elapsed_s = 0, 0.0

    @property
    def done(self) -> float:
        """The share of the time, or of the steps, that is over."""
        if self.recipe.steps is not None:
            return min(1.0, self.step / self.recipe.steps)
        return min(1.0, self.elapsed_s / (self.recipe.minutes * 60))

    def save(self, path: Path) -> None:
        """Write everything needed to go on; a reader never sees half a file."""
        state = {
            "styles": self.net.styles,
            "shape": self.net.shape,
            "net": self.net.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path, recipe: Recipe) -> "Run":
        """Go on from a checkpoint. Raises ModelError."""
        state = _read(path)
        run = cls(StyleNet(state["styles"], **state["shape"]), recipe)
        run.net.load_state_dict(state["net"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.average = state["average"]
        run.step, run.elapsed_s = state["step"], state["elapsed_s"]
        return run


def averaged(path: Path) -> StyleNet:
    """The network of a checkpoint with its averaged weights, ready to be exported."""
    state = _read(path)
    net = StyleNet(state["styles"], **state["shape"])
    net.load_state_dict(state["average"])
    return net.eval()


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError) as error:
        text = f"{path} is no checkpoint of a training: delete it, or choose another --output"
        raise ModelError(text) from error
    return state


def view(rgb: Tensor, at: tuple[int, int], size: int, noise: float) -> Tensor:
    """The part of a picture the student sees, with sensor noise (none at all in a third)."""
    cut = rgb[:, :, at[0] : at[0] + size, at[1] : at[1] + size]
    strength = noise * (torch.rand(len(cut), 1, 1, 1) * 1.5 - 0.5).clamp(min=0)
    return (cut + strength * torch.randn_like(cut)).clamp(0, 1)


def overlap(plane: Tensor, at: tuple[int, int], other: tuple[int, int]) -> Tensor:
    """What a view at `at` shares with one of the same size at `other`."""
    down, right = (max(0, o - a) for a, o in zip(at, other, strict=True))
    up, left = (max(0, a - o) for a, o in zip(at, other, strict=True))
    return plane[..., down : plane.shape[-2] - up, right : plane.shape[-1] - left]


def _loss(run: Run, photo: Tensor, painting: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """(fidelity, unsteadiness) of a batch, every pair seen in two places."""
    recipe, size = run.recipe, run.recipe.crop_px
    places = [tuple(torch.randint(0, MARGIN + 1, (2,)).tolist()) for _ in range(2)]
    seen = torch.cat([view(photo, at, size, recipe.noise) for at in places])
    target = torch.cat([view(painting, at, size, 0) for at in places])
    weights = nn.functional.one_hot(style, len(run.net.styles)).float().repeat(2, 1)
    y, uv = run.net(*to_planes(seen), weights)
    texture = recipe.texture if run.done > TEXTURE_FROM else 0.0
    plain = recipe.plain if run.done > PLAIN_FROM else 0.0
    first, second = y.chunk(2)
    moved = unsteadiness(overlap(first, *places), overlap(second, *places[::-1]))
    loss = fidelity((y, uv), to_planes(target), texture) + plain * grid(y)
    return loss, moved


def learn(run: Run, threads: ThreadPoolExecutor, batch: Sequence[Tensor]) -> tuple[float, float]:
    """One step; returns (fidelity loss, unsteadiness).

    Halves of the batch go to threads of their own: on cores that are shared with other work
    that loses far less than splitting every single operation.
    """
    parameters = list(run.net.parameters())
    steady = run.recipe.steady * min(1.0, run.done / STEADY_FROM)

    def half(part: Sequence[Tensor]) -> tuple[float, float, tuple[Tensor, ...]]:
        loss, moved = _loss(run, *part)
        gradients = torch.autograd.grad(loss + steady * moved, parameters)
        return loss.item(), moved.item(), gradients

    halves = list(threads.map(half, zip(*(tensor.chunk(2) for tensor in batch), strict=True)))
    for parameter, *gradients in zip(parameters, *(g for _, _, g in halves), strict=True):
        parameter.grad = torch.stack(gradients).mean(0)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    run.optimizer.step()
    return sum(h[0] for h in halves) / len(halves), sum(h[1] for h in halves) / len(halves)


def _follow(run: Run) -> None:
    """Move the averaged weights towards the present ones, faster in the beginning."""
    share = max(0.002, 8 / (run.step + 8))
    for name, value in run.net.state_dict().items():
        run.average[name].lerp_(value, share)


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
    pairs = Pairs(pictures, teacher, run.recipe.crop_px + MARGIN, seed=seed)
    batches = pairs.batches(run.recipe.pairs, run.recipe.fresh)
    with closing(batches), ThreadPoolExecutor(2) as threads:
        yield from lessons(run, lambda: learn(run, threads, next(batches)), checkpoint, every)


def check_styles(run: Run, wanted: tuple[str, ...]) -> None:
    """Raise ModelError when a checkpoint is of a training in other styles."""
    if wanted != run.net.styles:
        before, now = ", ".join(run.net.styles), ", ".join(wanted)
        hint = "choose another --output, or delete the .pt beside it"
        raise ModelError(f"the checkpoint has learned {before}, not {now}: {hint}")


def lessons(
    run: Run, learn_once: Callable[[], tuple[float, float]], checkpoint: Path, every: int
) -> Generator[Progress, None, None]:
    """Repeat a step until the recipe is done; reports and saves every `every` steps."""
    while run.done < 1:
        losses = list(_steps(run, learn_once, every))
        run.save(checkpoint)
        loss, moved = torch.tensor(losses).mean(0).tolist()
        yield Progress(run.step, run.done, loss, moved)


def _steps(
    run: Run, learn_once: Callable[[], tuple[float, float]], count: int
) -> Iterator[tuple[float, float]]:
    """Up to `count` steps, fewer when the time is over."""
    for _ in range(count):
        began = time.monotonic()
        rate = run.recipe.learning_rate * (0.505 + 0.5 * math.cos(math.pi * run.done))
        for group in run.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (run.step + 1) / 100)
        yield learn_once()
        run.step += 1
        _follow(run)
        run.elapsed_s += time.monotonic() - began
        if run.done >= 1:
            return


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
