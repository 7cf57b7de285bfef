"""A training's weights and clock: minutes or steps, a checkpoint as it goes, resumed from there."""

import math
import pickle
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streamer.errors import ModelError
from streamer.training.discriminator import Discriminator
from streamer.training.net import StyleNet


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The defaults suit minutes and hours.

    The shipped network was trained with 0.9 for `steady` at the end, which stops a beginner.
    """

    minutes: float = 60.0
    steps: int | None = None  # instead of minutes: so many, however long they take
    crop_px: int = 144
    pairs: int = 4  # each seen twice, shifted and noised differently
    fresh: int = 2  # new paintings a step
    learning_rate: float = 2e-3
    texture: float = 1.5  # weight of the local spectrum, after the first part of the time
    steady: float = 0.5  # weight of standing still
    plain: float = 2.0  # weight of printing no pattern of its own
    strokes: float = 0.05  # weight of passing for the teacher's with the discriminator
    noise: float = 0.02  # strongest sensor noise, of the full range
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a running training."""

    step: int
    done: float  # 0..1
    loss: float
    unsteadiness: float


class Run:
    """A student, a slow average of its weights, its discriminator, and how long it has learned."""

    def __init__(self, net: StyleNet, recipe: Recipe) -> None:
        self.net, self.recipe = net, recipe
        self.optimizer = torch.optim.Adam(net.parameters(), recipe.learning_rate)
        self.discriminator = Discriminator(len(net.styles))
        self.discriminating = torch.optim.Adam(self.discriminator.parameters(), 5e-4, (0.5, 0.99))
        self.calm = torch.ones(len(net.styles))  # what standing still is worth in each style
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
            "discriminator": self.discriminator.state_dict(),
            "discriminating": self.discriminating.state_dict(),
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
        run.discriminator.load_state_dict(state["discriminator"])
        run.discriminating.load_state_dict(state["discriminating"])
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
    text = f"{path} is no checkpoint of a training: delete it, or choose another --output"
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError) as error:
        raise ModelError(text) from error
    if not isinstance(state, dict) or not {"styles", "average", "discriminator"} <= state.keys():
        raise ModelError(text)
    return state


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


def _follow(run: Run) -> None:
    """Move the averaged weights towards the present ones, faster in the beginning."""
    share = max(0.002, 8 / (run.step + 8))
    for name, value in run.net.state_dict().items():
        run.average[name].lerp_(value, share)
