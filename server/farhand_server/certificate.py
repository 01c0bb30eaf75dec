"""The relay's own TLS certificate, where no better one is given, and fingerprints of certificates.

A self-signed certificate is not weaker here: its SHA-256 travels in every token, and agents and
consoles pin it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from farhand_protocol.errors import FarhandError

__all__ = ["expires_at", "make_self_signed", "pinned_fingerprint"]

# Pinned by fingerprint, so a short life would only mean enrolling everything again.
_LIFETIME = timedelta(days=365 * 10)


def make_self_signed(host: str, *, now: datetime) -> tuple[bytes, bytes]:
    """Make a P-256 certificate for a host name or address.

    Returns: (certificate, private key), both PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Farhand relay")])
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FarhandError(
            "tls-certificate", f"the certificate {path} cannot be read", detail=str(error)
        ) from error


def pinned_fingerprint(path: Path) -> bytes:
    """Return what tokens must pin for a certificate file.

    Returns: the SHA-256 of the DER of a self-signed certificate; empty bytes for one that an
        authority issued, which clients check in the ordinary way.

    Raises:
        FarhandError: `tls-certificate`.
    """
    certificate = _load(path)
    if certificate.issuer != certificate.subject:
        return b""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()


def expires_at(path: Path) -> datetime:
    """Return when a certificate file expires; raises `tls-certificate`."""
    return _load(path).not_valid_after_utc
