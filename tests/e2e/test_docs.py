"""Documents tell the truth: their commands run, their options exist, their links lead somewhere."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import typer
from PIL import Image

import streamer
from streamer.cli.main import _commands
from tests.support.certificates import certificate
from tests.support.clips import number_frame
from tests.support.documents import ROOT, Command, commands, documents, help_examples
from tests.support.pictures import smooth_rgb

pytestmark = pytest.mark.e2e

# Documents whose every command runs, unless they say why not.
RUN = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/cluster.md",
    "docs/obs.md",
    "docs/operations.md",
    "docs/styles.md",
    "docs/turn.md",
)
STREAMER = (sys.executable, "-m", "streamer")
PATIENCE_S = 240.0
SHORTER = {  # what is added so that a command ends soon, or needs no display and no free port
    "serve": ("--no-browser", "--port", "0"),
    "bench": ("--backend", "onnx", "--threads", "1", "--height", "90", "--seconds", "0.1"),
    "doctor": ("--port", "0", "--quick"),
}

EVERY = [command for document in documents() for command in commands(document)]
EVERY += help_examples()


def names(found: list[Command]) -> list[str]:
    return [f"{command.document}: {command.text}"[:90] for command in found]


def words_of(command: Command, program: str) -> list[str]:
    """The arguments of a command of ours, without the variables before it and pipes after it."""
    words = shlex.split(re.split(r" [|<>] ", command.text)[0])
    return words[1:] if words[0].endswith(program) else []


OURS = [command for command in EVERY if words_of(command, "streamer")]


@pytest.mark.parametrize("command", OURS, ids=names(OURS))
def test_options_exist(command: Command) -> None:
    """Read by the command line itself, of blocks that are not run as well; nothing is started."""
    words = words_of(command, "streamer")
    group = typer.main.get_command(_commands(words))
    context = group.make_context("streamer", list(words), resilient_parsing=False)
    while hasattr(group, "resolve_command"):
        name, group, words = group.resolve_command(context, words)
        assert group is not None
        try:
            context = group.make_context(name, list(words), parent=context)
        except typer.Exit:  # of --help
            return


MAKES = [command for command in EVERY if words_of(command, "make")]


@pytest.mark.parametrize("command", MAKES, ids=names(MAKES))
def test_make_targets_exist(command: Command) -> None:
    done = subprocess.run(
        ["make", "-n", *words_of(command, "make")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text)
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert not [link for link in inside if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"])
def test_modules_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8").replace("**", "")
    named = set(re.findall(r"[\w/*]+\.py\b", text))
    assert named
    folders = [ROOT / "streamer", ROOT]
    assert not [name for name in named if not any(list(f.glob(name)) for f in folders)]


PICTURES = ("photo.jpg", "painting.jpg", "anna.jpg", "ben.jpg", "sea.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents take for granted: a film, a photo, a painting, a certificate."""
    folder = tmp_path_factory.mktemp("docs")
    certificate(folder)
    for seed, name in enumerate(PICTURES):
        Image.fromarray(smooth_rgb(160, 96, seed)).save(folder / name)
    (folder / "album").mkdir()
    for name in ("in.mp4", "holiday.mp4", "album/clip.mp4"):
        video(folder / name, frames=5, rate=25)
    video(folder / "long.mp4", frames=125, rate=1)
    return folder


def video(path: Path, frames: int, rate: int) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(frames):
            planes = number_frame(number, 160, 96).data.reshape(-1, 160)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        film.mux(stream.encode(None))


def test_pages_and_reference_are_built_without_a_warning(tmp_path: Path) -> None:
    """And load nothing from other servers."""
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reference = (site / "reference.html").read_text(encoding="utf-8")
    named = set(streamer.__all__) - {"__version__"}
    assert not [name for name in named if f'id="streamer.{name}"' not in reference]
    assert "Raises StreamerError" in reference
    for page in site.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|link)[^>]* (?:src|href)="https?:', html)


def start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    own = {**os.environ, "STREAMER_DATA_DIR": str(folder / "data"), "STREAMER_TOKEN": ""}
    return subprocess.Popen(
        [*STREAMER, *words],
        cwd=folder,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_ready(process: subprocess.Popen[str]) -> str:
    """What the server has printed when it is ready."""
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith("ready"):
            break
    watchdog.cancel()
    assert "\nready" in said, said
    return said


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """Where a server of the usual settings is, for those who speak to one."""
    process = start(folder, ["serve", *SHORTER["serve"]])
    found = re.search(r"127\.0\.0\.1:\d+", until_ready(process))
    assert found is not None
    yield found[0]
    stop(process)


TOLD = (*RUN, *{command.document for command in help_examples()})
MARKED = [c for c in EVERY if c.document in TOLD and not c.why_not and not words_of(c, "make")]
TO_RUN = list({c.text.removeprefix(".venv/bin/"): c for c in MARKED}.values())  # each once


@pytest.mark.parametrize("command", TO_RUN, ids=names(TO_RUN))
def test_commands_run(command: Command, folder: Path, request: pytest.FixtureRequest) -> None:
    words = words_of(command, "streamer")
    if words:
        process = start(folder, [*words, *SHORTER.get(words[0], ())])
        if words[0] == "serve":
            until_ready(process)
            stop(process)
            return
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        return
    if command.text.startswith("cat "):
        ours = shlex.join(STREAMER)
        subprocess.run(
            command.text.replace("streamer", ours, 1),
            shell=True,
            cwd=folder,
            check=True,
            timeout=PATIENCE_S,
        )
        return
    assert words_of(command, "curl"), f"mark this block <!-- not run here: ... -->: {command}"
    line = command.text.replace("127.0.0.1:8000", request.getfixturevalue("server"))
    done = subprocess.run(
        [*shlex.split(line), "--fail", "--silent", "--show-error"],
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
