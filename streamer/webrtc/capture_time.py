"""receiver, sender → **capture_time** → session: the age of a frame on the browser's screen.

RTCP sender reports (RFC 3550, 6.4.1) pair RTP times with the browser's own clock. The stream that
goes back carries the same media time, shifted by a constant. So a browser that knows when it
captured one RTP time knows it for every frame it shows, without any clock of ours. Pure.
"""

from dataclasses import dataclass

from streamer.frame import VIDEO_CLOCK_HZ

NTP_TO_UNIX_S = 2_208_988_800  # from 1900 to 1970from streamer.frame import VIDEO_CLOCK_HZ


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """An RTP time of the returned stream, and when that frame was captured.

    In Unix milliseconds on the clock of the peer that captured it.
    """

    rtp: int
    captured_ms: float


def captured_ms(rtp: int, report_ntp: int, report_rtp: int) -> float:
    """Unix milliseconds of an RTP time, from a report's 64-bit NTP time and its RTP time."""
    ticks = (rtp - report_rtp + (1 << 31)) % (1 << 32) - (1 << 31)
    reported_ms = (report_ntp / (1 << 32) - NTP_TO_UNIX_S) * 1000
    return reported_ms + ticks * 1000 / VIDEO_CLOCK_HZ
