"""Settings from a file and the environment: what counts, what is said of mistakes."""

import json
from pathlib import Path

import pytest

from streamer.cli import config
from streamer.cli.main import every_command
from tests.support.commands import Command


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("STREAMER_CONFIG", str(path))
    return path


def found(streamer: Command) -> dict[str, str]:
    code, out, _ = streamer("config", "--json")
    assert code == 0
    rows = json.loads(out)["settings"]
    return {f"{row['command']} {row['option']}": f"{row['value']} {row['source']}" for row in rows}


def test_nothing_is_set_where_there_is_no_file(streamer: Command, settings: Path) -> None:
    code, out, _ = streamer("config")
    assert code == 0 and str(settings) in out and "nothing is set" in out


def test_variables_count_more_than_the_file(
    streamer: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text('[file]\ncodec = "hevc"\ncrf = 30\n')
    monkeypatch.setenv("STREAMER_FILE_CRF", "20")
    assert found(streamer) == {"file codec": "hevc file", "file crf": "20 $STREAMER_FILE_CRF"}


def test_settings_reach_the_command_and_its_own_options_count_most(
    streamer: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told apart by what each is refused for."""
    settings.write_text('[file]\nstyle = "from-the-file"\n')
    assert "'from-the-file'" in streamer("file", "in.mp4")[2]
    monkeypatch.setenv("STREAMER_FILE_STYLE", "from-the-variable")
    assert "'from-the-variable'" in streamer("file", "in.mp4")[2]
    assert "'from-the-line'" in streamer("file", "in.mp4", "-s", "from-the-line")[2]


def test_dashes_and_underscores_are_the_same(streamer: Command, settings: Path) -> None:
    settings.write_text("[file]\nkeep-location = true\n")
    assert found(streamer) == {"file keep-location": "True file"}


def test_secrets_are_not_shown(
    streamer: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_TOKEN", "a-secret-of-some-length")
    settings.write_text('[serve]\ntoken = "another-secret"\n')
    for words in ("config",), ("config", "--json"):
        _, out, _ = streamer(*words)
        assert "a-secret" not in out and "another-secret" not in out and "(set)" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[file]\ncodek = 'h264'\n", "[file] has no codek; did you mean codec?"),
        ("[fil]\n", "there is no command fil; did you mean file?"),
        ("crf = 3\n", "crf must stand in the table of a command, as [serve]"),
        ("[file\n", "Expected ']'"),
    ],
)
def test_mistakes_in_the_file_are_named(
    streamer: Command, settings: Path, text: str, said: str
) -> None:
    settings.write_text(text)
    for words in ("config",), ("file", "in.mp4"):
        code, _, err = streamer(*words)
        assert code == 2 and str(settings) in err and said in err


def test_help_shows_only_variables_that_have_a_name_of_their_own(streamer: Command) -> None:
    _, out, _ = streamer("serve", "--help")
    assert "STREAMER_TOKEN" in out and "STREAMER_SERVE_" not in out


def test_an_error_says_where_its_value_was_set(
    streamer: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text('[file]\ncodec = "divx"\n\n[serve]\nheight = "tall"\n')
    assert f"(set by {settings})" in "".join(streamer("file", "in.mp4")[2].split("\n"))
    assert f"(--height is set by {settings})" in streamer("serve")[2]
    assert "set by" not in streamer("serve", "--height", "small")[2]
    monkeypatch.setenv("STREAMER_FILE_CODEC", "theora")
    assert "(set by $STREAMER_FILE_CODEC)" in streamer("file", "in.mp4")[2]
    assert "set by" not in streamer("file", "--codec", "mjpeg", "in.mp4")[2]
    monkeypatch.setenv("STREAMER_FILE_STYLE", "qqqq")
    error = streamer("file", "--codec", "h264", "in.mp4")[2]
    assert error.endswith("(--style is set by $STREAMER_FILE_STYLE)\n")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_a_mistake_in_the_file_does_not_keep_help_from_helping(
    streamer: Command, settings: Path, word: str
) -> None:
    settings.write_text("[file\n")
    code, out, err = streamer("file", word)
    assert code == 0 and "--codec" in out and f"{settings}: Expected" in err


def test_variables_that_nothing_reads_are_named(
    streamer: Command, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STREAMER_STYLE", "STREAMER_FILE_CODEK", "STREAMER_SERVE_TOKN", "STREAMER_FOO"):
        monkeypatch.setenv(name, "1")
    for name in ("STREAMER_SERVICE_HOST", "STREAMER_NODE_HEAD_PORT", "STREAMER_TURN_SECRET"):
        monkeypatch.setenv(name, "1")
    said = {
        "streamer: nothing reads $STREAMER_FILE_CODEK; did you mean STREAMER_FILE_CODEC?",
        "streamer: nothing reads $STREAMER_STYLE; did you mean STREAMER_FILE_STYLE?",
        "streamer: nothing reads $STREAMER_FOO",
    }
    assert said <= set(streamer("file", "in.mp4")[2].splitlines())
    _, _, err = streamer("config")
    for name in ("STREAMER_STYLE", "STREAMER_FILE_CODEK", "STREAMER_SERVE_TOKN"):
        assert f"nothing reads ${name}" in err
    assert err.count("\n") == 4


def test_every_variable_with_a_name_of_its_own_is_known() -> None:
    of_options = {
        option.envvar
        for command in every_command().values()
        for option in command.params
        if isinstance(option.envvar, str)
    }
    assert of_options <= config.NAMED
