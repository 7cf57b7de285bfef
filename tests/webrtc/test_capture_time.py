"""When a picture was captured, by what the browser's reports say."""

import pytest
from aiortc.mediastreams import MediaStreamError

from streamer.webrtc.capture_time import NTP_TO_UNIX_S, captured_ms
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.jitter_buffer import MediaClock
from streamer.webrtc.sender import VideoTrack

UNIX_S = 1_700_000_000
NTP = (UNIX_S + NTP_TO_UNIX_S) << 32


@pytest.mark.parametrize(
    ("rtp", "report_rtp", "after_ms"),
    [(5000, 5000, 0), (5000 + 90 * 40, 5000, 40), (5000, 5000 + 90 * 40, -40), (900, -900, 20)],
    ids=["the frame of the report", "a later one", "an earlier one", "across the wrap"],
)
def test_a_report_dates_every_rtp_time(rtp: int, report_rtp: int, after_ms: float) -> None:
    found = captured_ms(rtp, NTP, report_rtp % (1 << 32))
    assert found == pytest.approx(UNIX_S * 1000 + after_ms, abs=0.01)


def test_a_pts_knows_its_rtp_time_across_wrap_and_restart() -> None:
    clock = MediaClock()
    assert clock.rtp(0) is None
    first = (1 << 32) - 1000
    assert clock.pts(first) == 0
    assert clock.pts(2000) == 3000
    assert (clock.rtp(0), clock.rtp(3000)) == (first, 2000)
    restarted = clock.pts(700_000_000)  # another sender: its times begin anywhere
    assert clock.rtp(restarted) == 700_000_000


async def test_no_rtp_time_is_taken_while_a_frame_is_half_out() -> None:
    track = VideoTrack(Bitrate(), threads=None)  # type: ignore[arg-type]
    track.report(7)
    assert track.reported is None, "nothing was sent yet"
    track._sending = 3000
    track.report(7)
    assert track.reported is None, "aiortc may still have the RTP time of the frame before"
    track.stop()
    with pytest.raises(MediaStreamError):  # aiortc asks for the next one: the last is out
        await track.recv()
    track.report(8)
    assert track.reported == (8, 3000)
