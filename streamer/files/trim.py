"""decode, passthrough → **trim**: which part of a video is wanted, in any time base (pure)."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `start_s` up to, not including, `end_s`: media time in seconds; None: no limit.

    What is kept moves to time 0.
    """

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    def shift(self, time_base: Fraction) -> int:
        """Ticks by which everything moves towards 0."""
        return round((self.start_s or 0) / time_base)

    def is_before(self, pts: int, time_base: Fraction) -> bool:
        """Whether `pts` comes before the wanted part."""
        return self.start_s is not None and pts * time_base < self.start_s

    def is_after(self, pts: int, time_base: Fraction) -> bool:
        """Whether `pts` comes after the wanted part."""
        return self.end_s is not None and pts * time_base >= self.end_s

    def fraction_of(self, duration_s: float) -> float:
        """How much of a video of that length is wanted, 0..1."""
        if duration_s <= 0:
            return 1.0
        end_s = duration_s if self.end_s is None else min(float(self.end_s), duration_s)
        return max(0.0, end_s - float(self.start_s or 0)) / duration_s
