"""What the shell offers after a Tab, asked as Bash asks; and styles that are named wrongly."""

import os
import subprocess
import sys

import pytest

from tests.support.commands import Command


def offered(line: str) -> list[str]:
    """For the last word, which may be empty."""
    words = line.split(" ")
    asked = {
        "_STREAMER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; sys.argv = ['streamer']; from streamer.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("streamer se", ["serve"]),
        ("streamer serve --style mo", ["mosaic"]),
        ("streamer file in.mp4 -s mosaic:0.5,emb", ["mosaic:0.5,ember", "mosaic:0.5,embroidery"]),
        ("streamer serve --backend o", ["openvino", "onnx"]),
        ("streamer file --codec ", ["h264", "hevc", "av1", "vp9"]),
        ("streamer serve --brush ", ["fine", "medium", "bold"]),
        ("streamer styles show the", ["the-scream"]),
        ("streamer styles pull ca", ["candy"]),
        ("streamer camera sc", ["screen"]),
    ],
)
def test_values_are_offered(line: str, some: list[str]) -> None:
    assert offered(line) == some


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("Mosaic", "did you mean mosaic?"),
        ("mozaic", "did you mean mosaic?"),
        ("Great Wave", "did you mean great-wave?"),
        ("cnady", "did you mean candy? `streamer styles pull candy` gets it"),
        ("candy", "--pull downloads it (6.7 MB), and so does `streamer styles pull candy`"),
        ("qqqq", "there are: none, autumn"),
    ],
)
def test_a_style_that_is_not_here_is_answered_before_anything_starts(
    streamer: Command, named: str, said: str
) -> None:
    for command in ("serve",), ("file", "in.mp4"), ("camera",):
        code, _, err = streamer(*command, "--style", named)
        assert code == 2 and said in err and err.count("\n") == 1


def test_a_missing_engine_is_said_before_anything_starts(
    streamer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.cli.options.find_spec", lambda name: None)
    for command in ("serve",), ("file", "in.mp4"), ("camera",):
        code, _, err = streamer(*command, "--backend", "torch")
        assert code == 1 and "pip install '.[torch]'" in err
