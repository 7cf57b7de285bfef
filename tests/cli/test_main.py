"""The command line, as a user runs it: in a process of its own."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command

from streamer.cli.main import _COMMANDS, _commands

HEAVY = {"aiortc", "av", "cv2", "fastapi", "numpy", "onnxruntime", "ray", "torch", "uvicorn"}


def streamer(*arguments: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "streamer", *arguments], columns)


def run(command: list[str], columns: int = 100) -> subprocess.CompletedProcess[str]:
    plain = os.environ | {"NO_COLOR": "1", "COLUMNS": str(columns), "TERM": "dumb"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env=plain, check=False
    )


def test_version() -> None:
    done = streamer("--version")
    assert done.stdout.startswith("streamer ") and done.returncode == 0


def test_help_lists_every_command() -> None:
    done = streamer("--help")
    assert done.returncode == 0
    for command in ("serve", "file", "styles", "doctor", "bench", "train"):
        assert f" {command} " in done.stdout


def test_what_a_locale_lacks_is_replaced() -> None:
    code = (
        "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'ascii')\n"
        "from streamer.cli.main import main; sys.argv[1:] = ['--version']\n"
        "try: main()\nexcept SystemExit: print('caf\\u00e9')"
    )
    done = run([sys.executable, "-c", code])
    assert done.stdout.endswith("caf?\n"), done.stderr


def test_a_name_in_a_failure_is_shown_and_not_obeyed() -> None:
    done = streamer("file", "in.mp4", "--preview", "x\x1b[2J.txt")
    assert done.returncode == 2 and done.stderr.startswith(r"streamer: x\x1b[2J.txt: photos can")


@pytest.mark.parametrize("url", ["http://example.org/in.mp4", "rtsp://camera/1"])
def test_urls_are_no_files_and_said_whole(url: str) -> None:
    done = streamer("file", url)
    assert done.returncode == 2
    assert done.stderr.startswith(f"streamer: {url}: files are read, no URLs; download it first")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("serve", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        f"import sys; from streamer.cli.main import main; sys.argv[1:] = {list(arguments)!r}\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = run([sys.executable, "-c", code])
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


def test_help_answers_at_once() -> None:
    """Half a second of work; not by the clock, as the machine may be busy. The best of five."""

    def work_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert streamer("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(work_s() for _ in range(5)) < 0.5


def test_paragraphs_of_help_are_as_wide_as_the_terminal() -> None:
    shown = streamer("train", "--help", columns=80).stdout
    lines = [line.strip() for line in shown.splitlines()]
    start = next(at for at, line in enumerate(lines) if line.startswith("In seconds"))
    paragraph = lines[start : lines.index("", start)]
    assert len(paragraph) > 2 and all(len(line) > 55 for line in paragraph[:-1])
    assert "     port = 8123" in streamer("config", "--help").stdout  # indented: as it stands


@pytest.mark.parametrize("command", ["serve", "file", "styles", "doctor", "bench", "train"])
def test_every_command_has_help_of_its_own(command: str) -> None:
    done = streamer(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"streamer {command}" in done.stdout


def test_every_option_says_what_it_is() -> None:
    """Help is read one option at a time, so "the same" helps nobody."""
    for name, *_ in _COMMANDS:
        group = get_command(_commands([name]))
        found = group.get_command(group.make_context("streamer", [name]), name)  # type: ignore[attr-defined]
        for command in [found, *getattr(found, "commands", {}).values()]:
            for option in command.params:
                if option.param_type_name == "option":
                    assert len((option.help or "").split()) > 1, f"{command.name} {option.name}"


def test_help_has_a_short_form() -> None:
    assert streamer("serve", "-h").stdout == streamer("serve", "--help").stdout


def test_help_of_serve_shows_examples_and_groups() -> None:
    text = streamer("serve", "--help").stdout
    assert "streamer serve --backend torch --gpus 2" in text
    for panel in ("Access", "Workers", "Video", "Media over the network"):
        assert panel in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("serve", "--udp-ports", "x"), "streamer: --udp-ports 'x' is not a range"),
        (("serve", "--bitrate", "fast"), "streamer: 'fast' is not a bitrate"),
        (("serve", "--token", "short"), "streamer: a --token needs at least 16 characters"),
        (("serve", "--style", "no-such", "--port", "0"), "streamer: unknown style 'no-such'"),
        (("serve", "--https", "--tls-key", "k.pem"), "streamer: --https makes a certificate"),
        (
            ("serve", "--host", "no.such.invalid"),
            "streamer: --host no.such.invalid is not an address",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], line: str) -> None:
    done = streamer(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(line)


def test_unknown_commands_options_and_values_are_exit_code_2() -> None:
    done = streamer("serve", "--backend", "x")
    assert done.returncode == 2
    assert "'x' is not one of 'auto', 'openvino'" in done.stderr
    assert streamer("no-such-command").returncode == 2
    assert streamer("serve", "--no-such-option").returncode == 2


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_taken_port_is_one_line_before_anything_starts(taken: int) -> None:
    done = streamer("serve", "--no-browser", "--port", str(taken))
    assert done.returncode == 1
    assert done.stderr == f"streamer: port {taken} is taken; choose another with --port\n"
    assert "Ray" not in done.stdout
