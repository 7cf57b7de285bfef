"""doctor_cli → **doctor** → checks: what works on this machine, and what to do where it does not.

Each check looks at the real thing: it binds, sends, encodes, loads and stylizes.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from streamer.diagnostics import measure
from streamer.diagnostics.checks import camera, certificate, memory, port, udp, virtual_camera
from streamer.diagnostics.doctor_software import (
    codecs,
    gpu,
    models,
    onnx,
    page,
    python,
    ray_version,
)
from streamer.diagnostics.finding import Finding, fail, ok
from streamer.errors import StreamerError
from streamer.frame import Style
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup, cores, setup
from streamer.ring.start import ring_of
from streamer.server.config import Config
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import ModelFile

HOPELESS_FPS = 1.0  # greater heights of a model are not tried below this


@dataclass(frozen=True, slots=True)
class Fps:
    """Frames a live stream of one model's styles may expect, by height."""

    model: str
    by_height_px: dict[int, float]  # a height that was not tried is not in it


def findings(config: Config) -> Iterator[Finding]:
    """Everything that needs no workers, one after the other."""
    checks: tuple[Callable[[], Finding], ...] = (
        python,
        ray_version,
        onnx,
        partial(gpu, config.backend),
        memory,
        codecs,
        models,
        page,
        partial(port, config),
        partial(udp, config),
        partial(certificate, config),
        camera,
        virtual_camera,
    )
    for check in checks:
        yield check()


def speeds(
    config: Config, catalogue: Catalogue, told: Callable[[str], None]
) -> tuple[Finding, list[Fps]]:
    """Start the workers that `serve` would, and have them stylize; `told` hears of progress."""
    size = setup(config.backend, config.workers, config.threads, config.gpus)
    try:
        return asyncio.run(_speeds(size, config.ray_address, catalogue, told))
    except StreamerError as failure:
        return fail("workers", str(failure), "the lines above may say why"), []


async def _speeds(
    size: Setup, address: str | None, catalogue: Catalogue, told: Callable[[str], None]
) -> tuple[Finding, list[Fps]]:
    told(f"starting {size.workers} workers")
    began_at = time.monotonic()
    warm = Style(catalogue.parse(catalogue.default))
    async with ring_of(size, catalogue, warm, address=address) as ring:
        up = ok("workers", f"{len(ring)} {size.backend}, up in {time.monotonic() - began_at:.1f} s")
        coding_s = measure.coding_s("VP8", *measure.SIZE)
        rows = []
        for model in catalogue.models if size.backend != "none" else ():
            told(f"stylizing with {model.name}")
            rows.append(await _row(ring, model, size, coding_s))
    return up, rows


async def _row(ring: Ring, model: ModelFile, size: Setup, coding_s: float) -> Fps:
    style = Style(((f"{model.styles[0].name}@{model.name}", 1.0),))
    found: dict[int, float] = {}
    for height_px in measure.HEIGHTS_PX:
        stylize = await measure.speed(ring, style, height_px)
        found[height_px] = measure.live_fps(stylize.fps, coding_s, cores(), bool(size.gpus))
        if found[height_px] < HOPELESS_FPS:
            break
    return Fps(model.name, found)
