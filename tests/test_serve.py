"""What `streamer serve` works out before it starts anything."""

import socket
from pathlib import Path

import pytest

from streamer import serve
from streamer.config import Config, IceServer
from streamer.errors import StreamerError, UsageError
from streamer.peer import PeerOptions

TOKEN = "0123456789abcdef"


def test_url_of_a_server_for_this_machine() -> None:
    assert serve.urls(Config(), 8000) == ["http://127.0.0.1:8000/"]
    assert serve.urls(Config(host="::1"), 8000) == ["http://[::1]:8000/"]


def test_urls_of_an_open_server_carry_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_own_address", lambda: ["192.0.2.7"])
    any_file = Path(__file__)
    config = Config(host="0.0.0.0", token=TOKEN, tls_cert=any_file, tls_key=any_file)
    assert serve.urls(config, 8000) == [
        f"https://127.0.0.1:8000/?token={TOKEN}",
        f"https://192.0.2.7:8000/?token={TOKEN}",
    ]


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (Config(), (8, 1, 0)),
        (Config(threads=2), (4, 2, 0)),
        (Config(threads=16), (1, 16, 0)),
        (Config(workers=3, threads=2), (3, 2, 0)),
        (Config(backend="torch"), (2, 1, 2)),
        (Config(backend="torch", gpus=0), (8, 1, 0)),
        (Config(backend="torch", gpus=1), (1, 1, 1)),
    ],
)
def test_ring_fits_the_machine(
    config: Config, size: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_cpus", lambda: 8)
    monkeypatch.setattr(serve, "_gpus", lambda: 2)
    assert serve.ring_size(config) == size


def test_media_stay_on_this_machine_when_http_does() -> None:
    assert serve.peer_options(Config()).loopback
    assert not serve.peer_options(Config(host="0.0.0.0", token=TOKEN)).loopback


def test_peers_get_what_was_asked_for() -> None:
    config = Config(
        start_bitrate_bps=2_000_000,
        min_bitrate_bps=1_000_000,
        max_bitrate_bps=3_000_000,
        udp_ports=(40000, 40100),
        ice_servers=(IceServer("turn:t.example", "me", "pass"),),
    )
    options = serve.peer_options(config)
    assert isinstance(options, PeerOptions)
    bitrate = options.bitrate
    assert (bitrate.start, bitrate.min, bitrate.max) == (2_000_000, 1_000_000, 3_000_000)
    assert options.udp_ports is not None
    assert (options.udp_ports[0], options.udp_ports[-1]) == (40000, 40100)
    (server,) = options.ice_servers
    assert (server.urls, server.username) == (("turn:t.example",), "me")


def test_taken_port_is_a_failure_and_a_wrong_host_bad_usage() -> None:
    with serve.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StreamerError, match=f"port {port} is taken") as refusal:
            serve.bind("127.0.0.1", port)
        assert not isinstance(refusal.value, UsageError)
    with pytest.raises(UsageError, match="no address of this machine"):
        serve.bind("192.0.2.1", 0)


def test_port_is_free_again_at_once() -> None:
    first = serve.bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        first.accept()[0].close()
        client.recv(1)
    first.close()
    serve.bind("127.0.0.1", port).close()


def test_browser_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not serve.has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert serve.has_display()
