"""worker → **stylizer** → network → **stylizer** → worker: an image in, a stylized one out.

A style is a blend of one model's styles (one run of the network), of several models' (one run
each), of the source image itself (`none`), or of all of these.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from streamer.engine.backend import Backend
from streamer.engine.canonical import NotFoldableError
from streamer.engine.folded_model import FoldedModel, Shares
from streamer.engine.folded_network import ENGINES
from streamer.engine.network import Network
from streamer.engine.network import run as run_network
from streamer.errors import ModelError, UnknownStyleError, to_install
from streamer.frame import Image, Size, Style
from streamer.i420 import Weights, mix, recolor, resize
from streamer.statistics import Measurement, Orders
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import NONE, ModelFile, is_painted

log = logging.getLogger(__name__)

OPENVINO = tuple(engine for engine in ENGINES if engine.startswith("openvino"))
LIVE_S = 2.0  # after which a live stream has ended
_NEGLIGIBLE = 1 / 1024  # a smaller share of the image changes no pixel by more than a quarter


@dataclass(frozen=True, slots=True)
class Task:
    """An image to be stylized; networks see it at `size`, or at its own."""

    image: Image
    style: Style
    orders: Orders | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Stylized:
    """A stylized image, and the statistics that were measured of the unstylized one, by style."""

    image: Image
    measured: Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class StylizerSpec:
    """What a stylizer is made of; travels to the process that will load it."""

    backend: Backend
    threads: int = 1
    device: str = "cpu"  # or gpu, npu (OpenVINO), cuda, cuda:1, ... (Torch)
    models: tuple[ModelFile, ...] = ()
    follow_catalogue: bool = False  # find styles that are added on this machine later on, too
    photo_threads: int = 1  # of a large photo, while no live stream wants the cores

    @property
    def files(self) -> tuple[Path, ...]:
        """What has to be there on a machine where this is loaded."""
        models = () if self.backend == "none" else self.models
        statistics = (model.statistics for model in models if model.statistics is not None)
        return (*(model.path for model in models), *statistics)

    def load(self, find: Callable[[Path], Path] = lambda path: path) -> "Stylizer":
        """Load every model; `find` says where a file is on this machine. Raises ModelError."""
        cv2.setNumThreads(self.threads)
        if self.backend == "none":
            return Identity()
        open_network = self._opener()
        networks, refusal = dict[ModelFile, Network | FoldedModel](), None
        for model in (model.found(find) for model in self.models):
            try:
                networks[model] = open_network(model)
            except ModelError as error:  # its styles are refused; others go on
                log.warning("%s", error)
                refusal = error
        if refusal is not None and not networks:
            raise refusal
        lookup = CatalogueLookup(open_network) if self.follow_catalogue else None
        return Stylizer(networks, lookup, self.threads, self.photo_threads)

    def _opener(self) -> Callable[[ModelFile], "Network | FoldedModel"]:
        if self.backend == "torch":
            try:
                from streamer.engine.torch_network import TorchNetwork
            except ModuleNotFoundError as missing:
                hint = to_install("torch")
                raise ModelError(f"the torch backend needs {missing.name}; {hint}") from None
            return lambda model: TorchNetwork(model, self.device, self.threads)
        from streamer.engine.onnx_network import OnnxNetwork

        if self.backend == "onnx":
            return lambda model: OnnxNetwork(model, model.read(), self.threads)
        engines = ENGINES if self.backend == "auto" else OPENVINO
        device = "CPU" if self.device in ("auto", "cpu") else self.device.upper()

        def open_network(model: ModelFile) -> "Network | FoldedModel":
            try:
                return FoldedModel(model, engines, self.threads, device)
            except NotFoldableError as reason:
                log.info("model %s runs as it was published: %s", model.name, reason)
                return OnnxNetwork(model, model.read(), self.threads)

        return open_network


@dataclass(frozen=True, slots=True)
class CatalogueLookup:
    """Opens the network of a style that was added since the catalogue was read."""

    open_network: Callable[[ModelFile], Network | FoldedModel]

    def __call__(self, name: str) -> tuple[ModelFile, Network | FoldedModel]:
        """Raises UnknownStyleError, ModelError."""
        model, _ = Catalogue.load().find(name)
        return model, self.open_network(model)


class Stylizer:
    """Stylizes images; not for two threads at once.

    `lookup` opens the network of a style that is in none of `networks`; raises UnknownStyleError.
    A large photo runs on `photo_threads`, but on `threads` beside a live stream.
    """

    def __init__(
        self,
        networks: Mapping[ModelFile, Network | FoldedModel],
        lookup: Callable[[str], tuple[ModelFile, Network | FoldedModel]] | None = None,
        threads: int = 1,
        photo_threads: int = 1,
    ) -> None:
        self._networks: dict[ModelFile, Network | FoldedModel] = {}
        self._entries: dict[str, tuple[ModelFile, int]] = {}
        self._lookup = lookup
        self._threads, self._photo_threads = threads, max(threads, photo_threads)
        self._live_at = -math.inf  # monotonic seconds
        for model, network in networks.items():
            self._add(model, network)

    def _add(self, model: ModelFile, network: Network | FoldedModel) -> None:
        self._networks[model] = network
        for entry in model.styles:
            if not 0 <= entry.index < network.styles:
                raise ModelError(f"model {model.name} has no style number {entry.index}")
            for name in (entry.name, f"{entry.name}@{model.name}"):
                self._entries.setdefault(name, (model, entry.index))

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles it can stylize with, `none` among them."""
        return (NONE, *self._entries)

    @property
    def engine(self) -> str:
        """What runs its networks."""
        return ", ".join(sorted({network.engine for network in self._networks.values()}))

    @property
    def batches(self) -> bool:
        """Whether `stylize_all` is faster than `stylize` for each."""
        return any(network.batches for network in self._networks.values())

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        """`image` in `style`, at its own size; its networks run at `size` or at that.

        What shows of the image itself is as fine as it is. Raises UnknownStyleError, ModelError.
        """
        return self.stylize_all([Task(image, style, size=size)])[0].image

    def stylize_all(self, tasks: Sequence[Task]) -> list[Stylized]:
        """Each as `stylize` does; those of one size and model together. Raises as it does."""
        if any(task.orders is not None and task.orders.stream is not None for task in tasks):
            self._live_at = time.monotonic()
        works = [_Work(task) for task in tasks]
        runs: dict[ModelFile, list[_Run]] = {}
        for work in works:
            source_share, shares = self._shares(work.task.style)
            if source_share > _NEGLIGIBLE:
                work.parts.append((source_share, work.task.image))
            for model, given in shares.items():
                total = sum(share for _, share in given.values())
                if total > _NEGLIGIBLE:
                    whole = {name: (at, share / total) for name, (at, share) in given.items()}
                    runs.setdefault(model, []).append(_Run(work, total, whole))
        for model, alike in runs.items():
            for run, image in zip(alike, self._run(model, alike), strict=True):
                run.work.parts.append((run.share, resize(image, *run.work.task.image.size)))
        return [work.finished() for work in works]

    def _run(self, model: ModelFile, runs: Sequence["_Run"]) -> list[Image]:
        network = self._networks[model]
        if not isinstance(network, FoldedModel):
            weights = [_vector(run.shares, network.styles) for run in runs]
            return run_network(network, model, [run.work.small for run in runs], weights)
        is_live = time.monotonic() - self._live_at < LIVE_S
        photo_threads = self._threads if is_live else self._photo_threads
        stylized = []
        for run in runs:
            work, task = run.work, run.work.task
            image, found = network.stylize(
                work.small, run.shares, task.style.tone, task.orders, photo_threads
            )
            work.measured |= found
            stylized.append(image)
        return stylized

    def paints(self, style: Style) -> bool:
        """Whether a network runs for a style."""
        return is_painted(style)

    def ready(self, size: Size, style: Style) -> bool:
        """Whether `stylize` would start at once. Raises UnknownStyleError, ModelError."""
        return all(model.ready(size, shares) for model, shares in self._folded(style))

    def prepare(self, size: Size, style: Style) -> None:
        """Compile what an image of this size needs; in a thread beside `stylize`.

        Raises UnknownStyleError, ModelError.
        """
        for model, shares in self._folded(style):
            model.prepare(size, shares)

    def beside(self, style: Style) -> tuple[str, ...]:
        """All styles of the folded networks that a style uses."""
        used = {model for model in self._shares(style)[1]}
        return tuple(
            name
            for name, (model, _) in self._entries.items()
            if model in used and "@" not in name and isinstance(self._networks[model], FoldedModel)
        )

    def _folded(self, style: Style) -> list[tuple[FoldedModel, Shares]]:
        networks = ((self._networks[m], given) for m, given in self._shares(style)[1].items())
        return [(one, given) for one, given in networks if isinstance(one, FoldedModel)]

    def _shares(self, style: Style) -> tuple[float, dict[ModelFile, dict[str, tuple[int, float]]]]:
        """The share of the source image, and for each model those of its styles by name."""
        source_share, shares = 1 - style.strength, dict[ModelFile, dict[str, tuple[int, float]]]()
        for name, weight in style.blend:
            if name == NONE:
                source_share += style.strength * weight
            else:
                model, index = self._find(name)
                shares.setdefault(model, {})[name] = index, style.strength * weight
        return source_share, shares

    def _find(self, name: str) -> tuple[ModelFile, int]:
        if name not in self._entries and self._lookup is not None:
            self._add(*self._lookup(name))
        if name not in self._entries:
            raise UnknownStyleError(name, self.styles)
        return self._entries[name]


class Identity(Stylizer):
    """Returns every image unchanged, whatever the style: the system without a network."""

    engine = "none"

    def __init__(self) -> None:
        super().__init__({})

    @property
    def batches(self) -> bool:
        return False

    def ready(self, size: Size, style: Style) -> bool:
        """Always."""
        return True

    def prepare(self, size: Size, style: Style) -> None:
        """Nothing to do."""

    def beside(self, style: Style) -> tuple[str, ...]:
        """None."""
        return ()

    def stylize(self, image: Image, style: Style, size: Size | None = None) -> Image:
        """The image itself."""
        return image

    def stylize_all(self, tasks: Sequence[Task]) -> list[Stylized]:
        """Each image, one after the other."""
        return [Stylized(self.stylize(one.image, one.style, one.size), {}) for one in tasks]

    def paints(self, style: Style) -> bool:
        """Never."""
        return False


@dataclass
class _Work:
    """A task under way: its parts, whose shares come to 1, and what was measured of it."""

    task: Task
    parts: list[tuple[float, Image]] = field(default_factory=list)
    measured: dict[str, Measurement] = field(default_factory=dict)

    @cached_property
    def small(self) -> Image:
        """What networks see."""
        return resize(self.task.image, *(self.task.size or self.task.image.size))

    def finished(self) -> Stylized:
        source = self.task.image
        if len(self.parts) == 1 and self.parts[0][1] is source:
            return Stylized(source, self.measured)
        image = mix(self.parts)
        if self.task.style.preserve_color:
            image = recolor(image, source)
        return Stylized(image, self.measured)


@dataclass(frozen=True, slots=True)
class _Run:
    """Of one model for one task: its share of the image, and the shares of its styles."""

    work: _Work
    share: float
    shares: Shares


def _vector(shares: Shares, count: int) -> Weights:
    weights = np.zeros(count, np.float32)
    for index, share in shares.values():
        weights[index] += share
    return weights
