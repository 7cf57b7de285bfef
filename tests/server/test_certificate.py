"""A certificate of one's own: fit for its addresses, kept while it is, its key for us alone."""

import contextlib
import datetime
import ssl
from pathlib import Path

import pytest

from streamer.errors import StreamerError
from streamer.server import certificate
from streamer.server.config import Config
from streamer.server.listen import check_tls

ADDRESSES = ("127.0.0.1", "::1", "192.0.2.7")
TOKEN = "0123456789abcdef"


def shake_hands(cert: Path, key: Path, name: str) -> None:
    """TLS between a server with the certificate and a client that trusts it, for this name."""
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    server = serving.wrap_bio(ours, theirs, server_side=True)
    client = trusting.wrap_bio(theirs, ours, server_hostname=name)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.getpeercert()


def test_it_serves_https_for_its_addresses(tmp_path: Path) -> None:
    cert, key = certificate.ensure(tmp_path / "new", ADDRESSES)
    check_tls(Config(host="0.0.0.0", token=TOKEN, tls_cert=cert, tls_key=key))
    for name in ("127.0.0.1", "::1", "192.0.2.7", "localhost"):
        shake_hands(cert, key, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(cert, key, "192.0.2.99")
    assert key.stat().st_mode & 0o077 == 0


def test_it_is_kept_so_that_phones_ask_once(tmp_path: Path) -> None:
    cert, _ = certificate.ensure(tmp_path, ADDRESSES)
    first = cert.read_bytes()
    certificate.ensure(tmp_path, ADDRESSES[:2])
    assert cert.read_bytes() == first


@pytest.mark.parametrize("spoil", ["address", "age", "damage", "key"])
def test_it_is_made_anew_when_it_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    cert, key = certificate.ensure(tmp_path, ADDRESSES)
    first = cert.read_bytes()
    addresses: tuple[str, ...] = ADDRESSES
    if spoil == "address":
        addresses = (*ADDRESSES, "192.0.2.8")
    elif spoil == "age":
        now = datetime.datetime.now(datetime.UTC) + certificate.VALID
        monkeypatch.setattr(certificate, "_now", lambda: now)
    elif spoil == "damage":
        cert.write_bytes(b"-----BEGIN CERTIFICATE-----")
    else:
        key.unlink()
    certificate.ensure(tmp_path, addresses)
    assert cert.read_bytes() != first
    assert key.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamerError, match="--https cannot write"):
        certificate.ensure(tmp_path / "file", ADDRESSES)
