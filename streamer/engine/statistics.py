"""The mean and variance that each norm of a network uses: a picture's, or a stream's over time.

Times are seconds of any one clock, given as `now`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

EPSILON = 1e-5  # so that a constant channel has a logarithm; about what norms add
FOLLOW_S = 2.0  # after which 63 % of a change are in
MEASURE_S = 0.5  # from one measurement of a stream to the next
_CUT = 0.5  # of the correlation of two thumbnails below which they show different scenes
_JUMP = 40.0  # of their mean difference, in 1/255, above which the light has changed
_THUMBNAIL = (32, 18)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Each channel's mean and logarithm of its variance, norm after norm, (channels,) each."""

    mean: Vector
    log_variance: Vector

    @classmethod
    def of(cls, mean: Vector, variance: Vector) -> Self:
        """From variances."""
        return cls(mean, np.log(variance + np.float32(EPSILON)))

    @property
    def variance(self) -> Vector:
        """The variances; never negative."""
        return np.maximum(np.exp(self.log_variance) - np.float32(EPSILON), 0)

    def toward(self, other: "Statistics", share: float) -> "Statistics":
        """Between this (0) and the other (1): of means, and of logarithms of variances."""
        if share <= 0:
            return self
        if share >= 1:
            return other
        mean = self.mean + np.float32(share) * (other.mean - self.mean)
        logs = self.log_variance + np.float32(share) * (other.log_variance - self.log_variance)
        return Statistics(mean, logs)


def average(many: Sequence[Statistics], shares: Sequence[float] | None = None) -> Statistics:
    """Of several pictures, what is steady; of several styles, by shares, what a blend needs."""
    mean, logs = (
        np.average([getattr(one, name) for one in many], 0, shares).astype(np.float32)
        for name in ("mean", "log_variance")
    )
    return Statistics(mean, logs)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture's luma at 32x18: enough to see that another scene has begun."""

    luma: NDArray[np.float32]

    @classmethod
    def of(cls, luma: NDArray[np.uint8]) -> Self:
        """From a whole (height, width) plane; 0.05 ms at 640x360."""
        return cls(cv2.resize(luma, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32))

    def cut_from(self, before: "Thumbnail") -> bool:
        """Whether this is another scene, or the same in another light, at once."""
        a, b = (t.luma - t.luma.mean() for t in (self, before))
        if float(np.abs(self.luma - before.luma).mean()) > _JUMP:
            return True
        norm = math.sqrt(float((a * a).sum() * (b * b).sum()))
        flat = norm < 4.0 * a.size  # nothing to correlate: two pictures of about one gray
        return not flat and float((a * b).sum()) < _CUT * norm


@dataclass(frozen=True, slots=True)
class Following:
    """Statistics of one scene in one style: what was measured last, and how far the way there is.

    A value: whoever owns the stream replaces it.
    """

    target: Statistics
    current: Statistics
    moved_at: float

    @classmethod
    def start(cls, measured: Statistics, now: float) -> Self:
        """With exact statistics: of a scene's first frame."""
        return cls(measured, measured, now)

    def move(self, now: float) -> Self:
        """A little nearer to what was measured last, as far as time has passed."""
        share = 1 - math.exp(-max(0.0, now - self.moved_at) / FOLLOW_S)
        return replace(self, current=self.current.toward(self.target, share), moved_at=now)

    def measured(self, found: Statistics, now: float) -> Self:
        """With a new measurement, toward which it moves from now on."""
        return replace(self.move(now), target=found)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a frame carries to whichever worker stylizes it.

    A style without statistics is stylized with the picture's own, and those of the styles in
    `measure` come back.
    """

    scene: int
    known: Mapping[str, Statistics]
    measure: frozenset[str]


class StreamStatistics:
    """One stream's statistics in each of its styles; belongs to whoever owns the stream."""

    def __init__(self) -> None:
        self._scene = 0
        self._before: Thumbnail | None = None
        self._styles: dict[str, Following] = {}
        self._asked_at: dict[str, float] = {}

    def orders(self, luma: NDArray[np.uint8], styles: Iterable[str], now: float) -> Orders:
        """For the next frame, (height, width), in a blend of these styles."""
        thumbnail, before = Thumbnail.of(luma), self._before
        if before is not None and thumbnail.cut_from(before):
            self._scene += 1
            self._styles.clear()
        self._before = thumbnail
        named = frozenset(styles)
        known = {name: self._styles[name].move(now) for name in named & self._styles.keys()}
        self._styles = known  # another style starts anew
        due = {name for name in known if now - self._asked_at[name] >= MEASURE_S}
        measure = named - known.keys() | due
        self._asked_at |= dict.fromkeys(measure, now)
        return Orders(self._scene, {n: f.current for n, f in known.items()}, measure)

    def take(self, scene: int, found: Mapping[str, Statistics], now: float) -> None:
        """What came back with a frame; too late after a cut, it is of no use."""
        if scene != self._scene:
            return
        for name, measured in found.items():
            known = self._styles.get(name)
            fresh = Following.start(measured, now)
            self._styles[name] = fresh if known is None else known.measured(measured, now)
