"""A self-signed certificate for `serve --https`: browsers give the camera to https pages only.

Browsers warn of it once, because it is self-signed. It is kept, so that they warn only once.
"""

import datetime
import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streamer.errors import StreamerError, UsageError
from streamer.paths import data_dir, written_whole
from streamer.server.listen import network_addresses

VALID = datetime.timedelta(days=397)  # browsers refuse what is valid for longer
RENEW = datetime.timedelta(days=30)


def ours(given: Path | None) -> tuple[Path, Path]:
    """Certificate and key for `--https`. Raises UsageError when the user gave one, too."""
    if given is not None:
        raise UsageError(
            "--https makes a certificate; do not combine it with --tls-cert and --tls-key"
        )
    return ensure(data_dir() / "https", ("127.0.0.1", "::1", *network_addresses()))


def ensure(folder: Path, addresses: Iterable[str]) -> tuple[Path, Path]:
    """Certificate and key in `folder` for these IP addresses; new ones unless those there fit.

    Raises StreamerError when they cannot be written.
    """
    certificate, key = folder / "https-cert.pem", folder / "https-key.pem"
    wanted = {ipaddress.ip_address(address) for address in addresses}
    if not (key.is_file() and _fits(certificate, wanted)):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(certificate, key, wanted)
        except OSError as failure:
            raise StreamerError(f"--https cannot write {folder}: {failure.strerror}") from None
    return certificate, key


_Addresses = set[ipaddress.IPv4Address | ipaddress.IPv6Address]


def _fits(path: Path, wanted: _Addresses) -> bool:
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    covered = set(names.get_values_for_type(x509.IPAddress))
    return wanted <= covered and found.not_valid_after_utc > _now() + RENEW


def _make(certificate: Path, key: Path, addresses: _Addresses) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"streamer on {host}"[:64])])
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in ("localhost", host, f"{host}.local")]
    names += [x509.IPAddress(address) for address in sorted(addresses, key=str)]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(days=1))
        .not_valid_after(_now() - datetime.timedelta(days=1) + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate.unlink(missing_ok=True)  # never one with the key of another
    with written_whole(key, 0o600) as file:
        file.write(secret.private_bytes(encoding, form, serialization.NoEncryption()))
    with written_whole(certificate) as file:
        file.write(made.public_bytes(encoding))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
