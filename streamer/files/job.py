"""file → **order** → film.

What is to be done to one film, checked before the first frame is touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamer.errors import UsageError
from streamer.files.container import Film, probe
from streamer.files.encode import VERSION, Encoding, choose
from streamer.files.mux import Assembly
from streamer.files.segments import FRAMES
from streamer.files.tracks import Track, format_of, plan
from streamer.files.trim import Cut
from streamer.frame import Style


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for. `look` names the models' bytes: other bytes, other frames."""

    source: Path
    target: Path
    style: Style
    look: str = ""
    height_px: int | None = None
    smooth: float = 0.0
    start_s: Fraction | None = None
    end_s: Fraction | None = None
    codec: str | None = None
    encoder: str = "auto"
    crf: int | None = None
    deinterlace: bool = True
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """An order that can be carried out, and how."""

    order: Order
    assembly: Assembly
    notes: tuple[str, ...]

    @property
    def film(self) -> Film:
        """The film to be stylized."""
        return self.assembly.film

    @property
    def total(self) -> int:
        """How many frames there should be; 0: nobody knows."""
        part = self.assembly.cut.fraction_of(self.film.start_s, self.film.duration_s)
        return round(self.film.frames * part)


def prepare(order: Order) -> Job:
    """Look at everything that can be known before the first frame. Raises StreamerError."""
    _check_paths(order)
    target_format = format_of(order.target)
    film = probe(order.source)
    codec = order.codec or ("vp9" if target_format == "webm" else "h264")
    encoding = choose(film, codec, order.encoder, order.crf)
    _check_format(target_format, codec)
    tracks = plan(film, target_format)
    cut = _cut(order, film)
    notes = _notes(film, encoding, tracks, target_format, order.target.suffix)
    return Job(order, Assembly(film, cut, encoding, tracks), tuple(notes))


def _check_paths(order: Order) -> None:
    if not order.source.exists():
        raise UsageError(f"{order.source}: there is no such file")
    if order.target.exists():
        if order.target.samefile(order.source):
            raise UsageError(f"{order.target}: the film would overwrite itself")
        if not order.overwrite:
            raise UsageError(f"{order.target} is there already; --overwrite replaces it")
    if not order.target.parent.is_dir():
        raise UsageError(f"{order.target.parent}: there is no such folder")


def _check_format(target_format: str, codec: str) -> None:
    if target_format == "webm" and codec not in ("vp9", "av1"):
        raise UsageError(f"webm cannot hold {codec}; it holds vp9 and av1")
    if target_format == "mpegts" and codec not in ("h264", "hevc"):
        raise UsageError(f"MPEG-TS cannot hold {codec}; it holds h264 and hevc")


def _cut(order: Order, film: Film) -> Cut:
    start, end = order.start_s, order.end_s
    if end is not None and end <= (start or 0):
        raise UsageError("--end must be after --start")
    return Cut(
        None if start is None else start + film.start_s,
        None if end is None else end + film.start_s,
    )


def _notes(
    film: Film, encoding: Encoding, tracks: tuple[Track, ...], target_format: str, suffix: str
) -> Iterator[str]:
    if film.colors.hdr:
        yield f"HDR with {film.bits} bits becomes SDR (BT.709) with 8 bits"
    elif film.bits > 8:
        yield f"{film.bits} bits become 8"
    if film.has_alpha:
        yield "transparency is dropped"
    if (film.width, film.height) != (encoding.width, encoding.height):
        sizes = f"{film.width}x{film.height} becomes {encoding.width}x{encoding.height}"
        yield f"{sizes}: {encoding.codec} has even sides only"
    if film.rotation is not None and target_format == "mpegts":
        yield "MPEG-TS cannot hold the rotation of this film: it will lie on its side"
    step = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000)}.get(target_format)
    if step is not None and (film.time_base / step).denominator != 1:
        yield f"{suffix} keeps time in milliseconds: pts are rounded to them"
    yield from filter(None, (track.note(suffix) for track in tracks))


def identity(job: Job) -> dict[str, object]:
    """All that decides how frames look; equal orders give equal frames."""
    order, encoding = job.order, job.assembly.encoding
    status = order.source.stat()
    return {
        "film": [str(order.source.resolve()), status.st_size, status.st_mtime_ns],
        "style": [list(part) for part in order.style.blend],
        "strength": order.style.strength,
        "preserve-color": order.style.preserve_color,
        "model": order.look,
        "height": order.height_px,
        "smooth": order.smooth,
        "start": str(order.start_s),
        "end": str(order.end_s),
        "deinterlace": order.deinterlace,
        "encoder": [encoding.encoder, *(list(option) for option in encoding.options)],
        "segment": FRAMES,
        "PyAV": VERSION,
    }
