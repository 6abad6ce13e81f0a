"""TLS servers that must not be trusted: they listen, and note whatever was said to them after the handshake."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import create_server, socket

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Untrusted", "untrusted_server"]


class Untrusted:
    """One server. `heard` is what came over an accepted handshake, `handshakes` how many were tried."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.heard = b""
        self.handshakes = 0
        self._context = context
        self._listener = create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._meet(connection)

    def _meet(self, connection: socket) -> None:
        self.handshakes += 1
        with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as wrapped:
            self.heard += wrapped.recv(65536)

    def close(self) -> None:
        self._listener.shutdown(2)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def untrusted_server(folder: Path, name: str, *, expired: bool) -> Iterator[Untrusted]:
    """A server whose certificate nobody vouches for; `expired` ones have been out of date for a day, too."""
    certificate, key = _certificate(folder, name, expired=expired)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Untrusted(context)
    try:
        yield server
    finally:
        server.close()


def _certificate(folder: Path, name: str, *, expired: bool) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=30))
        .not_valid_after(today - timedelta(days=1) if expired else today + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
