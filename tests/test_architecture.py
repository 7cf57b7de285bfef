"""One library, one home: which module may import what, read from the sources."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

import streamer

PACKAGE = Path(streamer.__file__).parent

# A library is imported by the modules that match its patterns and by no others.
HOMES = {
    "ray": ("ring/cluster",),
    "aiortc": ("webrtc/*",),
    "aioice": ("webrtc/*",),
    "OpenSSL": ("webrtc/peer_connection",),
    "av": ("avframe", "webrtc/*", "camera/*", "files/*", "diagnostics/measure"),
    "platformdirs": ("paths",),
    "openvino": ("engine/*",),
    "onnxruntime": ("engine/*", "library/from_picture", "training/*"),
    "torch": ("engine/*", "library/from_pytorch", "training/*"),
    "onnx": ("engine/*", "library/*", "training/*"),
    "PIL": ("photo", "api/*", "library/*", "server/*", "cli/*", "training/*", "files/*"),
    "pyvirtualcam": ("camera/virtual",),
    "pi_heif": ("photo",),
    "fastapi": ("server/*",),
    "starlette": ("server/*",),
    "uvicorn": ("server/http_server",),
    "h11": ("server/http_server",),
    "prometheus_client": ("server/metrics",),
    "cryptography": ("server/certificate", "diagnostics/*"),
    "segno": ("server/qr",),
    "typer": ("cli/*",),
}

# These decide; others wait, read and write. `now` comes in as an argument.
PURE = tuple(
    f"pipeline/{name}" for name in ("intake", "reorder", "pacer", "governor", "fade", "stats")
)
PURE_MAY_IMPORT = {"collections", "dataclasses", "typing", "math", "fractions", "streamer"}
WAKES = {"pipeline/intake": {"asyncio"}}  # its event tells that a frame is there


def modules() -> list[str]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in paths]


def imported_by(module: str) -> set[str]:
    """Top-level names of everything a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("library", HOMES)
def test_library_is_imported_at_home_only(library: str) -> None:
    users = {module for module in modules() if library in imported_by(module)}
    assert not {user for user in users if not any(fnmatch(user, home) for home in HOMES[library])}


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_nothing_that_waits_reads_or_writes(module: str) -> None:
    assert imported_by(module) <= PURE_MAY_IMPORT | WAKES.get(module, set())
