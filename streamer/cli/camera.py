"""`streamer camera`: flags to options. Nothing heavy is imported before the flags are read."""

from typing import Annotated

import typer

from streamer.cli import completion
from streamer.cli.options import (
    BackendOption,
    BrushOption,
    CalmOption,
    DeviceOption,
    StrengthOption,
    StyleOption,
    ThreadsOption,
    ToneOption,
    WorkersOption,
    check_installed,
    parse_height,
    parse_size,
)
from streamer.cli.pulling import PullOption, check_style
from streamer.look import DEFAULT_TONE


def camera(  # noqa: PLR0917 - one parameter an option is how Typer works
    source: Annotated[
        str,
        typer.Argument(
            help="Camera number or name, URL, file, or screen.", autocompletion=completion.cameras
        ),
    ] = "0",
    style: StyleOption = None,
    pull: PullOption = False,
    strength: StrengthOption = 1.0,
    tone: ToneOption = DEFAULT_TONE,
    brush: BrushOption = None,
    calm: CalmOption = True,
    size: Annotated[
        str, typer.Option(help="Size of the virtual camera, whatever the source has.")
    ] = "1280x720",
    fps: Annotated[
        float, typer.Option(min=1, max=120, help="Frame rate of the virtual camera.")
    ] = 30.0,
    height: Annotated[str, typer.Option(help="Lines to stylize at, or auto.")] = "auto",
    virtual_camera: Annotated[
        str | None,
        typer.Option(
            help="Virtual camera to use, if there are several.",
            autocompletion=completion.virtual_cameras,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_TOKEN", help="Token of the server whose stream is the source."
        ),
    ] = None,
    control: Annotated[
        bool,
        typer.Option(
            "--control", help="Read styles from standard input, one a line: name, number or JSON."
        ),
    ] = False,
    backend: BackendOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = None,
) -> None:
    """Stylize a camera, and show it to Zoom, Meet and OBS as a virtual camera.

    The virtual camera keeps its size and frame rate. While the source is away it shows a slate;
    the source is opened again as soon as it is back.

    [bold]Examples[/bold]

    streamer camera --style mosaic
        the first webcam

    streamer camera rtsp://192.168.1.20/stream --size 1920x1080

    streamer camera clip.mp4
        over and over

    streamer camera screen --fps 15

    streamer camera http://127.0.0.1:8000/streams/page.mjpeg --style none
        a live stream of a server, stylized there

    streamer camera --control
        then type a style's name, or its number, and Enter
    """
    from streamer.camera.run import CameraOptions, run
    from streamer.look import parse_tone
    from streamer.ring.setup import check_device

    check_device(device or "auto")
    width, height_px = parse_size(size)
    check_style(style, pull)
    check_installed(backend)
    run(
        CameraOptions(
            source=source,
            style=style,
            strength=strength,
            tone=parse_tone(tone),
            brush=brush or "medium",
            calm=calm,
            width=width,
            height=height_px,
            fps=fps,
            height_px=parse_height(height),
            device=virtual_camera,
            token=token,
            control=control,
            backend=backend or "auto",
            workers=workers,
            threads=threads,
            compute=device or "auto",
        )
    )
