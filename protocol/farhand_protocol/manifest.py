"""Script manifests: what a script is, what it may be given, how dangerous it is.

A manifest is sealed (envelopes) by its author and by each approver over the same payload bytes;
its digest is the SHA-256 of those bytes.  Any edit is a new version with no approvals.  Scripts
shipped with Farhand have the author `farhand`, who needs no signature; approvals they do need.

What a manifest promises about its body, the device holds it to: limits, network, account, the kind
of its answer (`answers`), and what `detect` and `verify` find before and after it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

import msgspec

from farhand_protocol.answers import AnswerKind
from farhand_protocol.envelopes import Envelope, Statement, open_payload, signers
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.parameters import check_schema
from farhand_protocol.trust import SHIPPED_AUTHOR, Policy, Risk, Roster

__all__ = [
    "MAX_SCRIPT_BYTES",
    "SHIPPED_AUTHOR",
    "Limits",
    "Manifest",
    "approvers",
    "check_approved",
    "check_manifest",
    "manifest_digest",
]

MAX_SCRIPT_BYTES = 512 * 1024
_SCRIPT_ID = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*\Z")
# Names as useradd makes them; what stands behind `user:` in `run_as`.
_ACCOUNT = re.compile(r"(?:agent|root|service|user:[a-z_][a-z0-9_-]{0,31})\Z")


class Limits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a body may use; enforced by a cgroup, a job object or resource limits.

    Attributes:
        cpu_s: seconds of CPU time, 1 to 86400; None for the timeout and a minute.
        memory_mib: MiB of memory, 16 to 65536.
        file_mib: MiB of one written file, 1 to 65536.
        files: open files, 16 to 65536.
        processes: processes and threads, 1 to 32768: of the body where a cgroup counts them, of
            its account elsewhere.
    """

    cpu_s: int | None = None
    memory_mib: int = 8192
    file_mib: int = 2048
    files: int = 1024
    processes: int = 4096


# What has its default is not written, so a manifest without the newer fields keeps its digest.
class Manifest(Statement, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one script.

    Attributes:
        id: dotted lower-case name, e.g. check.disk.space.
        version: 1 or more, rises with every edit.
        sha256: hex digest of the script body, `size_bytes` long.
        author: roster name of the author, or `farhand`.
        platforms: of linux, windows, macos.
        interpreter: python (the agent's own, isolated), sh or powershell.
        parameters: JSON Schema of the one parameters object.
        run_as: agent (the agent's own account), root, service (one without rights) or user:NAME.
        timeout_s: 1 to 86400.
        grace_s: from SIGTERM to SIGKILL at the deadline, 0 to 60.
        max_output_bytes: kept of stdout and of stderr each, a quarter head and the rest tail.
        network: False cuts it off; a device that cannot do that refuses the script.
        limits: of what it may use.
        answer: what a successful body prints on stdout: text, or JSON of that kind.
        sensitive: seal the output to the ordering operator.
        detect, verify: ids of scripts to run before and after a remedy, where they answer with a
            finding: "ok" before means that there is nothing to do.
        expires: RFC 3339; not run afterwards.
    """

    tenant: str
    id: str
    version: int
    title: str
    description: str
    sha256: str
    size_bytes: int
    author: str
    platforms: list[Literal["linux", "windows", "macos"]]
    interpreter: Literal["python", "sh", "powershell"]
    parameters: dict[str, Any]
    run_as: str
    risk: Risk
    timeout_s: int
    max_output_bytes: int
    sensitive: bool
    detect: str | None
    verify: str | None
    created_at: str
    expires: str
    grace_s: int = 5
    network: bool = True
    limits: Limits = Limits()
    answer: AnswerKind = "text"

    @property
    def answers_finding(self) -> bool:
        """Whether its answer tells if something is wrong; a check's does by its name."""
        return self.answer == "finding" or self.id.startswith("check.")


def _is_script_id(text: str) -> bool:
    return len(text) <= 100 and _SCRIPT_ID.match(text) is not None


def _are_limits(limits: Limits) -> bool:
    return (
        (limits.cpu_s is None or 1 <= limits.cpu_s <= 86_400)
        and 16 <= limits.memory_mib <= 65_536
        and 1 <= limits.file_mib <= 65_536
        and 16 <= limits.files <= 65_536
        and 1 <= limits.processes <= 32_768
    )


def manifest_digest(envelope: Envelope) -> str:
    """Return the digest that orders name: hex SHA-256 of the manifest's payload bytes."""
    return hashlib.sha256(envelope.payload).hexdigest()


def check_manifest(manifest: Manifest, body: bytes | None = None) -> None:
    """Check everything about a manifest that needs no trust: shape, bounds, schema, body hash.

    Args:
        manifest: to be checked.
        body: the script body, where it is at hand.

    Raises:
        FarhandError: `manifest-invalid` naming the field, `script-changed` when the body is not
            the one the manifest describes.
    """
    problems = {
        "id": not _is_script_id(manifest.id),
        "version": not 1 <= manifest.version < 2**31,
        "title": not 1 <= len(manifest.title) <= 200,
        "description": len(manifest.description) > 10_000,
        "sha256": not re.fullmatch(r"[0-9a-f]{64}", manifest.sha256),
        "size_bytes": not 1 <= manifest.size_bytes <= MAX_SCRIPT_BYTES,
        "author": not 1 <= len(manifest.author) <= 64,
        "platforms": not manifest.platforms,
        "detect": manifest.detect is not None and not _is_script_id(manifest.detect),
        "verify": manifest.verify is not None and not _is_script_id(manifest.verify),
        "run_as": not _ACCOUNT.match(manifest.run_as),
        "timeout_s": not 1 <= manifest.timeout_s <= 86_400,
        "grace_s": not 0 <= manifest.grace_s <= 60,
        "limits": not _are_limits(manifest.limits),
        "max_output_bytes": not 1_024 <= manifest.max_output_bytes <= 4 * 1024 * 1024,
    }
    for field, wrong in problems.items():
        if wrong:
            raise FarhandError("manifest-invalid", f"the manifest's {field} is not allowed")
    for field, text in {"created_at": manifest.created_at, "expires": manifest.expires}.items():
        try:
            parse_instant(text)
        except FarhandError as error:
            raise FarhandError("manifest-invalid", f"the manifest's {field} is no time") from error
    try:
        check_schema(manifest.parameters)
    except FarhandError as error:
        raise FarhandError(
            "manifest-invalid", f"the manifest's parameters: {error.message}"
        ) from error
    if body is not None and (
        len(body) != manifest.size_bytes or hashlib.sha256(body).hexdigest() != manifest.sha256
    ):
        raise FarhandError("script-changed", "the script is not the one its manifest describes")


def approvers(envelope: Envelope, manifest: Manifest, roster: Roster, permission: str) -> set[str]:
    """Return the names of roster people who validly approved, the author not counted.

    People are counted, not keys: two keys of one operator are one approval, and a key that stands
    under the author's name as well approves nothing.
    """
    author = roster.find(manifest.author)
    not_counted = set(author.keys) if author else set()
    names = set()
    for key in signers(envelope, roster.all_keys()) - not_counted:
        operator = roster.holder(key)
        if operator and operator.name != manifest.author and permission in operator.permissions:
            names.add(operator.name)
    return names


def check_approved(envelope: Envelope, roster: Roster, policy: Policy) -> Manifest:
    """Check author and approvals of a sealed manifest and return it.

    Raises:
        FarhandError: `envelope-malformed`, `manifest-invalid`; `script-author-unknown` when the
            author is not in the roster, may not author or did not sign; `script-not-approved`
            when too few other people approved for its risk class.
    """
    manifest = open_payload(envelope, Manifest)
    check_manifest(manifest)
    if manifest.author != SHIPPED_AUTHOR:
        author = roster.find(manifest.author)
        if author is None or "author" not in author.permissions:
            raise FarhandError(
                "script-author-unknown", f"{manifest.author!r} is not an author in the roster"
            )
        if not signers(envelope, author.keys):
            raise FarhandError("script-author-unknown", "the author did not sign the manifest")
    rule = policy.approvals.get(manifest.risk)
    if rule is None:
        raise FarhandError("script-not-approved", f"no approval rule for risk {manifest.risk}")
    count = len(approvers(envelope, manifest, roster, rule.permission))
    if count < rule.count:
        raise FarhandError(
            "script-not-approved",
            f"{manifest.id} version {manifest.version} ({manifest.risk}) has {count} of "
            f"{rule.count} approvals",
        )
    return manifest
