"""Certificates as items of section `certificates`, the same on every platform."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from farhand_protocol.instants import format_instant

__all__ = ["certificate_item", "certificates_in"]

_PEM: Final = re.compile(
    rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----.+?-----END (?:TRUSTED )?CERTIFICATE-----", re.DOTALL
)
_BEGINNING: Final = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----")
_MAX_NAMES: Final = 100


def certificates_in(data: bytes) -> tuple[list[x509.Certificate], int]:
    """Return the certificates in PEM text, or the one in DER bytes, and how many cannot be read.

    One whose dates make no sense, and one that is cut off, counts as not read; the others stand.
    """
    begun = len(_BEGINNING.findall(data))
    found = [one for block in _PEM.findall(data) if (one := _loaded(block, pem=True))]
    if not begun and data[:1] == b"\x30":
        begun, one = 1, _loaded(data, pem=False)
        found = [one] if one else []
    return found, begun - len(found)


def _loaded(data: bytes, *, pem: bool) -> x509.Certificate | None:
    try:
        one = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        # Read here what the items need, as the library looks at most parts only when asked.
        _ = one.not_valid_before_utc, one.not_valid_after_utc, one.serial_number
    except (ValueError, OverflowError):
        return None
    return one


def certificate_item(one: x509.Certificate, store: str) -> dict[str, Any]:
    """Return the item of a certificate, but for `has_private_key`.

    Args:
        one: the certificate.
        store: the file or store that it lies in.
    """
    kind, bits = _key(one)
    return {
        "subject": _name(one, "subject"),
        "issuer": _name(one, "issuer"),
        "names": _names(one),
        "serial": f"{one.serial_number:x}",
        "sha256": one.fingerprint(SHA256()).hex(),
        "not_before": format_instant(one.not_valid_before_utc.astimezone(UTC)),
        "not_after": format_instant(one.not_valid_after_utc.astimezone(UTC)),
        "key_kind": kind,
        "key_bits": bits,
        "self_signed": one.subject == one.issuer,
        "authority": _authority(one),
        "has_private_key": None,
        "store": store,
    }


def _name(one: x509.Certificate, which: str) -> str | None:
    try:
        name = one.subject if which == "subject" else one.issuer
        return name.rfc4514_string()
    except ValueError:
        return None


def _names(one: x509.Certificate) -> list[str]:
    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    names = found.get_values_for_type(x509.DNSName)
    names += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return names[:_MAX_NAMES]


def _authority(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _key(one: x509.Certificate) -> tuple[str | None, int | None]:
    try:
        key = one.public_key()
    except Exception:  # the library raises its own kinds for keys that it does not know
        return None, None
    match key:
        case rsa.RSAPublicKey():
            return "rsa", key.key_size
        case ec.EllipticCurvePublicKey():
            return "ec", key.key_size
        case dsa.DSAPublicKey():
            return "dsa", key.key_size
        case ed25519.Ed25519PublicKey():
            return "ed25519", 256
        case ed448.Ed448PublicKey():
            return "ed448", 448
    return type(key).__name__, None
