"""Learning to paint from a painting alone, without a teacher: Johnson, Alahi and Fei-Fei 2016.

A network that sees textures (`vgg`) compares: what is in the picture has to stay as in the photo
(its answers, deep inside), how it is painted has to become as in the painting (how often its
answers occur together, at four depths: Gram matrices).
"""

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from streamer.training.data import Picture, crop, from_planes, to_planes, to_tensor
from streamer.training.distill import MARGIN, overlap, view
from streamer.training.losses import fidelity, flatness, grid, unsteadiness
from streamer.training.state import Progress, Run, lessons
from streamer.training.vgg import Vgg

CONTENT_LAYER = 1  # relu2_2
PICTURE_UNTIL, STROKES_FROM = 0.1, 0.3  # share of the time: first the photo as it is, then strokes
PIXELS = 10.0  # weight of the photo's pixels at first
OVERDRIVE = 10.0  # weight of values that no byte can hold


@dataclass(frozen=True, slots=True)
class Taste:
    """What counts how much."""

    style: float = 5.0  # against the content's 1
    steady: float = 2.0  # one picture seen twice, shifted and noised, is painted alike
    plain: float = 4.0  # printing no pattern of its own
    noise: float = 0.03  # strongest sensor noise, of the full range


def gram(answers: Tensor) -> Tensor:
    """(n, c, h, w) as (n, c, c): how strongly each pair of channels answers together."""
    flat = answers.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.mse_loss(found, wanted) / wanted.square().mean()


class Critic:
    """Compares paintings with photos and with the works of art that are to be learned from."""

    def __init__(self, vgg: Vgg, works: Sequence[Picture], device: torch.device) -> None:
        self.device, self._vgg = device, vgg.to(device).eval()
        with torch.no_grad():
            seen = [self._vgg(to_tensor([work]).to(device)) for work in works]
        layers = zip(*seen, strict=True)
        self._grams = [torch.cat([gram(answers) for answers in layer]) for layer in layers]

    def judge(self, painted: Tensor, photo: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """(content, style) distances of RGB (n, 3, h, w) in 0..1; `style` (n,) indexes works.

        Each is a share of what it is compared with: 0 is the same, 1 as far as nothing at all.
        """
        answers = self._vgg(painted)
        with torch.no_grad():
            wanted = self._vgg(photo)[CONTENT_LAYER]
        content = _apart(answers[CONTENT_LAYER], wanted)
        pairs = zip(answers, self._grams, strict=True)
        return content, torch.stack([_apart(gram(a), grams[style]) for a, grams in pairs]).mean()

    @torch.no_grad()
    def judge_pictures(
        self, painted: Sequence[Picture], photos: Sequence[Picture], style: int
    ) -> tuple[float, float]:
        """Mean (content, style) distances of whole pictures."""
        index, found = torch.tensor([style], device=self.device), []
        for pair in zip(painted, photos, strict=True):
            painting, photo = (to_tensor([picture]).to(self.device) for picture in pair)
            found.append(torch.stack(self.judge(painting, photo, index)))
        content, strokes = torch.stack(found).mean(0).tolist()
        return content, strokes


def train(
    run: Run,
    pictures: Sequence[Picture],
    critic: Critic,
    checkpoint: Path,
    taste: Taste,
    *,
    every: int = 100,
) -> Generator[Progress, None, None]:
    """Train until the recipe is done; reports and saves every `every` steps."""
    move(run, critic.device)
    torch.manual_seed(run.recipe.seed + run.step)
    batches = _batches(run, pictures)

    def learn_once() -> tuple[float, float]:
        photo, style = (tensor.to(critic.device) for tensor in next(batches))
        return learn(run, critic, taste, photo, style)

    return lessons(run, learn_once, checkpoint, every)


def move(run: Run, device: torch.device) -> None:
    """Bring a run's weights, averages and the optimizer's memory to a device."""
    run.net.to(device)
    run.average = {name: value.to(device) for name, value in run.average.items()}
    run.optimizer.load_state_dict(run.optimizer.state_dict())  # goes to where the weights are


def _batches(run: Run, pictures: Sequence[Picture]) -> Iterator[tuple[Tensor, Tensor]]:
    rng, recipe = random.Random(run.recipe.seed + run.step), run.recipe
    while True:
        cuts = [
            crop(rng.choice(pictures), recipe.crop_px + MARGIN, rng) for _ in range(recipe.pairs)
        ]
        styles = [rng.randrange(len(run.net.styles)) for _ in cuts]
        yield to_tensor(cuts), torch.tensor(styles)


def _anywhere() -> tuple[int, int]:
    down, right = torch.randint(0, MARGIN + 1, (2,)).tolist()
    return down, right


def learn(
    run: Run, critic: Critic, taste: Taste, photo: Tensor, style: Tensor
) -> tuple[float, float]:
    """One step on RGB (n, 3, h, w), of which two cuts are painted; returns (loss, unsteadiness).

    A pattern that is fixed to the network's own blocks of 4x4 would please the critic early on:
    it is looked for, and does not move with the picture, so the second cut gives it away.
    """
    size = run.recipe.crop_px
    places = [_anywhere(), _anywhere()]
    seen, seen_again = (view(photo, place, size, 0) for place in places)
    noisy = view(photo, places[1], size, taste.noise)
    weights = nn.functional.one_hot(style, len(run.net.styles)).float()
    y, uv = run.net(*to_planes(torch.cat([seen, noisy])), weights.repeat(2, 1))
    (first, second), (first_uv, _) = y.chunk(2), uv.chunk(2)
    content, strokes = critic.judge(from_planes(first, first_uv), seen, style)
    flat = overlap(flatness(to_planes(seen)[0]), *places)
    moved = unsteadiness(overlap(first, *places), overlap(second, *places[::-1]), flat).mean()
    share = min(1.0, max(0.0, (run.done - PICTURE_UNTIL) / (STROKES_FROM - PICTURE_UNTIL)))
    loss = content + taste.style * share * strokes
    pixels = PIXELS * (1 - share) * fidelity((y, uv), to_planes(torch.cat([seen, seen_again])))
    own = share * (taste.steady * moved + taste.plain * (grid(y) + grid(uv)))
    beyond = sum((plane - plane.clamp(0, 1)).abs().mean() for plane in (y, uv))
    run.optimizer.zero_grad()
    (loss + pixels + own + OVERDRIVE * beyond).backward()
    nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
    run.optimizer.step()
    return loss.item(), moved.item()
