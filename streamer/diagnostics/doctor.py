"""cli/doctor → **doctor** → checks, measure: all checks, and the frame rates to expect."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from streamer import ending
from streamer.diagnostics import measure
from streamer.diagnostics.checks import (
    Finding,
    camera,
    certificate,
    codecs,
    fail,
    gpu,
    memory,
    models,
    ok,
    onnx,
    package,
    page,
    port,
    python,
    ray_version,
    udp,
    virtual_camera,
)
from streamer.diagnostics.ports import ray_ports
from streamer.errors import StreamerError
from streamer.frame import Style
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup, cores
from streamer.ring.start import ring_of
from streamer.server.config import Config
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import ModelFile

HOPELESS_FPS = 1.0  # below this, a model is not tried at greater heights


@dataclass(frozen=True, slots=True)
class Fps:
    """Frames per second of one live stream, by height; untried heights are missing."""

    model: str
    by_height_px: dict[int, float]


def findings(config: Config) -> Iterator[Finding]:
    """All checks that need no workers, one after the other."""
    checks: tuple[Callable[[], Finding], ...] = (
        python,
        package,
        ray_version,
        onnx,
        partial(gpu, config.setup.backend),
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
    config: Config, catalogue: Catalogue, report: Callable[[str], None]
) -> tuple[list[Finding], list[Fps]]:
    """Start the workers of `serve` and measure each model; `report` gets what is being done."""
    try:
        return ending.run(_speeds(config.setup, config.ray_address, catalogue, report))
    except StreamerError as failure:
        return [fail("workers", str(failure), "see the lines above")], []


async def _speeds(
    setup: Setup, address: str | None, catalogue: Catalogue, report: Callable[[str], None]
) -> tuple[list[Finding], list[Fps]]:
    report(f"starting {setup.workers} workers")
    began_at = time.monotonic()
    warm = Style(catalogue.parse(catalogue.default))
    async with ring_of(setup, catalogue, warm, address=address) as ring:
        up = ok(
            "workers", f"{len(ring)} {setup.backend}, up in {time.monotonic() - began_at:.1f} s"
        )
        open_ports = await asyncio.to_thread(ray_ports, address is not None)
        coding_s = measure.coding_s("VP8", *measure.SIZE)
        rows = []
        for model in catalogue.models if setup.backend != "none" else ():
            report(f"stylizing with {model.name}")
            rows.append(await _row(ring, model, setup, coding_s))
    return [up, open_ports], rows


async def _row(ring: Ring, model: ModelFile, setup: Setup, coding_s: float) -> Fps:
    style = Style(((f"{model.styles[0].name}@{model.name}", 1.0),))
    found: dict[int, float] = {}
    for height_px in measure.HEIGHTS_PX:
        stylize = await measure.speed(ring, style, height_px)
        found[height_px] = measure.live_fps(stylize.fps, coding_s, cores(), bool(setup.gpus))
        if found[height_px] < HOPELESS_FPS:
            break
    return Fps(model.name, found)
