"""session, camera → **style control** → fade, governor: the look of a stream's next frame.

Pure: `now` is monotonic seconds.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

from streamer.frame import Frame, Style
from streamer.look import BRUSHES, Brush
from streamer.pipeline.change import Change, Height, altered
from streamer.pipeline.fade import Fade
from streamer.pipeline.governor import Costs, Governor, Observation, Speed, Styles
from streamer.pipeline.stream_statistics import StreamStatistics
from streamer.styles.model import Blend, names_of

_STREAMS = itertools.count()

PREPARED_S = 10.0  # what no worker has prepared by then is stylized with all the same

Parse = Callable[[str | Mapping[str, float]], Blend]


class StyleControl:
    """Style, cross-fade and working height of one stream.

    A style that is new to the workers begins once they have prepared for it: until then the stream
    goes on in the style before.

    With height `auto` it is that of the brush, or less where that does not hold the frame rate.
    `frame_s` is what the ring's workers told of themselves, as `Ring.frame_s`.
    """

    def __init__(
        self,
        parse: Parse,
        style: Style,
        height_px: Height,
        target_fps: float,
        *,
        brush: Brush = "medium",
        costs: Costs | None = None,
        frame_s: float | None = None,
        workers: int = 1,
    ) -> None:
        self.brush = brush
        self.stylized_px: int | None = None  # lines that the newest frame was stylized at
        self.size = (0, 0)  # of the newest frame
        self.in_fps = 0.0
        self._parse = parse
        self._fade = Fade(style)
        self._pending: tuple[Style, float, float] | None = None  # with its transition, and when
        self._ready = set(_styles(style))  # styles that the workers have prepared
        self._answers = 0  # in a row, of workers that have the pending style prepared
        self._statistics = StreamStatistics(next(_STREAMS))
        self._height = height_px
        speed = None if frame_s is None else Speed(frame_s, workers)
        self._governor = Governor(target_fps, costs, speed)
        self._workers = workers
        self._once_s = 0.0  # of workers' time, for what is done once a scene
        self._counted: tuple[float, int, float] | None = None  # when, frames in, busy seconds

    @property
    def target(self) -> Style:
        """The style that a cross-fade ends in, or will."""
        return self._fade.target if self._pending is None else self._pending[0]

    @property
    def height_auto(self) -> bool:
        return self._height == "auto"

    @property
    def height_px(self) -> int:
        """The lines to stylize at, never above the source's."""
        if self._height == "auto":
            return self._governor.height_px(self._top_px)
        return min(self._height, self._lines or self._height)

    @property
    def _lines(self) -> int:
        return min(self.size)

    @property
    def _top_px(self) -> int:
        brush_px = BRUSHES[self.brush]
        return min(brush_px, self._lines or brush_px)

    def apply(self, frame: Frame, now: float) -> Frame:
        """The frame with the style, height and statistics that are due now."""
        self.size = frame.image.size
        if self._pending is not None and now - self._pending[2] > PREPARED_S:
            self._begin(now)
        style = self._fade.at(now)
        height_px = self.height_px
        orders = self._statistics.orders(frame.image.planes[0], _styles(style), now, height_px)
        upcoming = None if self._pending is None else self._pending[0]
        return replace(frame, style=style, height_px=height_px, orders=orders, upcoming=upcoming)

    def waits(self, now: float) -> bool:
        """Whether the next frame should wait for one that is being measured."""
        return self._statistics.waits(now, self._workers)

    def on_stylized(self, frame: Frame, now: float) -> bool:
        """A frame came back, perhaps with what its worker measured. Whether it is to be shown."""
        fits = frame.orders is None or self._statistics.returned(frame.orders, frame.measured, now)
        if frame.height_px is not None:
            self.stylized_px = frame.height_px
            if not frame.measured:  # one that was measured took longer
                self._governor.costs.see(
                    _styles(frame.style), frame.height_px, frame.service_s, now
                )
        if any(found.whole is not None for found in frame.measured.values()):
            self._once_s += frame.service_s
        if self._pending is not None and frame.upcoming is self._pending[0]:
            self._answers = self._answers + 1 if frame.upcoming_ready else 0
            if self._answers >= self._workers:
                self._begin(now)
        return fits

    def change(self, wanted: Change, now: float) -> None:
        """Changes all that is asked for, or nothing. Raises UnknownStyleError, UsageError."""
        style = altered(self.target, wanted, self._parse)
        if wanted.brush is not None:
            self.brush, self._height = wanted.brush, "auto"
            self._governor.restart()
        if wanted.height_px is not None:
            self._height = wanted.height_px
        self._pending, self._answers = (style, wanted.transition_s, now), 0
        if _styles(style) <= self._ready:
            self._begin(now)

    def _begin(self, now: float) -> None:
        """Head for the pending style."""
        assert self._pending is not None
        style, transition_s, _ = self._pending
        self._fade.to(style, transition_s, now)
        self._ready |= _styles(style)
        self._pending = None

    def update(
        self, now: float, frames_in: int, out_fps: float, busy_s: float, workers: int
    ) -> None:
        """Call about once a second; `frames_in` and `busy_s` of all workers are running totals."""
        self._workers = max(workers, 1)
        busy_s -= self._once_s  # it is no load that stays
        if self._counted is not None:
            at, frames, busy = self._counted
            elapsed_s = now - at
            self.in_fps = (frames_in - frames) / elapsed_s
            if self._height == "auto" and self._lines:
                share = (busy_s - busy) / elapsed_s / self._workers
                styles = _styles(self._fade.at(now))
                self._governor.update(
                    Observation(styles, self.in_fps, out_fps, share, self._workers, self._top_px),
                    now,
                )
        self._counted = now, frames_in, busy_s


def _styles(style: Style) -> Styles:
    return frozenset(names_of(style.blend))
