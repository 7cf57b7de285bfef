"""The mean and variance that each norm of a network uses, as they travel with a frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

EPSILON = 1e-5  # so that a constant channel has a logarithm; about what norms add


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

    def plus(self, other: "Statistics") -> "Statistics":
        """Moved by a difference, which `minus` gives."""
        return Statistics(self.mean + other.mean, self.log_variance + other.log_variance)

    def minus(self, other: "Statistics") -> "Statistics":
        """What has to be added to the other to get this."""
        return Statistics(self.mean - other.mean, self.log_variance - other.log_variance)


def average(many: Sequence[Statistics], shares: Sequence[float] | None = None) -> Statistics:
    """Of several pictures, what is steady; of several styles, by shares, what a blend needs."""
    mean, logs = (
        np.average([getattr(one, name) for one in many], 0, shares).astype(np.float32)
        for name in ("mean", "log_variance")
    )
    return Statistics(mean, logs)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Statistics of one picture in one style, as they come back with its frame.

    `small` are those of the picture reduced to at most 640x360, which takes a quarter of the time
    of 720 lines. `whole` are exact, of the picture as it was stylized, `lines` high; None when
    they were not ordered.
    """

    small: Statistics
    whole: Statistics | None
    lines: int


@dataclass(frozen=True, slots=True)
class Orders:
    """What a frame carries to whichever worker stylizes it.

    A style without statistics is stylized with the picture's own. Those of the styles in `measure`
    come back: exact ones too for the styles in `exact`. A frame of a live
    stream, which has a number, is stylized as the frame before it was rather than late.
    """

    scene: int
    known: Mapping[str, Statistics]
    measure: frozenset[str]
    exact: frozenset[str] = frozenset()
    stream: int | None = None
