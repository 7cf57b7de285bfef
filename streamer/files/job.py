"""batch, uploads → **job** → transcode: what to do to one video, checked before the first frame."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from streamer.engine.backend import Backend
from streamer.errors import UsageError
from streamer.files import hardware
from streamer.files.animation import is_opaque
from streamer.files.checkpoint import FRAMES
from streamer.files.container import VideoInfo, probe
from streamer.files.encode import VERSION, Encoding, choose
from streamer.files.mux import MuxPlan
from streamer.files.passthrough import plan
from streamer.files.tracks import Track, format_of
from streamer.files.trim import TimeRange
from streamer.frame import Style
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import names_of


@dataclass(frozen=True, slots=True)
class TranscodeOptions:
    """What the user asked for. `models` names the bytes of the models: others give other frames."""

    style: Style = field(default_factory=Style)
    models: str = ""
    height_px: int | None = None
    smooth: float = 0.0
    start_s: Fraction | None = None
    end_s: Fraction | None = None
    codec: str | None = None
    encoder: str = "auto"
    hwaccel: str = "none"
    crf: int | None = None
    deinterlace: bool = True
    fields: bool = False
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True, slots=True)
class TranscodeJob:
    """One video that can be stylized as asked, and how."""

    source: Path
    target: Path
    options: TranscodeOptions
    plan: MuxPlan
    notes: tuple[str, ...]
    device: str | None = None  # of FFmpeg, that decodes

    @property
    def video(self) -> VideoInfo:
        return self.plan.video

    @property
    def total(self) -> int:
        """How many frames to expect; 0: unknown."""
        part = self.plan.trim.fraction_of(self.video.duration_s)
        return round(self.video.frames * part)


def prepare(source: Path, target: Path, options: TranscodeOptions) -> TranscodeJob:
    """Check all that can be known before the first frame. Raises StreamerError."""
    _check_paths(source, target, options.overwrite)
    target_format = format_of(target)
    if options.fields and not options.deinterlace:
        raise UsageError("--fields makes frames by deinterlacing: leave out --no-deinterlace")
    video = probe(source).by_fields() if options.fields else probe(source)
    codec = options.codec or ("vp9" if target_format == "webm" else "h264")
    device = hardware.decoding_device(source, options.hwaccel)
    encoding = choose(video, codec, options.encoder, options.crf, hardware.kinds(options.hwaccel))
    _check_format(target_format, codec)
    tracks = plan(video, target)
    notes = (
        *hardware.notes(options.hwaccel, device, encoding.encoder),
        *_notes(video, encoding, tracks, target_format, target.suffix),
    )
    mux_plan = MuxPlan(video, _trim(options, video.time_base), encoding, tracks)
    mux_plan.rehearse(target_format)
    return TranscodeJob(source, target, options, mux_plan, notes, device)


def _check_paths(source: Path, target: Path, overwrite: bool) -> None:
    if not source.exists():
        raise UsageError(f"{source}: no such file")
    if target.exists():
        if target.samefile(source):
            raise UsageError(f"{target}: the result would overwrite its source")
        if not overwrite:
            raise UsageError(f"{target} exists already; --overwrite replaces it")


def _check_format(target_format: str, codec: str) -> None:
    if target_format == "webm" and codec not in ("vp9", "av1"):
        raise UsageError(f"WebM cannot hold {codec}; it holds vp9 and av1")
    if target_format == "mpegts" and codec not in ("h264", "hevc"):
        raise UsageError(f"MPEG-TS cannot hold {codec}; it holds h264 and hevc")


def _trim(options: TranscodeOptions, tick_s: Fraction) -> TimeRange:
    """Beginning with a tick of the video, so that all streams move by as much."""
    start, end = options.start_s, options.end_s
    if end is not None and end <= (start or 0):
        raise UsageError("--end must be after --start")
    return TimeRange(None if start is None else math.ceil(start / tick_s) * tick_s, end)


def _notes(
    video: VideoInfo, encoding: Encoding, tracks: tuple[Track, ...], target_format: str, suffix: str
) -> Iterator[str]:
    if video.colors.hdr:
        yield f"{video.bits}-bit HDR becomes 8-bit SDR (BT.709)"
    elif video.bits > 8:
        yield f"{video.bits} bits become 8"
    if video.has_alpha and not is_opaque(video.path):
        yield "transparency is dropped"
    if (video.width, video.height) != (encoding.width, encoding.height):
        sizes = f"{video.width}x{video.height} becomes {encoding.width}x{encoding.height}"
        yield f"{sizes}: {encoding.codec} needs even sides"
    if video.rotation and target_format == "mpegts":
        yield "MPEG-TS cannot hold the rotation of this video: it will lie on its side"
    step = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000)}.get(target_format)
    if step is not None and (video.time_base / step).denominator != 1:
        yield f"{suffix} keeps time in milliseconds: timestamps are rounded"
    yield from filter(None, (track.note(suffix) for track in tracks))


def name_models(catalogue: Catalogue, style: Style, backend: Backend) -> str:
    """Names the bytes that stylize: other weights or another engine give other frames."""
    named = names_of(style.blend)
    models = sorted({catalogue.find(name)[0].sha256 for name in named})
    return hashlib.sha256(" ".join([backend, *models]).encode()).hexdigest()[:16]


def fingerprint(job: TranscodeJob) -> dict[str, object]:
    """All that decides how frames look: jobs with the same one give the same frames."""
    options, encoding = job.options, job.plan.encoding
    status = job.source.stat()
    return {
        "video": [str(job.source.resolve()), status.st_size, status.st_mtime_ns],
        "style": [list(part) for part in options.style.blend],
        "strength": options.style.strength,
        "preserve-color": options.style.preserve_color,
        "tone": options.style.tone,
        "model": options.models,
        "height": options.height_px,
        "smooth": options.smooth,
        "start": str(options.start_s),
        "end": str(options.end_s),
        "deinterlace": options.deinterlace,
        "fields": options.fields,
        "encoder": [encoding.encoder, *(list(option) for option in encoding.options)],
        "segment": FRAMES,
        "PyAV": VERSION,
    }
