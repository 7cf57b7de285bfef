"""How the server is set up from its config."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamer.server.config import Config
from streamer.server.serve import _announced, has_display, peer_options
from streamer.webrtc.ice_server import IceServer
from streamer.webrtc.options import PeerOptions

TOKEN = "0123456789abcdef"


def test_media_stay_on_this_machine_when_http_does() -> None:
    assert peer_options(Config()).loopback
    assert not peer_options(Config(host="0.0.0.0", token=TOKEN)).loopback


def test_only_paths_to_other_machines_are_begun_carefully() -> None:
    here, there = Config(), Config(host="0.0.0.0", token=TOKEN)
    assert peer_options(here).bitrate.start == peer_options(here).bitrate.max
    assert peer_options(there).bitrate.start < peer_options(there).bitrate.max / 4
    thin = replace(there, max_bitrate_bps=500_000)
    assert peer_options(thin).bitrate.start == 500_000


def test_peers_get_what_was_asked_for() -> None:
    config = Config(
        start_bitrate_bps=2_000_000,
        min_bitrate_bps=1_000_000,
        max_bitrate_bps=3_000_000,
        udp_ports=(40000, 40100),
        ice_servers=(IceServer("turn:t.example", "me", "pass"),),
    )
    options = peer_options(config)
    assert isinstance(options, PeerOptions)
    bitrate = options.bitrate
    assert (bitrate.start, bitrate.min, bitrate.max) == (2_000_000, 1_000_000, 3_000_000)
    assert options.udp_ports is not None
    assert (options.udp_ports[0], options.udp_ports[-1]) == (40000, 40100)
    (server,) = options.ice_servers
    assert (server.url, server.username) == ("turn:t.example", "me")


def test_browser_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


ADDRESSES = [f"http://127.0.0.1:8000/?token={TOKEN}", f"http://192.0.2.7:8000/?token={TOKEN}"]


def test_the_token_is_printed_to_a_terminal_only(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    data_dir: Path,
) -> None:
    config = Config(host="0.0.0.0", token=TOKEN)
    with _announced(config, ADDRESSES):
        out = capsys.readouterr().out
        assert TOKEN not in out and "streamer at http://192.0.2.7:8000/\n" in out
        (file,) = data_dir.iterdir()
        assert str(file) in out
        assert file.read_text().strip() == TOKEN
        assert file.stat().st_mode & 0o077 == 0
    assert list(data_dir.iterdir()) == []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with _announced(config, ADDRESSES):
        assert f"streamer at {ADDRESSES[0]}\n" in capsys.readouterr().out
        assert list(data_dir.iterdir()) == []
