"""The port, and the addresses that are printed."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.errors import StreamerError, UsageError
from streamer.server import listen
from streamer.server.config import Config

TOKEN = "0123456789abcdef"


def test_url_of_a_server_for_this_machine() -> None:
    assert listen.urls(Config(), 8000) == ["http://127.0.0.1:8000/"]
    assert listen.urls(Config(host="::1"), 8000) == ["http://[::1]:8000/"]


def test_urls_of_an_open_server_carry_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "network_addresses", lambda: ["192.0.2.7"])
    any_file = Path(__file__)
    config = Config(host="0.0.0.0", token=TOKEN, tls_cert=any_file, tls_key=any_file)
    assert listen.urls(config, 8000) == [
        f"https://127.0.0.1:8000/?token={TOKEN}",
        f"https://192.0.2.7:8000/?token={TOKEN}",
    ]


def test_taken_port_is_a_failure_and_a_wrong_host_bad_usage() -> None:
    with listen.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StreamerError, match=f"port {port} is taken") as refusal:
            listen.bind("127.0.0.1", port)
        assert not isinstance(refusal.value, UsageError)
    with pytest.raises(UsageError, match="not an address of this machine"):
        listen.bind("192.0.2.1", 0)


def test_port_is_free_again_at_once() -> None:
    first = listen.bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        first.accept()[0].close()
        client.recv(1)
    first.close()
    listen.bind("127.0.0.1", port).close()


def test_what_is_no_certificate_is_bad_usage() -> None:
    any_file = Path(__file__)
    with pytest.raises(UsageError, match="cannot use --tls-cert"):
        listen.check_tls(Config(tls_cert=any_file, tls_key=any_file))


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], socket.socket]]:
    """Listens on an address as systemd does, and says so."""
    opened = []

    def listen_on(host: str) -> socket.socket:
        opened.append(socket.create_server((host, 0)))
        number = opened[-1].fileno()
        monkeypatch.setattr(listen, "FIRST_DESCRIPTOR", number)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        return opened[-1]

    yield listen_on
    for one in opened:
        with contextlib.suppress(OSError):
            one.close()


def test_a_socket_of_systemd_is_taken(inherited: Callable[[str], socket.socket]) -> None:
    """And not by a child process as well: the variables are gone."""
    theirs = inherited("127.0.0.1")
    ours = listen.bind("127.0.0.1", 1)
    assert ours.getsockname() == theirs.getsockname()
    assert "LISTEN_FDS" not in os.environ
    theirs.detach()
    ours.close()


def test_a_socket_that_others_reach_needs_a_host_that_says_so(
    inherited: Callable[[str], socket.socket],
) -> None:
    """Else there would be no token."""
    theirs = inherited("0.0.0.0")
    with pytest.raises(UsageError, match="so start with --host"):
        listen.bind("127.0.0.1", 8000)
    theirs.detach()


def test_variables_for_another_process_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    with listen.bind("127.0.0.1", 0) as ours:
        assert ours.getsockname()[1] > 0


def test_systemd_is_told_when_the_server_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen.notify_ready()  # without systemd: nothing
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        listen.notify_ready()
        assert manager.recv(64) == b"READY=1"
