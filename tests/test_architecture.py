"""One library, one home: which module may import what, read from the sources."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

import streamer

PACKAGE = Path(streamer.__file__).parent

# A library is imported by the modules that match its patterns and by no others.
HOMES = {
    "ray": ("ring/cluster", "ring/own_ray"),
    "aiortc": ("webrtc/*",),
    "aioice": ("webrtc/*",),
    "OpenSSL": ("webrtc/peer_connection",),
    "av": ("avframe", "webrtc/*", "camera/*", "files/*", "diagnostics/measure"),
    "platformdirs": ("paths",),
    "openvino": ("engine/*",),
    "onnxruntime": ("engine/*", "library/from_picture", "training/*"),
    "torch": ("engine/*", "library/from_pytorch", "training/*"),
    "onnx": ("engine/*", "library/*", "training/*"),
    "PIL": (
        "photo",
        "metadata",
        "api/*",
        "library/*",
        "server/*",
        "cli/*",
        "training/*",
        "files/*",
    ),
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


# What runs on its own, by module and the function that starts it, and who notices its end. Task
# groups need no line here: they raise what their tasks raise.
OWNED = {
    ("api/event_loop", "event_loop"): "joined; what runs on it raises to who asked",
    ("api/ring", "stylize_frames"): "the ring ends them; what they raise goes to who iterates",
    ("camera/run", "_controlled"): "a thread that catches what lines do, and ends with its input",
    ("camera/run", "_read_lines"): "says itself what is wrong with a line",
    ("camera/source", "__init__"): "a thread that catches everything, tells it and tries again",
    ("camera/source", "_on_loop"): "puts a frame, or prints",
    ("camera/source", "ahead"): "a thread that catches everything; who takes its packets raises it",
    ("camera/virtual", "__init__"): "a thread whose failure `send` raises",
    ("diagnostics/measure", "speed"): "gathered before it returns",
    ("ending", "_attend"): "sets an event",
    ("ending", "cancellable"): "a daemon thread that only watches",
    ("ending", "listen"): "a daemon thread that only ends the process",
    ("files/apart", "_receive"): "reports progress, or puts a frame",
    ("files/apart", "run"): "waited for; raises what the first that ends fails of",
    ("files/apart", "transcode_apart"): "waited for",
    ("files/source_sink", "__init__"): "a thread whose failure `ready` and `send` raise",
    ("files/source_sink", "_on"): "puts a frame or the end, or sets an event",
    ("files/transcode", "_in_thread"): "waited for; its result is returned",
    ("files/uploads", "upload"): "the job: its failure becomes its state",
    ("live/pictures", "of"): "awaited by all who want the picture",
    ("live/placement", "_held"): "forgets what asyncio's server owns",
    ("live/sessions", "answer"): "`_keep` catches and logs everything",
    ("live/viewers", "_fan_out"): "`_ended` logs it, and its viewers are disconnected",
    ("live/viewers", "_keep"): "gathered, and logged",
    ("live/viewers", "answer"): "`_keep` catches and logs everything",
    ("ring/cluster", "call"): "awaited by every call; one that failed is made again",
    ("ring/supervisor", "_start_workers"): "stops workers that nobody waits for",
    ("ring/supervisor", "own"): "fails the ring",
    ("ring/switchboard", "__init__"): "threads that end the process when they break",
    ("ring/worker", "__init__"): "a thread that catches and logs what a size does",
    ("ring/worker_handle", "_wait"): "`_owned` fails the ring",
    ("ring/worker_handle", "plug_in"): "`_owned` fails the ring",
    ("server/http_server", "_run"): "waited for; its failure ends the server",
    ("server/http_server", "accept"): "`_connect` catches everything",
    ("server/http_server", "serving"): "awaited; `serve` waits for its end",
    ("server/http_server", "start"): "aborts a connection",
    ("server/revoking", "running"): "`_run` catches and logs everything",
    ("server/serve", "_camera"): "`show` catches and logs everything",
    ("server/serve", "_serve"): "waits for an event",
    ("webrtc/endpoint", "__init__"): "gives a connection up",
    ("webrtc/endpoint", "_check"): "comes again first, and only looks",
    ("webrtc/endpoint", "_start_closing"): "`_shut` catches and logs everything",
    ("webrtc/ice", "add_remote_candidate"): "`_look_up` catches everything",
    ("webrtc/rtp_receiver", "_own"): "fails the connection",
    ("webrtc/rtp_sender", "_own"): "fails the connection",
}
STARTS = {
    "create_task", "ensure_future", "Thread", "Timer", "call_soon", "call_later", "call_at",
    "call_soon_threadsafe", "add_reader", "add_done_callback", "start_new_thread",
}  # fmt: skip


class Starts(ast.NodeVisitor):
    """Where a module starts something that runs on its own; and where it forgets it at once."""

    def __init__(self) -> None:
        self.found: set[str] = set()  # functions
        self.forgotten: list[int] = []  # lines
        self._functions = [""]
        self._groups: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        for item in node.items:
            if "TaskGroup" in ast.unparse(item.context_expr) and item.optional_vars is not None:
                self._groups.add(ast.unparse(item.optional_vars))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if self._starts(node.value) in ("create_task", "ensure_future"):
            self.forgotten.append(node.lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self._starts(node):
            self.found.add(self._functions[-1])
        self.generic_visit(node)

    def _starts(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Call):
            return ""
        of, _, name = ast.unparse(node.func).rpartition(".")
        return name if name in STARTS and of not in self._groups else ""


def test_everything_that_runs_on_its_own_has_an_owner() -> None:
    found = set()
    for module in modules():
        starts = Starts()
        starts.visit(ast.parse((PACKAGE / f"{module}.py").read_text()))
        assert not starts.forgotten, f"{module}: nobody keeps this task"
        found |= {(module, function) for function in starts.found}
    assert found - OWNED.keys() == set(), "who notices their end?"
    assert OWNED.keys() - found == set(), "gone"
