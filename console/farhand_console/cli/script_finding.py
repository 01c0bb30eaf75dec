"""Finding a script by its name for the commands that show, compare, approve and order it."""

from __future__ import annotations

from pathlib import Path

from farhand_console.cli.base import Context
from farhand_console.output import printable, warn
from farhand_console.scripts import fetch_script
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.envelopes import Envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.trust import Approval, Risk, script_path

__all__ = ["approval_rule", "check_reason", "find_script", "is_folder", "warn_of_deprecated"]

_MAX_REASON_CHARS = 500


def find_script(
    context: Context, script: str, version: int | None
) -> tuple[Envelope, Manifest, bytes, str]:
    """Return a script with its state: from the signed targets, or as it was handed in.

    The newest version goes first; what was handed in is newer than what is published.

    Raises:
        FarhandError: `script-unknown`, and what reading it raises.
    """
    trust = context.trust()
    known = [number for name, number in trust.published() if name == script]
    try:
        handed_in = fetch_script(context.relay, script, version)
    except FarhandError as error:
        if error.code not in ("not-found", "script-unknown") or not known:
            raise
        handed_in = None
    if handed_in is not None and handed_in[1].version not in known:
        state = "submitted"
        revoked = {one.subject for one in trust.revocations.revoked if one.kind == "script"}
        if script in revoked or manifest_digest(handed_in[0]) in revoked:
            state = "revoked"
        return *handed_in, state
    envelope = trust.manifest(script, version)
    manifest = open_payload(envelope, Manifest)
    return envelope, manifest, trust.read(script_path(manifest.sha256)), "published"


def approval_rule(trust: VerifiedTrust, risk: Risk) -> Approval:
    """Return how many people with which permission must approve this risk class.

    Raises:
        RefusedError: `script-not-approved` where the policy has no rule for it.
    """
    rule = trust.policy.approvals.get(risk)
    if rule is None:
        raise RefusedError("script-not-approved", f"the policy has no approval rule for {risk}")
    return rule


def warn_of_deprecated(trust: VerifiedTrust, manifest: Manifest) -> None:
    """Say that a script should not be used any more, where an admin signed that."""
    found = trust.deprecations.find(manifest.id, manifest.version)
    if found is None:
        return
    instead = f"; use {printable(found.successor, 100)} instead" if found.successor else ""
    reason = printable(found.reason, 500)
    warn(f"{manifest.id} {manifest.version} is deprecated: {reason}{instead}")


def check_reason(reason: str) -> None:
    """Check a reason that goes into signed metadata and onto screens.

    Raises:
        UsageError: `usage`.
    """
    if not reason.strip() or len(reason) > _MAX_REASON_CHARS or not reason.isprintable():
        raise UsageError("usage", f"a reason has 1 to {_MAX_REASON_CHARS} printable characters")


def is_folder(source: str) -> bool:
    """Tell whether a word names a script's folder rather than a script's id."""
    return (Path(source) / "manifest.toml").is_file()
