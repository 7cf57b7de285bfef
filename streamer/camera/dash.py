"""source → **dash** → FFmpeg: the video of a DASH presentation, which PyAV's FFmpeg cannot read.

streamlink reads the manifest, again and again of a live one, and fetches segments ahead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamer.errors import UsageError, to_install

MOST_LINES = 1080  # of several representations; more is shown only when there is nothing less
SILENCE_S = 30.0  # without a new segment; those of live streams are up to 10 s long


@dataclass(frozen=True, slots=True)
class Presentation:
    """One representation as a file; `whole`: it has an end."""

    _media: Any  # streamlink's file says that it cannot be read, which PyAV believes
    whole: bool

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as they come. Raises OSError after SILENCE_S without any."""
        return bytes(self._media.read(size))

    def close(self) -> None:
        """Stop fetching."""
        self._media.close()


def check_dash() -> None:
    """Raises UsageError when streamlink is not installed."""
    try:
        import streamlink  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(f"DASH needs streamlink; {to_install('dash')}") from None


def open_dash(url: str, headers: Mapping[str, str]) -> Presentation:
    """Its best video of at most MOST_LINES, else the smallest. Raises OSError."""
    from streamlink.exceptions import StreamlinkError
    from streamlink.session.session import Streamlink
    from streamlink.stream.dash.dash import DASHStream

    session = Streamlink({"stream-timeout": SILENCE_S}, plugins_builtin=False)
    try:
        found = DASHStream.parse_manifest(session, url, with_video_only=True, headers=dict(headers))
        videos = {
            stream.video_representation.height or 0: stream
            for stream in found.values()
            if stream.video_representation is not None and stream.audio_representation is None
        }
        if not videos:
            raise OSError("there is no video in it")
        fit = [lines for lines in videos if lines <= MOST_LINES]
        chosen: Any = videos[max(fit) if fit else min(videos)]
        return Presentation(chosen.open(), chosen.mpd.type == "static")
    except StreamlinkError as error:
        raise OSError(str(error)) from error
