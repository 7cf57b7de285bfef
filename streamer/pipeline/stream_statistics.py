"""style control → **stream statistics** → frame → engine → frame → **stream statistics**.

What the norms of a network divide by, as it follows one stream. Pure: `now` is in seconds.
"""

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.statistics import Measurement, Orders, Statistics

FOLLOW_S = 2.0  # after which 63 % of a change are in
MEASURE_S = 1.0  # from one measurement of a stream to the next
_CUT = 0.5  # of the correlation of two thumbnails below which they show different scenes
_JUMP = 40.0  # of their mean difference, in 1/255, above which the light has changed
_THUMBNAIL = (32, 18)
# Live frames further apart than the first may differ by what moved between them. Taken for a scene
# each time, with a dear measurement, they would come still later, and never catch up.
_APART_S, _SCENE_S = 0.1, 2.0
_PATIENCE_S = 1.0  # with a frame that may be lost


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
    # By the height of exact statistics, what they differ by from those of the small picture.
    offsets: Mapping[int, Statistics] = field(default_factory=dict)

    @classmethod
    def start(cls, found: Measurement, now: float) -> Self:
        """With exact statistics: of a scene's first frame."""
        first = found.whole or found.small
        return cls(first, first, now).measured(found, now)

    def move(self, now: float) -> Self:
        """A little nearer to what was measured last, as far as time has passed."""
        share = 1 - math.exp(-max(0.0, now - self.moved_at) / FOLLOW_S)
        return replace(self, current=self.current.toward(self.target, share), moved_at=now)

    def measured(self, found: Measurement, now: float) -> Self:
        """With a new measurement, toward which it moves from now on."""
        offsets = self.offsets
        if found.whole is not None:
            offsets = {**offsets, found.lines: found.whole.minus(found.small)}
        offset = offsets.get(found.lines)
        target = found.small if offset is None else found.small.plus(offset)
        return replace(self.move(now), target=target, offsets=offsets)


class StreamStatistics:
    """One stream's statistics in each of its styles; belongs to whoever owns the stream.

    `stream` goes into the orders of a live one.
    """

    def __init__(self, stream: int | None = None) -> None:
        self._stream = stream
        self._scene = 0
        self._before: Thumbnail | None = None
        self._before_at = self._scene_at = -math.inf
        self._styles: dict[str, Following] = {}
        self._asked_at: dict[str, float] = {}
        self._unmeasured: set[str] = set()  # styles that came back without: none can be had
        self._first_at: list[float] = []  # of frames that were sent before anything was known

    def waits(self, now: float, workers: int) -> bool:
        """Whether the next frame should wait for one that is being measured.

        Without statistics it would be measured as well, which costs as much as three more frames:
        one for each worker is enough.
        """
        unknown = self._asked_at.keys() - self._styles.keys() - self._unmeasured
        return bool(unknown) and len(self._awaited(now)) >= workers

    def _awaited(self, now: float) -> list[float]:
        return [at for at in self._first_at if now - at < _PATIENCE_S]

    def orders(
        self, luma: NDArray[np.uint8], styles: Iterable[str], now: float, lines: int | None = None
    ) -> Orders:
        """For the next frame, (height, width), in a blend of these styles.

        `lines` are those that it is stylized at. A measurement of the whole picture costs as
        much as three more frames, so it is made once a scene and height; later ones are of a small
        copy, moved by what the two differed by.
        """
        thumbnail, before = Thumbnail.of(luma), self._before
        apart = self._stream is not None and now - self._before_at > _APART_S
        if apart and now - self._scene_at < _SCENE_S:
            before = None
        if before is not None and thumbnail.cut_from(before):
            self._scene += 1
            self._scene_at = now
            self._styles.clear()
            self._first_at.clear()
        self._before, self._before_at = thumbnail, now
        named = frozenset(styles)
        known = {name: self._styles[name].move(now) for name in named & self._styles.keys()}
        self._styles = known  # another style starts anew
        due = {name for name in known if now - self._asked_at[name] >= MEASURE_S}
        unknown = named - known.keys()
        self._first_at = [*self._awaited(now), now] if unknown else []
        exact = unknown | {n for n in due if (lines or min(luma.shape)) not in known[n].offsets}
        measure = unknown | due
        self._asked_at = {n: now if n in measure else self._asked_at[n] for n in named}
        current = {name: following.current for name, following in known.items()}
        return Orders(self._scene, current, measure, exact, self._stream)

    def returned(self, orders: Orders, found: Mapping[str, Measurement], now: float) -> bool:
        """A frame came back, with what was measured of it. Whether it is to be shown.

        Of the frames that begin a scene, each with statistics of its own, the first to come back
        is: the scene goes on with its statistics, and another's would flash between.
        """
        own = orders.measure - orders.known.keys()
        fits = orders.scene != self._scene or own.isdisjoint(self._styles)
        self._unmeasured |= orders.measure - found.keys()
        self._unmeasured -= found.keys()
        self.take(orders.scene, found, now)
        return fits

    def take(self, scene: int, found: Mapping[str, Measurement], now: float) -> None:
        """What came back with a frame; too late after a cut, it is of no use."""
        if scene != self._scene:
            return
        for name, measured in found.items():
            known = self._styles.get(name)
            if known is not None:
                self._styles[name] = known.measured(measured, now)
            elif measured.whole is not None:
                self._styles[name] = Following.start(measured, now)

    def state(self) -> bytes:
        """All that the next frames depend on."""
        arrays: dict[str, Any] = {"names": np.array(list(self._styles), np.str_)}
        if self._before is not None:
            arrays["before"] = self._before.luma
        for at, (name, style) in enumerate(self._styles.items()):
            parts = style.target, style.current, *style.offsets.values()
            arrays[f"style{at}"] = [[one.mean, one.log_variance] for one in parts]
            arrays[f"lines{at}"] = list(style.offsets)
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
                target, current, *offsets = (Statistics(*one) for one in saved[f"style{at}"])
                moved_at, asked_at = saved[f"times{at}"].tolist()
                by_lines = dict(zip(saved[f"lines{at}"].tolist(), offsets, strict=True))
                made._styles[name] = Following(target, current, moved_at, by_lines)
                made._asked_at[name] = asked_at
        return made
