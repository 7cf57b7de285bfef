"""`streamer file`: flags to a wish. Nothing heavy is imported before the flags are read."""

import sys
from typing import Annotated, Literal

import typer

from streamer.cli.options import choose_setup

_LOOK = "Look"
_FILE = "File"
_RING = "Workers"
_RUN = "Run"


def file(  # noqa: PLR0917 - one parameter an option is how Typer works
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Films, photos, folders; - is stdin.")
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="File or folder; - is stdout.", rich_help_panel=_FILE),
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="A style, or a blend: a:0.7,b:0.3.", rich_help_panel=_LOOK)
    ] = None,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="0 leaves it as it is.", rich_help_panel=_LOOK)
    ] = 1.0,
    preserve_color: Annotated[
        bool, typer.Option("--preserve-color", help="Keep its colours.", rich_help_panel=_LOOK)
    ] = False,
    smooth: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.95,
            help="Against flicker: part of the frame before.",
            rich_help_panel=_LOOK,
        ),
    ] = 0.0,
    height: Annotated[
        int | None,
        typer.Option(
            min=16,
            max=4320,
            help="Pixels at which it is stylized: less is faster and coarser. The film keeps its "
            "own size.",
            rich_help_panel=_LOOK,
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="90 or 1:30.", rich_help_panel=_FILE)
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="Where to stop.", rich_help_panel=_FILE)
    ] = None,
    codec: Annotated[
        Literal["h264", "hevc", "av1", "vp9"] | None,
        typer.Option(help="Default h264; vp9 in webm.", rich_help_panel=_FILE),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(min=0, max=63, help="Quality: less is better.", rich_help_panel=_FILE),
    ] = None,
    encoder: Annotated[
        Literal["auto", "software", "nvenc", "qsv", "amf", "videotoolbox"],
        typer.Option(help="auto: hardware where it works.", rich_help_panel=_FILE),
    ] = "auto",
    deinterlace: Annotated[
        bool, typer.Option(help="Make whole pictures of fields.", rich_help_panel=_FILE)
    ] = True,
    backend: Annotated[
        Literal["onnx", "torch", "none"] | None,
        typer.Option(help="Default: onnx.", rich_help_panel=_RING),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Default: one per core.", rich_help_panel=_RING),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Per worker; default 1.", rich_help_panel=_RING),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, max=1024, help="With --backend torch.", rich_help_panel=_RING),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Join this Ray cluster.", rich_help_panel=_RING)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=_RUN)
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it stopped.", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines for programs.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Stylize a film, and lose nothing else of it.

    Sound, subtitles, chapters, timing and tags stay. The result goes beside the film, as
    film.<style>.mp4, unless -o says otherwise. Photos are stylized too.

    [bold]Examples[/bold]

    streamer file holiday.mp4
        writes holiday.mosaic.mp4, or whatever style is the default

    streamer file holiday.mp4 --style mosaic:0.7,candy:0.3 --strength 0.8 -o art.mkv

    streamer file --start 1:30 --end 2:00 --height 360 long.mp4

    streamer file --resume holiday.mp4
        goes on after Ctrl-C

    streamer file album/ -o stylized/

    cat in.mp4 | streamer file - > out.mp4
    """
    from streamer.files.batch import Wish, run
    from streamer.files.inputs import parse_time

    size, note = choose_setup("file", backend, workers, threads, gpus, ray_address)
    if note:
        print(note, file=sys.stderr)

    wish = Wish(
        inputs=tuple(inputs),
        output=output,
        style=style,
        strength=strength,
        preserve_color=preserve_color,
        smooth=smooth,
        height_px=height,
        start_s=None if start is None else parse_time(start),
        end_s=None if end is None else parse_time(end),
        codec=codec,
        crf=crf,
        encoder=encoder,
        deinterlace=deinterlace,
        backend=size.backend,
        workers=size.workers,
        threads=size.threads,
        gpus=size.gpus,
        ray_address=ray_address,
        overwrite=overwrite,
        resume=resume,
        as_json=as_json,
        dry_run=dry_run,
    )
    raise typer.Exit(run(wish))
