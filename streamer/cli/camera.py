"""`streamer camera`: flags to a wish. Nothing heavy is imported before the flags are read."""

from typing import Annotated, Literal

import typer

from streamer.cli.options import parse_height, parse_size


def camera(  # noqa: PLR0917 - one parameter an option is how Typer works
    source: Annotated[
        str, typer.Argument(help="Camera number or name, address, file, or screen.")
    ] = "0",
    style: Annotated[str | None, typer.Option(help="A style, or a blend: a:0.7,b:0.3.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="0 leaves it as it is.")] = 1.0,
    size: Annotated[str, typer.Option(help="Of the virtual camera, whatever comes.")] = "1280x720",
    fps: Annotated[float, typer.Option(min=1, max=120, help="The same.")] = 30.0,
    height: Annotated[str, typer.Option(help="Pixels to stylize at, or auto.")] = "auto",
    device: Annotated[
        str | None, typer.Option(help="Which virtual camera, if there are several.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="STREAMER_TOKEN", help="Of the server whose stream is the source."),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Read styles, one a line: name, number or JSON.")
    ] = False,
    backend: Annotated[
        Literal["onnx", "torch", "none"], typer.Option(help="Engine that runs the styles.")
    ] = "onnx",
    workers: Annotated[int | None, typer.Option(min=1, help="Default: one per core.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Per worker.")] = None,
) -> None:
    """Stylize a camera, and offer it to Zoom, Meet and OBS as a virtual one.

    The virtual camera keeps its size and rate; it shows a slate while the source is away, and
    the source is opened again by itself.

    [bold]Examples[/bold]

    streamer camera --style mosaic
        the first webcam

    streamer camera rtsp://192.168.1.20/stream --size 1920x1080

    streamer camera clip.mp4
        over and over

    streamer camera http://127.0.0.1:8000/streams/page.mjpeg --style none
        a live stream of a server, stylized there

    streamer camera --control
        then type a style's name, or its number, and Enter
    """
    from streamer.camera.run import Wish, run

    width, height_px = parse_size(size)
    run(
        Wish(
            source=source,
            style=style,
            strength=strength,
            width=width,
            height=height_px,
            fps=fps,
            height_px=parse_height(height),
            device=device,
            token=token,
            control=control,
            backend=backend,
            workers=workers,
            threads=threads,
        )
    )
