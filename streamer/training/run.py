"""train → **run** → net, perceptual_loss: weights and a clock; stops and resumes."""

import math
import pickle
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.errors import ModelError
from streamer.i420 import Pixels
from streamer.training.data import crop, to_tensor
from streamer.training.net import TransformerNet
from streamer.training.perceptual_loss import PerceptualLoss

OVERDRIVE = 10.0  # weight of values that no byte can hold
WARM_UP = 100  # steps


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train, and what counts how much."""

    minutes: float = 240.0
    steps: int | None = None  # instead of minutes: this many, however long they take
    learning_rate: float = 2e-3
    style: float = 5.0  # against the content's 1
    steady: float = 2.0  # a photo and the same one with noise are painted alike
    crop_px: int = 192
    photos: int = 2  # a step
    noise: float = 0.03  # deviation of a sensor's noise, in units of white
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A report of a running training: the share that is done, and the mean loss since the last."""

    step: int
    done: float
    loss: float


class Run:
    """A network that learns, and for how long it has."""

    def __init__(self, net: TransformerNet, recipe: Recipe, device: torch.device) -> None:
        self.net, self.recipe, self.device = net.to(device), recipe, device
        self.optimizer = torch.optim.Adam(self.net.parameters(), recipe.learning_rate)
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
            "channels": self.net.channels,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    @classmethod
    def load(cls, path: Path, recipe: Recipe, device: torch.device) -> "Run":
        """Go on from what `save` wrote. Raises ModelError."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            run = cls(TransformerNet(state["channels"]), recipe, device)
            run.net.load_state_dict(state["net"])
            run.optimizer.load_state_dict(state["optimizer"])
            run.step, run.elapsed_s = state["step"], state["elapsed_s"]
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError):
            text = f"{path} is not a checkpoint of a training: delete it, or choose another"
            raise ModelError(f"{text} --output") from None
        return run

    def learn(self, perceptual: PerceptualLoss, photo: Tensor) -> float:
        """One step on RGB (n, 3, h, w); returns the loss."""
        recipe = self.recipe
        noisy = photo + recipe.noise * torch.randn_like(photo)
        picture, again = self.net(torch.cat([photo, noisy])).chunk(2)
        content, strokes = perceptual.judge(picture, photo)
        loss = content + recipe.style * strokes + recipe.steady * (picture - again).abs().mean()
        beyond = (picture - picture.clamp(0, 1)).abs().mean()
        self.optimizer.zero_grad()
        (loss + OVERDRIVE * beyond).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.item())

    def train(
        self, photos: Sequence[Pixels], perceptual: PerceptualLoss, checkpoint: Path, every: int
    ) -> Iterator[Progress]:
        """Learn until the recipe is done; reports and saves every `every` steps."""
        torch.manual_seed(self.recipe.seed + self.step)
        rng = random.Random(self.recipe.seed + self.step)
        while self.done < 1:
            losses: list[float] = []
            while len(losses) < every and self.done < 1:
                began = time.monotonic()
                rate = self.recipe.learning_rate * (0.505 + 0.495 * math.cos(math.pi * self.done))
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * min(1.0, (self.step + 1) / WARM_UP)
                chosen = rng.choices(photos, k=self.recipe.photos)
                cuts = [crop(photo, self.recipe.crop_px, rng) for photo in chosen]
                losses.append(self.learn(perceptual, to_tensor(cuts).to(self.device)))
                self.step += 1
                self.elapsed_s += time.monotonic() - began
            self.save(checkpoint)
            yield Progress(self.step, self.done, sum(losses) / len(losses))
