"""sender → **pacing** → network: a large frame leaves over some time, not at once.

A path with a short queue loses what comes in one burst. Pure: `now` is monotonic seconds.
"""

FACTOR = 2.5  # times the target bitrate
CONGESTED = 1.0  # while there is a queue already
BURST_S = 0.015  # of the paced rate leaves at once: most frames but keyframes, on a good path
BURST_BYTES_MIN = 5_000
WAIT_MAX_S = 0.3  # at 100 kbps a large frame would take a second, and look like a hang


class Pacing:
    """A leaky bucket."""

    def __init__(self) -> None:
        self._filled = 0.0  # bytes
        self._at = 0.0

    def wait_s(self, size: int, target_bps: float, is_congested: bool, now: float) -> float:
        """Account for `size` bytes; how long to wait before they are sent."""
        rate = (CONGESTED if is_congested else FACTOR) * target_bps / 8
        self._filled = max(0.0, self._filled - (now - self._at) * rate) + size
        self._at = now
        excess = self._filled - max(BURST_BYTES_MIN, BURST_S * rate)
        return min(WAIT_MAX_S, max(0.0, excess) / rate)
