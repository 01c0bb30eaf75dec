"""The certificate that a server shows: until when it is good, and whether this device trusts it."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Final, NamedTuple

from cryptography import x509

from farhand_agent.probes.reaching import TIMEOUT_S, address_of
from farhand_protocol.errors import FarhandError

__all__ = ["Shown", "shown_certificate"]

_MAX_CERTIFICATE_BYTES: Final = 64 * 1024


class Shown(NamedTuple):
    """A server's certificate; `distrust` says why this device would refuse it, or is empty."""

    ends: datetime
    distrust: str


def shown_certificate(
    host: str, port: int, *, trusted: ssl.SSLContext | None = None, timeout_s: float = TIMEOUT_S
) -> Shown:
    """Return the certificate that a server shows to whoever asks for this name.

    Args:
        host: name or address.
        port: where TLS is spoken from the first byte.
        trusted: what this device trusts, for tests.
        timeout_s: for each of at most two connections.

    Raises:
        FarhandError: `probe-no-name`, `probe-failed` when nothing speaks TLS there.
    """
    context = trusted or ssl.create_default_context()
    try:
        return Shown(_end(_handshake(host, port, context, timeout_s)), "")
    except ssl.SSLCertVerificationError as error:
        distrust = error.verify_message or "not trusted"
    # What it shows is looked at and nothing is sent to it, so it need not be trusted for that.
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    return Shown(_end(_handshake(host, port, blind, timeout_s)), distrust[:120])


def _handshake(host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> bytes:
    address = address_of(host, port)
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as plain:
            plain.settimeout(timeout_s)
            plain.connect(address.where)
            with context.wrap_socket(plain, server_hostname=host) as secured:
                return secured.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:
        words = f"{host}:{port}: {type(error).__name__}"
        raise FarhandError("probe-failed", words, detail=str(error)) from error


def _end(certificate: bytes) -> datetime:
    try:
        if len(certificate) > _MAX_CERTIFICATE_BYTES:
            raise ValueError("too large")
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FarhandError("probe-failed", "the certificate cannot be read") from error
