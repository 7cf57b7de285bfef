"""style control → **governor**: the height to stylize at, so that the ring keeps up."""

HEIGHTS_PX = (180, 270, 360, 540, 720)


class Governor:
    """Moves the processing height down when the ring is too slow, up when there is room.

    Down is quick (`down_after` bad looks in a row), up is slow (`up_after` good ones, and longer
    after each climb that failed), so it does not swing. A look is one call of `update`, usually
    once a second.
    """

    def __init__(self, target_fps: float, *, down_after: int = 2, up_after: int = 5) -> None:
        self.height_px = 360
        self._target_fps = target_fps
        self._down_after = down_after
        self._patience = up_after
        self._bad = 0
        self._good = 0
        self._climbed = False

    def update(self, in_fps: float, out_fps: float, busy: float, camera_px: int) -> int:
        """One look at the stream; returns the height to use from now on.

        `busy` is the share of the ring's time that is taken, 0..1; `camera_px` the height of
        the incoming picture, which is never exceeded.
        """
        heights = [h for h in HEIGHTS_PX if h <= camera_px] or [HEIGHTS_PX[0]]
        at = heights.index(self.height_px) if self.height_px in heights else len(heights) - 1
        wanted = min(self._target_fps, in_fps)
        if wanted > 0:
            at = self._step(at, heights, out_fps < 0.9 * wanted, busy)
        self.height_px = heights[at]
        return self.height_px

    def _step(self, at: int, heights: list[int], slow: bool, busy: float) -> int:
        self._bad = self._bad + 1 if slow else 0
        room = at + 1 < len(heights) and busy * (heights[at + 1] / heights[at]) ** 2 < 0.85
        self._good = self._good + 1 if room and not slow else 0
        if self._bad >= self._down_after and at > 0:
            if self._climbed:  # the last climb did not hold: wait longer before the next
                self._patience = min(self._patience * 2, 120)
            self._bad = self._good = 0
            self._climbed = False
            return at - 1
        if self._good >= self._patience:
            self._bad = self._good = 0
            self._climbed = True
            return at + 1
        return at
