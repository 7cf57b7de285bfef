"""program → **video** → job, transcode: video files, as `streamer file` does them."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from streamer.api.event_loop import event_loop
from streamer.api.look import Styled, lines_of, look_of, style_of
from streamer.api.ring import Ring
from streamer.engine.backend import Backend
from streamer.errors import UsageError
from streamer.files.inputs import parse_time
from streamer.files.job import TranscodeOptions, name_models, prepare
from streamer.files.transcode import Progress, Result, transcode
from streamer.styles.catalogue import Catalogue

Codec = Literal["h264", "hevc", "av1", "vp9"]


async def stylize_video_async(
    source: str | Path,
    target: str | Path,
    look: Styled = None,
    *,
    ring: Ring | None = None,
    backend: Backend | None = None,
    workers: int | None = None,
    start: float | str | None = None,
    end: float | str | None = None,
    codec: Codec | None = None,
    crf: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Stylize a video file; audio, subtitles, chapters, timing and tags are kept.

    `ring` is one that is open already; without it one is started, with `backend` and `workers`,
    and stopped. `start` and `end` are seconds, or texts such as `1:30`. `codec` is h264 by
    default (in WebM vp9), `crf` its quality. `progress` is called four times a second, on the
    event loop. A run that was interrupted goes on with `resume`, and `overwrite` replaces what is
    there. Raises StreamerError: UsageError, MediaError, RingError.
    """
    if ring is not None and not (backend is None and workers is None):
        raise UsageError("backend and workers are those of the ring that is given")
    wanted, catalogue = look_of(look), Catalogue.load()
    style = style_of(wanted, catalogue)
    chosen = ring._backend if ring is not None else backend or "auto"
    options = TranscodeOptions(
        style=style,
        models=name_models(catalogue, style, chosen),
        height_px=lines_of(wanted),
        smooth=wanted.smooth,
        start_s=None if start is None else parse_time(str(start)),
        end_s=None if end is None else parse_time(str(end)),
        codec=codec,
        crf=crf,
        overwrite=overwrite,
        resume=resume,
    )
    job = prepare(Path(source), Path(target), options)
    if ring is not None:
        return await transcode(job, ring._ring.open(live=False), progress)
    async with Ring(wanted, backend=chosen, workers=workers) as own:
        return await transcode(job, own._ring.open(live=False), progress)


def stylize_video(
    source: str | Path,
    target: str | Path,
    look: Styled = None,
    *,
    backend: Backend | None = None,
    workers: int | None = None,
    start: float | str | None = None,
    end: float | str | None = None,
    codec: Codec | None = None,
    crf: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """As `stylize_video_async`, for programs without an event loop; `progress` runs in a thread.

    Works in notebooks, too. Ctrl-C stops it, and `resume` goes on from there.
    """
    work = stylize_video_async(
        source,
        target,
        look,
        backend=backend,
        workers=workers,
        start=start,
        end=end,
        codec=codec,
        crf=crf,
        overwrite=overwrite,
        resume=resume,
        progress=progress,
    )
    with event_loop() as run:
        result: Result = run(work)
    return result
