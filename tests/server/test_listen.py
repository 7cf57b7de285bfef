"""What is worked out from this machine before anything starts."""

import socket
from pathlib import Path

import pytest

from streamer.errors import StreamerError, UsageError
from streamer.ring import setup as ring_setup
from streamer.server import listen as machine
from streamer.server.config import Config

TOKEN = "0123456789abcdef"


def test_url_of_a_server_for_this_machine() -> None:
    assert machine.urls(Config(), 8000) == ["http://127.0.0.1:8000/"]
    assert machine.urls(Config(host="::1"), 8000) == ["http://[::1]:8000/"]


def test_urls_of_an_open_server_carry_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_own_address", lambda: ["192.0.2.7"])
    any_file = Path(__file__)
    config = Config(host="0.0.0.0", token=TOKEN, tls_cert=any_file, tls_key=any_file)
    assert machine.urls(config, 8000) == [
        f"https://127.0.0.1:8000/?token={TOKEN}",
        f"https://192.0.2.7:8000/?token={TOKEN}",
    ]


@pytest.mark.parametrize(
    ("config", "size", "depth"),
    [
        (Config(), (8, 1, 0), 1),
        (Config(threads=2), (4, 2, 0), 1),
        (Config(threads=16), (1, 16, 0), 1),
        (Config(workers=3, threads=2), (3, 2, 0), 1),
        (Config(backend="torch"), (2, 1, 2), 8),
        (Config(backend="torch", gpus=0), (8, 1, 0), 1),
        (Config(backend="torch", gpus=1), (1, 1, 1), 8),
    ],
)
def test_ring_fits_the_machine(
    config: Config, size: tuple[int, int, int], depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring_setup, "cores", lambda: 8)
    monkeypatch.setattr(ring_setup, "gpus", lambda: 2)
    made = machine.ring_size(config)
    assert (made.workers, made.threads, made.gpus) == size
    assert made.depth == depth


def test_taken_port_is_a_failure_and_a_wrong_host_bad_usage() -> None:
    with machine.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StreamerError, match=f"port {port} is taken") as refusal:
            machine.bind("127.0.0.1", port)
        assert not isinstance(refusal.value, UsageError)
    with pytest.raises(UsageError, match="no address of this machine"):
        machine.bind("192.0.2.1", 0)


def test_port_is_free_again_at_once() -> None:
    first = machine.bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        first.accept()[0].close()
        client.recv(1)
    first.close()
    machine.bind("127.0.0.1", port).close()


def test_what_is_no_certificate_is_bad_usage() -> None:
    any_file = Path(__file__)
    with pytest.raises(UsageError, match="no certificate"):
        machine.check_tls(Config(tls_cert=any_file, tls_key=any_file))


def test_browser_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not machine.has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert machine.has_display()
