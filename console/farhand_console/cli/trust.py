"""trust init: the organisation's trust root, made here; what shows or changes it stands beside.

`rules` brings policy and rules, `ceremonies` refresh, revoke, floor, rotate and recover, `cosign`
signatures and cosign, `trust_status` status.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import click

from farhand_console.cli import ceremonies, cosign, rules, trust_status
from farhand_console.cli.base import Context, command, group
from farhand_console.cli.rules import parse_approvals
from farhand_console.home import write_private
from farhand_console.keys import make_recovery_key
from farhand_console.library.catalogue import shipped
from farhand_console.output import hint, show_fields
from farhand_console.relay.answers import Nothing, TrustState
from farhand_console.scripts import shipped_manifest
from farhand_console.trust.signing import make_root, make_targets
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import Signer
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    FLOORS_PATH,
    PERMISSIONS,
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Approval,
    Floors,
    Operator,
    Policy,
    Revocations,
    Risk,
    Roster,
    encode_document,
    manifest_path,
    script_path,
)

__all__ = ["register"]


def register(root: click.Group) -> None:
    """Add the commands of this file."""
    trust = group(root, "trust", "The organisation's trust root.")

    @command(trust)
    @click.option(
        "--with-library", is_flag=True, help="Approve and publish the shipped R0 scripts."
    )
    @click.option("--approvals", default="", help="Approvals per risk class, such as R2=1,R3=2.")
    def init(context: Context, with_library: bool, approvals: str) -> None:
        """Make the trust root, with this operator's key and an offline recovery key."""
        counts = DEFAULT_APPROVALS | parse_approvals(approvals)
        settings = context.settings
        state = context.relay.get("/trust", TrustState)
        if state.root_version:
            raise FarhandError("trust-exists", "the organisation has a trust root already")
        if with_library and counts["R0"].count > 1:
            raise UsageError(
                "usage", "--with-library approves alone, and R0 is to need several approvals"
            )
        online_key = state.online_key
        if online_key.hex() != settings.relay_key:
            raise FarhandError("relay-key-mismatch", "the relay names another online key")
        admin = context.signer()
        recovery_file = context.home.folder / "trust" / "recovery.key"
        recovery = make_recovery_key(recovery_file)
        files = _first_documents(settings.tenant, settings.account, admin.public_key, counts)
        library = _library_files(settings.tenant, admin) if with_library else {}
        files |= library
        root_bytes = make_root(admin=admin, recovery=recovery, online_key=online_key)
        targets_bytes = make_targets(admin, 1, files)
        body = {"root": root_bytes, "targets": targets_bytes, "files": files}
        context.relay.post("/trust", Nothing, body, wait_s=60)
        write_private(context.home.folder / "trust" / "pinned-root.json", root_bytes)
        digest = hashlib.sha256(root_bytes).hexdigest()
        context.home.update(root_version=1, root_sha256=digest)
        verified = context.fresh_trust()
        scripts = len(verified.published())
        answer = {
            "root_version": 1,
            "root_sha256": digest,
            "targets_version": verified.targets_version,
            "expires": format_instant(verified.targets.signed.expires),
            "scripts": scripts,
            "recovery_key": str(recovery_file),
        }

        def readable() -> None:
            show_fields(answer)
            hint(f"move {recovery_file} off this machine and keep it safe")

        context.show(answer, readable)

    rules.register(trust)
    ceremonies.register(trust)
    cosign.register(trust)
    trust_status.register(trust)


def _first_documents(
    tenant: str, name: str, key: bytes, rules: dict[Risk, Approval]
) -> dict[str, bytes]:
    admin = Operator(name=name, keys=[key], permissions=[*PERMISSIONS, "session:*@*"], tier=3)
    return {
        ROSTER_PATH: encode_document(Roster(tenant=tenant, operators=[admin])),
        POLICY_PATH: encode_document(Policy(tenant=tenant, approvals=rules, groups={})),
        REVOCATIONS_PATH: encode_document(Revocations(tenant=tenant, revoked=[])),
        FLOORS_PATH: encode_document(Floors(tenant=tenant, scripts={})),
    }


def _library_files(tenant: str, admin: Signer) -> dict[str, bytes]:
    files = {}
    now = datetime.now(UTC).replace(microsecond=0)
    for script in shipped():
        if script.risk != "R0":
            continue
        manifest = shipped_manifest(tenant, script, now=now, expires=now + timedelta(days=365))
        files[manifest_path(script.id, script.version)] = encode_envelope(seal(manifest, admin))
        files[script_path(manifest.sha256)] = script.body
    return files
