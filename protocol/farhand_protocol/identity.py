"""Ids and fingerprints.

A device is its Ed25519 key: `device_id` is "d-" and the first 128 bits of the SHA-256 of the raw
public key in lower-case base32, so that it is also a legal host name for ssh.  A key id (as in
DSSE signatures) is the whole SHA-256 in hex.  Other ids are a prefix and 80 or more random bits
that the caller draws; this module has no randomness of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct

from farhand_protocol.errors import FarhandError

__all__ = [
    "PUBLIC_KEY_BYTES",
    "device_id",
    "is_device_id",
    "is_session_id",
    "key_fingerprint",
    "key_id",
    "make_id",
    "parse_public_key_line",
    "public_key_line",
]

PUBLIC_KEY_BYTES = 32
_DEVICE = re.compile(r"d-[a-z2-7]{26}\Z")
_SESSION = re.compile(r"s-[a-z2-7]{16,26}\Z")
_SSH_TYPE = b"ssh-ed25519"


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _check_length(public_key: bytes) -> None:
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise FarhandError("key-malformed", "an Ed25519 public key has 32 bytes")


def device_id(public_key: bytes) -> str:
    """Return the id of the device that holds this raw 32-byte Ed25519 public key.

    Raises:
        FarhandError: `key-malformed` when it has another length.
    """
    _check_length(public_key)
    return "d-" + _base32(hashlib.sha256(public_key).digest()[:16])


def is_device_id(text: str) -> bool:
    """Tell whether `text` has the shape of a device id."""
    return _DEVICE.match(text) is not None


def is_session_id(text: str) -> bool:
    """Tell whether `text` has the shape of a session id."""
    return _SESSION.match(text) is not None


def key_id(public_key: bytes) -> str:
    """Return the key id of a raw public key: 64 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()


def make_id(prefix: str, random: bytes) -> str:
    """Build an id such as `s-...` from at least 10 random bytes.

    Args:
        prefix: one or two lower-case letters saying what it is (s session, o order, c campaign,
            t token, p pipe, r receipt, a account).
        random: 10 to 16 bytes from a cryptographic source.
    """
    if not 10 <= len(random) <= 16:
        raise ValueError("an id takes 10 to 16 random bytes")
    return f"{prefix}-{_base32(random)}"


def _ssh_blob(public_key: bytes) -> bytes:
    _check_length(public_key)
    return struct.pack(">I", len(_SSH_TYPE)) + _SSH_TYPE + struct.pack(">I", 32) + public_key


def public_key_line(public_key: bytes, comment: str = "") -> str:
    """Write a raw key as an OpenSSH public key line (RFC 8709 s4), with no newline.

    The comment may come from a device or a relay: what cannot be printed becomes `?`.

    Raises:
        FarhandError: `key-malformed` when the key has another length.
    """
    comment = "".join(one if one.isprintable() else "?" for one in comment)
    text = f"ssh-ed25519 {base64.b64encode(_ssh_blob(public_key)).decode('ascii')}"
    return f"{text} {comment}" if comment else text


def parse_public_key_line(line: str) -> bytes:
    """Read the raw 32-byte key from an OpenSSH ssh-ed25519 public key line.

    Raises:
        FarhandError: `key-malformed` when it is another type or not a key at all.
    """
    parts = line.split()
    if len(line.splitlines()) > 1 or len(parts) < 2 or parts[0] != "ssh-ed25519":
        raise FarhandError("key-malformed", "expected one line that starts with ssh-ed25519")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise FarhandError("key-malformed", "the key is not base64") from error
    if len(blob) != 51 or blob != _ssh_blob(blob[-32:]):
        raise FarhandError("key-malformed", "this is not an ssh-ed25519 key")
    return blob[-32:]


def key_fingerprint(public_key: bytes) -> str:
    """Return the OpenSSH fingerprint (`SHA256:...`), as ssh-keygen -l shows it.

    Raises:
        FarhandError: `key-malformed` when the key has another length.
    """
    digest = hashlib.sha256(_ssh_blob(public_key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")
