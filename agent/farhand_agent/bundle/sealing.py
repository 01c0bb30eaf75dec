"""Packs a bundle, signs its manifest and encrypts it to those who may read it.

To whom: the audit keys of this device's policy (signed, and its own), or whoever `--to` names.  A
bundle that nobody was named for is not made: it would lie somewhere in clear.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyrage

from farhand_agent.bundle.contents import Contents
from farhand_agent.config import Home, load_settings, read_limited
from farhand_agent.keeper import load_key
from farhand_agent.policy import effective_policy
from farhand_agent.session.recording.plan import parse_recipient
from farhand_agent.trust.verified import current_group, load_verified
from farhand_protocol.bundles import MANIFEST_NAME, MAX_BUNDLE_BYTES, Bundle
from farhand_protocol.envelopes import (
    Envelope,
    encode_envelope,
    encode_payload,
    payload_type_of,
    seal,
)
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner

__all__ = ["Signature", "pack", "read_recipients", "signature_of", "token_key"]

_MAX_KEY_FILE_BYTES: Final = 64 * 1024
MAX_RECIPIENTS: Final = 32
_TOKEN_PURPOSE: Final = b"farhand bundle names v1"


class Signature:
    """Who signs: an enrolled device, or nobody.

    Args:
        home: of the agent.

    Raises:
        FarhandError: of settings and key, where the device is enrolled and they cannot be read.
    """

    def __init__(self, home: Home) -> None:
        self.tenant = self.device = ""
        self.signer: SeedSigner | None = None
        if home.is_enrolled:
            settings = load_settings(home)
            self.tenant, self.device = settings.tenant, settings.device
            self.signer = load_key(str(home.device_key))

    def seal(self, bundle: Bundle) -> Envelope:
        """Return the manifest's envelope, without a signature where there is no key."""
        if self.signer is not None:
            return seal(bundle, self.signer)
        payload = encode_payload(bundle)
        return Envelope(payload=payload, payload_type=payload_type_of(Bundle), signatures=[])


def signature_of(home: Home) -> Signature:
    """Return who signs a bundle of this home."""
    return Signature(home)


def token_key(signature: Signature) -> bytes:
    """Return the key of a device's tokens: always the same, and of no use for anything else."""
    if signature.signer is None:
        return os.urandom(32)
    proof = signature.signer.sign(_TOKEN_PURPOSE)  # Ed25519 signs alike each time (RFC 8032 s5.1.6)
    return hmac.new(proof, _TOKEN_PURPOSE, hashlib.sha256).digest()


def read_recipients(home: Home, named: Path | None) -> list[str]:
    """Return the keys that a bundle is encrypted to, as text.

    Args:
        home: of the agent, whose policy is asked where nobody is named.
        named: a file with one `age1...` or `ssh-ed25519` key to a line; # starts a comment.

    Raises:
        UsageError: `bundle-no-recipient`.
        FarhandError: `audit-key-malformed`, `policy-malformed`.
    """
    if named is not None:
        try:
            text = read_limited(named, _MAX_KEY_FILE_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise FarhandError("audit-key-malformed", f"{named} cannot be read") from error
        lines = [line.strip() for line in text.splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
    else:
        trust = load_verified(home)
        group = current_group(load_settings(home), trust) if home.is_enrolled else ""
        keys = list(effective_policy(home, group, trust).audit_keys)
    keys = list(dict.fromkeys(keys))
    if not keys:
        raise UsageError(
            "bundle-no-recipient",
            "nobody is named who could open the bundle",
            hint="give the key file that your help desk sent you: --to FILE",
        )
    if len(keys) > MAX_RECIPIENTS:
        raise UsageError("bundle-no-recipient", f"more than {MAX_RECIPIENTS} keys are named")
    for key in keys:
        parse_recipient(key)
    return keys


def pack(contents: Contents, signature: Signature, *, cleaned: list[str], keys: list[str]) -> bytes:
    """Return the bytes of the bundle.

    Args:
        contents: what was collected and cleaned.
        signature: who signs.
        cleaned: what was replaced.
        keys: to whom; from `read_recipients`.

    Raises:
        FarhandError: `bundle-too-large`.
    """
    manifest = Bundle(
        tenant=signature.tenant,
        device=signature.device,
        device_key=signature.signer.public_key if signature.signer else b"",
        made_at=format_instant(datetime.now(UTC).replace(microsecond=0)),
        cleaned=cleaned,
        secrets_removed=contents.secrets_removed,
        files=contents.entries(),
        omitted=contents.omitted,
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(MANIFEST_NAME), encode_envelope(signature.seal(manifest)))
        for name, data in sorted(contents.files.items()):
            archive.writestr(_entry(name), data)
    recipients: list[Any] = [parse_recipient(key) for key in keys]
    sealed = bytes(pyrage.encrypt(packed.getvalue(), recipients))
    if len(sealed) > MAX_BUNDLE_BYTES:
        raise FarhandError(
            "bundle-too-large",
            f"the bundle would have more than {MAX_BUNDLE_BYTES // 1024**2} MiB",
            hint="choose less with --sections, --logs and --hours",
        )
    return sealed


def _entry(name: str) -> zipfile.ZipInfo:
    # Without the time of the machine, which the manifest tells, and with modest rights.
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry
