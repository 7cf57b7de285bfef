"""encoder → **quality scaler** → encoder: fewer pixels where the bitrate is too low for all.

The term is libwebrtc's; it keeps the frame rate and gives up resolution. Pure: times are in units
of the video clock.
"""

from collections import deque

from streamer.frame import VIDEO_CLOCK_HZ, Image

POOR_BPS, POOR_PIXELS = 250_000, 640 * 360  # with less, half the sides look better
MORE = 1.6  # times what was too little, until they are doubled again
LEAST_PX = 120  # lines
CHANGE_EVERY_S = 3.0
UNFIT_S = 1.0  # packets that are sent again leave little for a moment, which is no reason
DIVISORS = (1, 2, 4)
WATCHED, LEFT_OUT = 15, 5  # of so many frames so many: at its coarsest, they do not fit
STARVED_S = 1.0  # before that, they make room for a keyframe
KNOWN_S = 60.0  # another style or scene may need less


class QualityScaler:
    """`divisor` of both sides, changed seldom."""

    def __init__(self) -> None:
        self.divisor = 1
        self._changed_at: int | None = None
        self._unfit_since: int | None = None  # the bitrate asks for another divisor
        self._coded: deque[bool] = deque(maxlen=WATCHED)
        self._too_little: dict[int, tuple[int, int]] = {}  # by divisor: bitrate, and when

    def coded(self, was_coded: bool) -> None:
        """Whether the encoder gave a packet for a frame, or left it out for want of bits."""
        self._coded.append(was_coded)

    def update(self, image: Image, bps: int, pts: int) -> int:
        """The divisor for the next frame."""
        if self._changed_at is None:
            self._changed_at = pts  # a connection begins below what it can take
        age_s = (pts - self._changed_at) / VIDEO_CLOCK_HZ
        is_starved = age_s >= STARVED_S and self._coded.count(False) >= LEFT_OUT
        if is_starved:
            self._too_little[self.divisor] = bps, pts
        elif age_s < CHANGE_EVERY_S:
            return self.divisor
        wanted = self._wanted(image, bps, pts)
        if wanted == self.divisor:
            self._unfit_since = None
            return wanted
        if self._unfit_since is None:
            self._unfit_since = pts
        if is_starved or pts - self._unfit_since >= UNFIT_S * VIDEO_CLOCK_HZ:
            self.divisor, self._changed_at, self._unfit_since = wanted, pts, None
            self._coded.clear()
        return self.divisor

    def _wanted(self, image: Image, bps: int, pts: int) -> int:
        share = image.width * image.height / POOR_PIXELS
        for divisor in DIVISORS:
            enough = POOR_BPS * (share / divisor**2) ** 0.75
            known_bps, at = self._too_little.get(divisor, (0, pts))
            if pts - at < KNOWN_S * VIDEO_CLOCK_HZ:
                enough = max(enough, known_bps + 1)
            if divisor < self.divisor:
                enough *= MORE
            if bps >= enough or image.lines / divisor < 2 * LEAST_PX:
                break
        return divisor
