"""style control → **governor**: the height to stylize at, so that the ring keeps up.

Best look first. What a height costs is measured, per blend of styles, and never assumed to grow
with the height. Pure: `now` is in seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

HEIGHTS_PX = (180, 270, 360, 540, 720)
FLOOR_PX, FLOOR_FPS = 360, 15.0  # above this rate no height below the floor is taken
FRESH_S = 10.0  # for which the cost of a height that is not in use is believed
PATIENCE_S, LONGEST_PATIENCE_S = 10.0, 640.0  # before a height that did not hold is tried again
# A height is compiled and its statistics are measured before its frames come at their rate, which
# is a mean over the first of these; without any frame, the second.
_SETTLED_S, _UNSEEN_S = 2.0, 10.0
_LOAD = 0.9  # of the workers' time, which a height may take to be chosen
_FIRST_LOAD = 0.6  # the same for a stream's first height, by a guess: codecs need the rest
_SLOW = 0.9  # of the wanted rate; less is too slow
_SHARE = 0.2  # of a new measurement in the mean
_LOOKS = 512  # costs that are remembered

Styles = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Cost:
    seconds: float
    at: float


class Costs:
    """Seconds of a worker's time for one frame, by styles and height, as they were seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Styles, int], _Cost] = {}

    def see(self, styles: Styles, height_px: int, seconds: float, now: float) -> None:
        """One frame took so long."""
        before = self._seen.pop((styles, height_px), None)
        if before is not None and now - before.at < FRESH_S:
            seconds = before.seconds + _SHARE * (seconds - before.seconds)
        self._seen[styles, height_px] = _Cost(seconds, now)
        if len(self._seen) > _LOOKS:
            del self._seen[next(iter(self._seen))]

    def of(self, styles: Styles, height_px: int, since: float) -> float | None:
        """None when it was not seen since then."""
        found = self._seen.get((styles, height_px))
        return None if found is None or found.at < since else found.seconds


@dataclass(frozen=True, slots=True)
class Observation:
    """A stream and its ring over the last second or so.

    `busy` is the share of the workers' time that is taken, by all streams, 0..1; `top_px` the
    greatest height that makes sense: that of the camera, or of the brush.
    """

    styles: Styles
    in_fps: float
    out_fps: float
    busy: float
    workers: int
    top_px: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Of a ring, before anything was seen: a worker's seconds for a frame of 640x360."""

    frame_s: float
    workers: int


class Governor:
    """Chooses the greatest height that holds the frame rate.

    Down after two slow looks in a row, up after three with room; not before a height has been in
    use for a while, as its first frames take longer. A height that did not hold is
    tried again later, and twice as late after each failure. Without `speed` it begins at the top,
    else at the greatest height that leaves room: one that is too dear would cost frames in a
    stream's first seconds.
    """

    def __init__(
        self, target_fps: float, costs: Costs | None = None, speed: Speed | None = None
    ) -> None:
        self.costs = costs or Costs()
        self._target_fps = target_fps
        self._speed = speed
        self._height_px: int | None = None
        self._bad = self._good = 0
        self._chosen_at: float | None = None
        self._used_from: float | None = None  # when a frame at this height was seen
        self._climbed_at: float | None = None
        self._patience_s = PATIENCE_S
        self._barred: tuple[int, float] | None = None  # from which height on, until when

    def height_px(self, top_px: int) -> int:
        """The height to use, until the next observation."""
        if self._height_px is None:
            return self._first_px(top_px)
        return min(self._height_px, top_px)

    def _first_px(self, top_px: int) -> int:
        if self._speed is None or top_px <= FLOOR_PX:
            return top_px
        room_s = _FIRST_LOAD * self._speed.workers
        need_s = self._target_fps * self._speed.frame_s  # at 360 lines
        heights = (*(height for height in HEIGHTS_PX if FLOOR_PX <= height < top_px), top_px)
        fit = (height for height in heights if need_s * (height / 360) ** 2 <= room_s)
        return max(fit, default=FLOOR_PX)

    def restart(self) -> None:
        """As at the beginning: with another brush."""
        self._height_px = self._climbed_at = self._barred = None
        self._chosen_at = self._used_from = None
        self._bad = self._good = 0
        self._patience_s = PATIENCE_S

    def update(self, observed: Observation, now: float) -> None:
        """Call about once a second."""
        wanted = min(self._target_fps, observed.in_fps)
        if wanted <= 0:
            return
        starting = self._height_px is None  # only then what was seen long ago counts
        at = self._height_px = self.height_px(observed.top_px)
        weighed = _Weighed(observed, at, wanted, self.costs, 0.0 if starting else now - FRESH_S)
        better, lower = self._allowed(weighed.better(), now), weighed.lower()
        settled = self._is_settled(observed.styles, at, now)
        slow = settled and observed.out_fps < _SLOW * weighed.needed(at)
        self._bad = self._bad + 1 if slow else 0
        self._good = self._good + 1 if better is not None else 0
        if self._climbed_at is not None and now - self._climbed_at > PATIENCE_S:
            self._climbed_at, self._patience_s = None, PATIENCE_S  # it holds
        if lower is not None and (self._bad >= 2 or (starting and weighed.too_dear(at))):
            self._bar(at, now)
            self._go(lower, None, now)
        elif better is not None and (self._good >= 3 or weighed.as_dear_as(better)):
            self._go(better, now, now)

    def _is_settled(self, styles: Styles, height_px: int, now: float) -> bool:
        """Whether the frame rate says something of this height."""
        if self._chosen_at is None:
            self._chosen_at = now
        if self._used_from is None and self.costs.of(styles, height_px, self._chosen_at) is None:
            return now - self._chosen_at >= _UNSEEN_S
        self._used_from = self._used_from or now
        return now - self._used_from >= _SETTLED_S

    def _allowed(self, height_px: int | None, now: float) -> int | None:
        if self._barred is None or height_px is None:
            return height_px
        from_px, until = self._barred
        return height_px if height_px < from_px or now >= until else None

    def _bar(self, height_px: int, now: float) -> None:
        if self._climbed_at is not None:  # and it did not hold
            self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
        self._barred = height_px, now + self._patience_s

    def _go(self, height_px: int, climbed_at: float | None, now: float) -> None:
        self._height_px, self._climbed_at = height_px, climbed_at
        self._chosen_at, self._used_from = now, None
        self._bad = self._good = 0


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One observation, as seen from the height in use."""

    observed: Observation
    at_px: int
    wanted_fps: float
    costs: Costs
    since: float

    def needed(self, height_px: int) -> float:
        """The frame rate to reach at a height: below the floor and on it, less will do."""
        return self.wanted_fps if height_px > FLOOR_PX else min(self.wanted_fps, FLOOR_FPS)

    def better(self) -> int | None:
        """The greatest height above this one for which there is room."""
        found = (height for height in self._ladder() if height > self.at_px and self._fits(height))
        return max(found, default=None)

    def lower(self) -> int | None:
        """The greatest height below that may hold the rate, else the cheapest; None: no cheaper."""
        least = FLOOR_PX if self.at_px > FLOOR_PX else 0
        cheaper = [h for h in self._ladder() if least <= h < self.at_px and not self.as_dear_as(h)]
        hopeful = [h for h in cheaper if not self.too_dear(h)]
        return (
            max(hopeful)
            if hopeful
            else min(cheaper, key=lambda h: self._cost(h) or 0.0, default=None)
        )

    def too_dear(self, height_px: int) -> bool:
        """Whether a height is known not to hold the rate."""
        return self._cost(height_px) is not None and not self._fits(height_px)

    def as_dear_as(self, height_px: int) -> bool:
        """Whether the other height is known to cost as much as this one; a greater one, no more."""
        here, there = self._cost(self.at_px), self._cost(height_px)
        if here is None or there is None:
            return False
        return there <= here if height_px > self.at_px else there >= here

    def _ladder(self) -> Iterator[int]:
        yield from (height for height in HEIGHTS_PX if height < self.observed.top_px)
        yield self.observed.top_px

    def _cost(self, height_px: int) -> float | None:
        return self.costs.of(self.observed.styles, height_px, self.since)

    def _fits(self, height_px: int) -> bool:
        """Whether the workers' time is enough; what was not seen is tried as if by its pixels."""
        here = self._cost(self.at_px)
        if here is None:
            return False
        seen = self._cost(height_px)
        cost = here * (height_px / self.at_px) ** 2 if seen is None else seen
        all_s = self.observed.workers
        ours_s = min(self.observed.out_fps * here, self.observed.busy * all_s)
        free_s = _LOAD * all_s - (self.observed.busy * all_s - ours_s)
        return self.needed(height_px) * cost <= free_s
