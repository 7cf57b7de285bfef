"""cli, training → **sheet**: a contact sheet, one image in every style with its name."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from streamer.engine.stylizer import Stylizer
from streamer.frame import Image, Style
from streamer.i420 import Pixels, from_rgb, to_rgb
from streamer.statistics import Orders

GAP_PX = 8
CAPTION_PX = 26
ENLARGED = 2
_PAPER, _INK = "#faf8f4", "#222222"


def tile(image: Image, width_px: int) -> Image:
    """The image at the width of one tile."""
    height = max(16, round(image.height * width_px / image.width))
    small = Pillow.fromarray(to_rgb(image)).resize((width_px, height), Pillow.Resampling.LANCZOS)
    return from_rgb(np.asarray(small))


def stylized(
    stylizer: Stylizer, image: Image, styles: Sequence[str], width_px: int
) -> Iterator[Pixels]:
    """The image as a live stream would show it, in tiles of that width.

    The networks see it larger than a tile, because strokes have a size in pixels.
    """
    large = tile(image, ENLARGED * width_px)
    live = Orders(0, {}, frozenset())
    for style in styles:
        (made,) = stylizer.stylize_all([large], [Style(((style, 1.0),))], [live])
        yield to_rgb(tile(made.image, width_px))


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
