"""Fixtures of more than one module."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from streamer import ending
from streamer.cli.main import main
from tests.support.commands import Command
from tests.support.http_world import FakeRing, FakeSessions, World

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile(
    "streamer",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("STREAMER_FUZZ_EXAMPLES", "30")),  # CI runs `make fuzz`, too
)
settings.load_profile("streamer")


@pytest.fixture(scope="session", autouse=True)
def _empty_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No fixture of a module sees the styles or settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMER_DATA_DIR", str(tmp_path_factory.mktemp("session") / "data"))
        patch.setenv("STREAMER_CONFIG", str(tmp_path_factory.mktemp("config") / "config.toml"))
        # One for all: engines are measured once.
        patch.setenv("STREAMER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data directory of this test; it does not exist yet."""
    monkeypatch.setenv("STREAMER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _pytest_keeps_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that listened in this process would end it, with all tests that are to come."""
    monkeypatch.setattr(ending, "listen", lambda: None)


@pytest.fixture
def streamer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `streamer WORDS...` in this process; returns exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["streamer", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return run


@pytest.fixture
async def world() -> World:
    world = World(FakeRing(), FakeSessions())
    world.ring.gate.set()
    return world


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.http() as http:
        yield http


@pytest.fixture(autouse=True)
def _no_task_dies_in_silence() -> Iterator[None]:
    """Fails the test in which asyncio finds an exception that nobody retrieved."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    listener, log = Listener(logging.ERROR), logging.getLogger("asyncio")
    log.addHandler(listener)
    yield
    log.removeHandler(listener)
    assert not found
