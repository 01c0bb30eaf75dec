"""Scripts on their way to devices: read from a folder, sealed, approved, published.

A script folder holds `manifest.toml` and the body (`script.py`, `script.sh` or `script.ps1`).
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from farhand_console.library.catalogue import ShippedScript
from farhand_console.relay import Relay, segments
from farhand_console.relay.answers import Nothing, ScriptDetail
from farhand_console.trust.signing import Change, publish
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.complaints import plain_reason
from farhand_protocol.envelopes import Envelope, decode_envelope, encode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.manifest import (
    MAX_SCRIPT_BYTES,
    SHIPPED_AUTHOR,
    Manifest,
    check_approved,
    check_manifest,
    manifest_digest,
)
from farhand_protocol.parameters import check_schema
from farhand_protocol.trust import manifest_path, script_path

__all__ = [
    "BODY_NAMES",
    "approved",
    "check_not_revoked",
    "fetch_script",
    "make_manifest",
    "publish_script",
    "read_folder",
    "shipped_manifest",
]

BODY_NAMES = {"python": "script.py", "sh": "script.sh", "powershell": "script.ps1"}
_DEFAULTS: dict[str, Any] = {
    "description": "",
    "platforms": ["linux"],
    "interpreter": "sh",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    "run_as": "agent",
    "timeout_s": 60,
    "max_output_bytes": 262_144,
    "sensitive": False,
    "detect": None,
    "verify": None,
}


def read_folder(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the manifest table (with defaults) and the body of a script folder.

    Raises:
        FarhandError: `script-unreadable`, `manifest-invalid`.
    """
    try:
        table = _DEFAULTS | tomllib.loads((folder / "manifest.toml").read_text())
        body_file = folder / BODY_NAMES.get(str(table["interpreter"]), "script.sh")
        if body_file.stat().st_size > MAX_SCRIPT_BYTES:
            raise FarhandError("manifest-invalid", f"{body_file} is larger than 512 KiB")
        return table, body_file.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise FarhandError(
            "script-unreadable", f"cannot read the script in {folder}: {plain_reason(error)}"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise FarhandError(
            "manifest-invalid", f"{folder}/manifest.toml: {plain_reason(error)}"
        ) from error


def make_manifest(
    table: dict[str, Any],
    body: bytes,
    *,
    tenant: str,
    author: str,
    now: datetime,
    expires: datetime,
) -> Manifest:
    """Build and check a manifest from a table and a body.

    Raises:
        FarhandError: `manifest-invalid`, `schema-invalid`.
    """
    values = table | {
        "tenant": tenant,
        "author": author,
        "sha256": hashlib.sha256(body).hexdigest(),
        "size_bytes": len(body),
        "created_at": format_instant(now),
        "expires": format_instant(expires),
    }
    try:
        manifest = msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        raise FarhandError("manifest-invalid", f"the manifest: {plain_reason(error)}") from error
    check_manifest(manifest, body)
    check_schema(manifest.parameters)
    return manifest


def shipped_manifest(
    tenant: str, script: ShippedScript, *, now: datetime, expires: datetime
) -> Manifest:
    """Return the manifest of a script that came with Farhand."""
    table = {name: getattr(script, name) for name in script.__dataclass_fields__ if name != "body"}
    table = {name: list(v) if isinstance(v, tuple) else v for name, v in table.items()}
    return make_manifest(
        _DEFAULTS | table,
        script.body,
        tenant=tenant,
        author=SHIPPED_AUTHOR,
        now=now,
        expires=expires,
    )


def fetch_script(
    relay: Relay, script: str, version: int | None = None
) -> tuple[Envelope, Manifest, bytes]:
    """Return a submitted script from the relay, its body checked against its manifest.

    Raises:
        FarhandError: `script-unknown` from the relay, `script-changed`, `envelope-malformed`.
    """
    fields = relay.get(segments("scripts", script), ScriptDetail, version=version)
    envelope = decode_envelope(fields.envelope)
    manifest = open_payload(envelope, Manifest)
    check_manifest(manifest, fields.body)
    if manifest.id != script or (version is not None and manifest.version != version):
        raise FarhandError("script-changed", "the relay answered with another script")
    return envelope, manifest, fields.body


def publish_script(
    relay: Relay, load: Callable[[], VerifiedTrust], admin: Signer, envelope: Envelope, body: bytes
) -> int:
    """Check author and approvals, put the script among the targets; return the targets version.

    Raises:
        FarhandError: `script-author-unknown`, `script-changed`.
        RefusedError: `script-not-approved`, `script-revoked`, `not-trust-admin`.
    """
    manifest = open_payload(envelope, Manifest)

    def change(trust: VerifiedTrust) -> Change:
        approved(envelope, trust)
        check_manifest(manifest, body)
        return Change(
            {
                manifest_path(manifest.id, manifest.version): encode_envelope(envelope),
                script_path(manifest.sha256): body,
            }
        )

    version = publish(relay, load, admin, change)
    try:
        relay.post(segments("scripts", manifest.id, manifest.version, "published"), Nothing)
    except FarhandError as error:
        if error.code not in ("not-found", "script-unknown"):
            raise  # what `trust init` published was never handed in at the relay
    return version


def approved(envelope: Envelope, trust: VerifiedTrust) -> Manifest:
    """Check a sealed manifest against roster, policy and revocations, and return it.

    Raises:
        RefusedError: `script-not-approved`, `script-revoked`.
        FarhandError: as `check_approved`.
    """
    try:
        manifest = check_approved(envelope, trust.roster, trust.policy)
    except FarhandError as error:
        if error.code == "script-not-approved":
            raise RefusedError(
                error.code, error.message, hint="farhand script approve ID"
            ) from error
        raise
    if manifest.tenant != trust.roster.tenant:
        raise FarhandError("manifest-invalid", "the manifest is of another organisation")
    check_not_revoked(envelope, trust)
    return manifest


def check_not_revoked(envelope: Envelope, trust: VerifiedTrust) -> None:
    """Refuse a script that the organisation revoked, in this version or in all.

    Raises:
        RefusedError: `script-revoked`, with the reason that was signed.
    """
    manifest = open_payload(envelope, Manifest)
    subjects = (manifest.id, manifest_digest(envelope))
    for one in trust.revocations.revoked:
        if one.kind == "script" and one.subject in subjects:
            raise RefusedError("script-revoked", f"{manifest.id} is revoked: {one.reason}")
