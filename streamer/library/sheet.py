"""cli → **sheet**: a contact sheet, some pictures in every style with its name."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from streamer.engine.stylizer import Stylizer, Task
from streamer.frame import Image, Style
from streamer.i420 import Pixels, from_rgb, to_rgb
from streamer.statistics import Orders

GAP_PX = 8
CAPTION_PX = 26
PAINTED_PX = 360  # high
_PAPER, _INK = "#faf8f4", "#222222"


def scaled(image: Image, width_px: int, height_px: int) -> Image:
    """The image in another size; its shape is kept if that of the size is the same."""
    size = (width_px, height_px)
    resized = Pillow.fromarray(to_rgb(image)).resize(size, Pillow.Resampling.LANCZOS)
    return from_rgb(np.asarray(resized))


def stylized(
    stylizer: Stylizer, images: Sequence[Image], styles: Sequence[str], width_px: int
) -> Iterator[Pixels]:
    """A tile of that width for each style: the images side by side, as live streams show them.

    The networks see them at 360 lines whatever the tile has, because strokes have a size in pixels.
    """
    shapes = [image.width / image.height for image in images]
    height_px = max(16, round(width_px / sum(shapes)))
    edges_px = np.rint(np.cumsum([0, *shapes]) * width_px / sum(shapes)).astype(int)
    widths_px = [max(16, int(width)) for width in np.diff(edges_px)]
    large = [
        scaled(image, max(16, round(PAINTED_PX * shape)), PAINTED_PX)
        for image, shape in zip(images, shapes, strict=True)
    ]
    for style in styles:
        parts = []
        for image, width in zip(large, widths_px, strict=True):
            live = Orders(0, {}, frozenset())  # of a stream of its own
            (made,) = stylizer.stylize_all([Task(image, Style(((style, 1.0),)), live)])
            parts.append(to_rgb(scaled(made.image, width, height_px)))
        yield np.concatenate(parts, axis=1)


def sheet(tiles: Sequence[Pixels], captions: Sequence[str], columns: int) -> Pillow.Image:
    """Lay out RGB tiles of one size in rows, each above its caption."""
    height, width = tiles[0].shape[:2]
    step_x, step_y = width + GAP_PX, height + CAPTION_PX + GAP_PX
    rows = -(-len(tiles) // columns)
    canvas = Pillow.new("RGB", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(CAPTION_PX * 0.62)
    for i, (pixels, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = GAP_PX + i % columns * step_x, GAP_PX + i // columns * step_y
        canvas.paste(Pillow.fromarray(pixels), (x, y))
        middle = (x + width / 2, y + height + CAPTION_PX / 2)
        draw.text(middle, caption, _INK, font, anchor="mm")
    return canvas
