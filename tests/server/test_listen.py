"""The port, and the addresses that are printed."""

import socket
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
