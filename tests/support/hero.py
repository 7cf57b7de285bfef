"""Makes what the page shows before it is live: python -m tests.support.hero FACE

FACE is a square picture with a face in its upper middle. What is in web/public was made of
NASA's portrait of Eileen Collins (public domain; `skimage.data.astronaut`) and of the sample's
landscape, by the built-in network: hero.webm, its first picture hero.webp, and face.webp, of
which the shelf shows every style.
"""

import base64
import io
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import numpy as np
from PIL import Image as Picture
from playwright.sync_api import sync_playwright

from tests.support.browser import Server, launch, server_with

WEB = Path(__file__).parents[2] / "web"
PUBLIC = WEB / "public"
WIDTH, HEIGHT, FPS = 854, 480, 15
CRF = 54
SHOWN, WIPE, SAILING = 34, 18, 58  # frames
FACES = ("autumn", "starry", "crimson-and-gold")
LANDSCAPE = "sand-and-sky"
DRAW = """
    async ([module, width, height, t]) => {
      const {drawScene} = await import('data:text/javascript;base64,' + module);
      const canvas = Object.assign(document.createElement('canvas'), {width, height});
      drawScene(canvas.getContext('2d'), t);
      return canvas.toDataURL('image/png').split(',')[1];
    }
"""


def main(face: Path) -> None:
    """Paint, cross-wipe, and write."""
    with Picture.open(face) as picture:
        square = picture.convert("RGB")
    side = square.width
    top = int(0.02 * side)
    wide = square.crop((0, top, side, top + side * HEIGHT // WIDTH))
    photo = wide.transpose(Picture.Transpose.FLIP_LEFT_RIGHT).resize(
        (WIDTH, HEIGHT), Picture.Resampling.LANCZOS
    )
    small = square.crop((int(0.16 * side), 0, int(0.72 * side), int(0.35 * side)))
    small.resize((320, 200), Picture.Resampling.LANCZOS).save(PUBLIC / "face.webp", quality=80)
    with (
        tempfile.TemporaryDirectory() as folder,
        server_with(Path(folder), "--workers", "2") as server,
    ):
        faces = [painted(server, photo, style) for style in FACES]
        sea = [painted(server, frame, LANDSCAPE) for frame in landscape(SAILING + 2 * WIPE)]
    frames = list(film(photo, faces, sea))
    faces[0].save(PUBLIC / "hero.webp", quality=62, method=6)
    write(frames, PUBLIC / "hero.webm")


def film(
    photo: Picture.Image, faces: list[Picture.Image], sea: list[Picture.Image]
) -> Iterator[Picture.Image]:
    """The face in one style after the other, then the landscape, and the photo that is painted."""
    yield from [faces[0]] * SHOWN
    for before, after in itertools.pairwise(faces):
        yield from wipe([before] * WIPE, [after] * WIPE)
        yield from [after] * SHOWN
    yield from wipe([faces[-1]] * WIPE, sea[:WIPE])
    yield from sea[WIPE:-WIPE]
    yield from wipe(sea[-WIPE:], [photo] * WIPE)
    yield from [photo] * (SHOWN // 3)
    yield from wipe([photo] * WIPE, [faces[0]] * WIPE)


def wipe(before: list[Picture.Image], after: list[Picture.Image]) -> Iterator[Picture.Image]:
    """From left to right, slow at both ends."""
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        share = 0.5 - 0.5 * np.cos(np.pi * (i + 1) / (len(before) + 1))
        at = round(share * WIDTH)
        frame = old.copy()
        frame.paste(new.crop((0, 0, at, HEIGHT)), (0, 0))
        frame.paste((255, 255, 255), (max(at - 1, 0), 0, at + 1, HEIGHT))
        yield frame


def landscape(count: int) -> Iterator[Picture.Image]:
    """The sample's balloons, as the page draws them."""
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    scene = WEB / "src" / "live" / "scene.ts"
    script = subprocess.run([esbuild, scene, "--format=esm"], capture_output=True, check=True)
    module = base64.b64encode(script.stdout).decode()
    with sync_playwright() as playwright, launch(playwright) as browser:
        page = browser.new_page()
        for i in range(count):
            data = page.evaluate(DRAW, [module, WIDTH, HEIGHT, 13 + i / FPS])
            yield Picture.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def painted(server: Server, picture: Picture.Image, style: str) -> Picture.Image:
    """By the server's network, as a photo."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    answer = httpx.post(
        f"{server.url}/stylize/{style}?brush=medium", files={"image": file.getvalue()}, timeout=60
    )
    answer.raise_for_status()
    return Picture.open(io.BytesIO(answer.content)).convert("RGB")


def write(frames: list[Picture.Image], path: Path) -> None:
    """As VP9, which every browser of today plays."""
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(CRF), "b": "0", "cpu-used": "2", "row-mt": "1", "g": "300"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
