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
    note,
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
from streamer.engine.probe import remembered
from streamer.errors import StreamerError
from streamer.frame import Style
from streamer.paths import cache_dir
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup
from streamer.ring.start import ring_of
from streamer.server.config import Config
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import ModelFile
from streamer.webrtc.jitter_buffer import EncodedFrame

BUSY = 0.1  # of the processor, by other programs
HOPELESS_FPS = 1.0  # below this, a model is not tried at greater heights
_SECONDS = 2.5  # of a stream at each height


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
        partial(gpu, config.setup.backend, config.setup.place),
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
        camera_video = await asyncio.to_thread(measure.encoded)
        rows = []
        for model in catalogue.models if setup.backend != "none" else ():
            report(f"stylizing with {model.name}")
            rows.append(await _row(ring, model, camera_video))
    return [up, open_ports], rows


def engine(setup: Setup) -> Finding:
    """What each engine takes on this machine, as workers measured it, and which one is used."""
    found = remembered(cache_dir(), setup.threads)
    if setup.backend not in ("auto", "openvino") or found is None:
        return ok("engine", f"{setup.backend}, as asked for")
    times = sorted(found.milliseconds.items(), key=lambda one: one[1])
    each = ", ".join(f"{name} {ms:.0f} ms" for name, ms in times)
    threads = f"{setup.threads} thread{'s' * (setup.threads > 1)}"
    return ok("engine", f"{found.best}; a picture of 640x360 by {threads}: {each}")


def load() -> Finding:
    """Whether other programs make this machine slower than it is."""
    share = measure.others_load()
    said = f"other programs take {share:.0%} of the processor"
    if share > BUSY:
        return note("load", said, "close them: the frame rates below are too low")
    return ok("load", said)


async def _row(ring: Ring, model: ModelFile, camera_video: list[EncodedFrame]) -> Fps:
    style = Style(((f"{model.styles[0].name}@{model.name}", 1.0),))
    found: dict[int, float] = {}
    for height_px in measure.HEIGHTS_PX:
        found[height_px] = await measure.live_fps(
            ring, style, height_px, seconds=_SECONDS, coded=camera_video
        )
        if found[height_px] < HOPELESS_FPS:
            break
    return Fps(model.name, found)
