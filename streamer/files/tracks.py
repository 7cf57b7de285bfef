"""container → **tracks** → mux: what becomes of every stream that is not stylized."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from av.container import OutputContainer
from av.stream import Stream

from streamer.errors import UsageError

# FFmpeg's name of the format each file name ending stands for.
FORMATS: Final = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
}
# Facts about the source that are not true of the result.
STALE: Final = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "bps"}
    | {"number_of_frames", "number_of_bytes"}
)

Action = Literal["copy", "convert", "drop"]


@dataclass(frozen=True, slots=True)
class Track:
    """A stream of the source other than the stylized one."""

    index: int
    kind: str
    codec: str
    action: Action
    into: str = ""  # the encoder, when converted
    is_late: bool = False  # no picture of it comes near the beginning

    def note(self, holder: str) -> str | None:
        """What the user should know about it; None: it is kept unchanged."""
        name = f"{self.kind} stream {self.index} ({self.codec or 'unknown codec'})"
        if self.kind == "timecode":
            return None
        if self.is_late:
            return f"{name} is left out: it begins later; one video stream is stylized"
        if self.action == "drop":
            return f"{name} is dropped: {holder} cannot hold it"
        if self.action == "convert":
            return f"{name} becomes {self.into}: {holder} cannot hold it as it is"
        if self.kind == "video":
            return f"{name} is copied unchanged: one video stream is stylized"
        return None


def format_of(path: Path) -> str:
    """FFmpeg's name of the format of a file to be written. Raises UsageError."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = " ".join(FORMATS)
        raise UsageError(f"{path}: unsupported file type; supported: {known}") from None


def is_bluray(path: Path) -> bool:
    """Whether it is the kind of MPEG-TS that camcorders and Blu-ray discs have."""
    return path.suffix.lower() in (".m2ts", ".mts")


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of a stream's codec; empty when it knows none."""
    context = stream.codec_context
    name = getattr(stream, "name", None) if context is None else context.codec.canonical_name
    return "" if name in (None, "none") else str(name)


def copy_stream(container: OutputContainer, stream: Stream) -> Stream:
    """A stream of `container` for packets of `stream`, described as that one is."""
    copy = container.add_stream_from_template(stream, opaque=True)
    describe(copy, stream)
    return copy


def describe(copy: Stream, stream: Stream) -> None:
    """Copy tags, language, title and disposition to another stream."""
    copy.metadata.update(carried_metadata(stream.metadata))
    copy.disposition = stream.disposition


def carried_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata of the source that are true of the result too."""
    kept = {
        key: value
        for key, value in metadata.items()
        if key.lower() not in STALE and not key.startswith("_STATISTICS")
    }
    if "name" in kept:  # how MP4's title of a track is read; it is written as it is meant
        kept.setdefault("title", kept.pop("name"))
    return kept
