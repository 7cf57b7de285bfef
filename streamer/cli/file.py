"""`streamer file`: flags to options. Nothing heavy is imported before the flags are read."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from streamer.cli.options import (
    LOOK_PANEL,
    BackendOption,
    BrushOption,
    DeviceOption,
    GpusOption,
    RayAddressOption,
    SmoothOption,
    StrengthOption,
    StyleOption,
    ThreadsOption,
    ToneOption,
    WorkersOption,
    choose_setup,
)
from streamer.cli.pulling import PullOption, check_style
from streamer.errors import UsageError
from streamer.look import DEFAULT_TONE

_FILE = "File"
_RUN = "Run"


def file(  # noqa: PLR0917 - one parameter an option is how Typer works
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Videos, photos and folders; - reads standard input."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="File or folder to write; - writes to standard output.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    style: StyleOption = None,
    pull: PullOption = False,
    strength: StrengthOption = 1.0,
    preserve_color: Annotated[
        bool,
        typer.Option(
            "--preserve-color", help="Keep the original colours.", rich_help_panel=LOOK_PANEL
        ),
    ] = False,
    smooth: SmoothOption = 0.0,
    tone: ToneOption = DEFAULT_TONE,
    brush: BrushOption = None,
    height: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4320,
            help="Instead of --brush, the lines to stylize at; of an upright picture, its width.",
            rich_help_panel=LOOK_PANEL,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start here: 90 or 1:30.", rich_help_panel=_FILE),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop here: 90 or 1:30.", rich_help_panel=_FILE),
    ] = None,
    codec: Annotated[
        Literal["h264", "hevc", "av1", "vp9"] | None,
        typer.Option(help="Video codec; default: h264, in WebM vp9.", rich_help_panel=_FILE),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            min=0, max=63, help="Quality: lower is better and larger.", rich_help_panel=_FILE
        ),
    ] = None,
    encoder: Annotated[
        Literal["auto", "software", "nvenc", "qsv", "amf", "videotoolbox", "vaapi"],
        typer.Option(
            help="Video encoder; auto uses the hardware if it works.", rich_help_panel=_FILE
        ),
    ] = "auto",
    hwaccel: Annotated[
        Literal["none", "auto", "cuda", "nvenc", "vaapi", "qsv", "amf", "videotoolbox"],
        typer.Option(
            help="Hardware to decode and encode with; what it cannot do, software does.",
            rich_help_panel=_FILE,
        ),
    ] = "none",
    deinterlace: Annotated[
        bool, typer.Option(help="Deinterlace interlaced frames.", rich_help_panel=_FILE)
    ] = True,
    fields: Annotated[
        bool,
        typer.Option(
            "--fields",
            help="Deinterlace to a frame for each field: twice the frames, smoother motion.",
            rich_help_panel=_FILE,
        ),
    ] = False,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jpg",
            help="Write the first stylized frame of each video here at once.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    keep_location: Annotated[
        bool,
        typer.Option(
            "--keep-location",
            help="Keep the location (GPS) in the metadata of photos.",
            rich_help_panel=_FILE,
        ),
    ] = False,
    backend: BackendOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    gpus: GpusOption = None,
    device: DeviceOption = None,
    ray_address: RayAddressOption = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", "-y", help="Replace existing files.", rich_help_panel=_RUN),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Report as JSON lines.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what would be done, and do nothing.", rich_help_panel=_RUN
        ),
    ] = False,
) -> None:
    """Stylize videos and photos.

    Audio, subtitles, chapters, timing and tags are kept. The result is written beside the
    original as NAME.STYLE.mp4, unless -o says otherwise.

    [bold]Examples[/bold]

    streamer file holiday.mp4
        writes holiday.mosaic.mp4, or whatever style is the default

    streamer file holiday.mp4 --style mosaic:0.7,ember:0.3 --strength 0.8 -o art.mkv

    streamer file --start 1:30 --end 2:00 --height 360 long.mp4

    streamer file --resume holiday.mp4
        continues after Ctrl-C

    streamer file album/ -o stylized/
        all videos and photos of a folder, its subfolders included

    cat in.mp4 | streamer file - > out.mp4
    """
    from streamer.files.batch import BatchOptions, run
    from streamer.files.inputs import parse_time
    from streamer.files.job import TranscodeOptions
    from streamer.look import BRUSHES, parse_tone

    if brush is not None and height is not None:
        raise UsageError("--brush and --height both say at which height to stylize: give one")

    _refuse_urls(inputs)
    check_style(style, pull)
    setup, note = choose_setup("file", backend, workers, threads, gpus, ray_address, device)
    if note:
        print(note, file=sys.stderr)

    transcode = TranscodeOptions(
        height_px=height if brush is None else BRUSHES[brush],
        smooth=smooth,
        start_s=None if start is None else parse_time(start),
        end_s=None if end is None else parse_time(end),
        codec=codec,
        crf=crf,
        encoder=encoder,
        hwaccel=hwaccel,
        deinterlace=deinterlace,
        fields=fields,
        overwrite=overwrite,
        resume=resume,
    )
    options = BatchOptions(
        inputs=tuple(inputs),
        output=output,
        style=style,
        strength=strength,
        preserve_color=preserve_color,
        tone=parse_tone(tone),
        transcode=transcode,
        preview=preview,
        keep_location=keep_location,
        setup=setup,
        ray_address=ray_address,
        as_json=as_json,
        dry_run=dry_run,
    )
    raise typer.Exit(run(options))


def _refuse_urls(inputs: list[str]) -> None:
    for name in inputs:
        if "://" in name and not Path(name).exists():
            how = "download it first; a live stream is for `streamer camera`"
            raise UsageError(f"{name}: files are read, no URLs; {how}")
