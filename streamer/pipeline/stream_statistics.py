"""style control → **stream statistics** → frame → engine → frame → **stream statistics**.

What the norms of a network divide by, as it follows one stream. Pure: `now` is in seconds.
"""

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.statistics import Orders, Statistics

FOLLOW_S = 2.0  # after which 63 % of a change are in
MEASURE_S = 0.5  # from one measurement of a stream to the next
_CUT = 0.5  # of the correlation of two thumbnails below which they show different scenes
_JUMP = 40.0  # of their mean difference, in 1/255, above which the light has changed
_THUMBNAIL = (32, 18)


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

    def state(self) -> bytes:
        """All that the next frames depend on."""
        arrays: dict[str, Any] = {"names": np.array(list(self._styles), np.str_)}
        if self._before is not None:
            arrays["before"] = self._before.luma
        for at, (name, style) in enumerate(self._styles.items()):
            both = style.target, style.current
            arrays[f"style{at}"] = [[one.mean, one.log_variance] for one in both]
            arrays[f"times{at}"] = [style.moved_at, self._asked_at[name]]
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """From what `state` gave; from nothing at all a new one."""
        made = cls()
        if not state:
            return made
        with np.load(io.BytesIO(state), allow_pickle=False) as saved:
            if "before" in saved:
                made._before = Thumbnail(saved["before"])
            for at, name in enumerate(saved["names"].tolist()):
                target, current = (Statistics(*one) for one in saved[f"style{at}"])
                moved_at, asked_at = saved[f"times{at}"].tolist()
                made._styles[name] = Following(target, current, moved_at)
                made._asked_at[name] = asked_at
        return made
