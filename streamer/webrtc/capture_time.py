"""receiver, sender → **capture time** → session: how the age of a picture on the screen is known.

RTCP sender reports (RFC 3550, 6.4.1) pair RTP times with the browser's own clock. What goes back
carries the same media time, shifted by a constant. So a browser that is told when it captured
one RTP time knows it for every picture it shows, and no clock of ours is involved. Pure.
"""

from dataclasses import dataclass

CLOCK_PER_MS = 90  # ticks of video in RTP (RFC 3551)
NTP_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """An RTP time of the returned picture, and when its original was captured.

    Unix milliseconds on the clock of who captured it.
    """

    rtp: int
    captured_ms: float


def captured_ms(rtp: int, report_ntp: int, report_rtp: int) -> float:
    """Unix milliseconds of an RTP time, by a report's 64 bit NTP time and its RTP time."""
    ticks = (rtp - report_rtp + (1 << 31)) % (1 << 32) - (1 << 31)
    reported_ms = (report_ntp / (1 << 32) - NTP_TO_UNIX_S) * 1000
    return reported_ms + ticks / CLOCK_PER_MS
