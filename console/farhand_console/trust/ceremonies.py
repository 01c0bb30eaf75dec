"""What an admin may change in the trust root, each as the next targets (and root) to be signed.

Nothing here signs, asks or sends: a ceremony takes the verified metadata of now and returns the
`Change` that `signing.publish` signs and uploads, and makes again when somebody else was faster.

    renewed          the same for another 30 days; the root too in the last quarter of its year
    revoked          a script or a device that must never count again
    raised_floor     the lowest version of a script that devices still run
    deprecated       a script that still runs, and that consoles warn of
    placed           devices into other groups
    new_admin_key    an admin's key by another one: rotated with the old one at hand, or recovered
    new_recovery_key the recovery key by another one
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from farhand_console.trust.proposals import check_people
from farhand_console.trust.signing import (
    ROOT_DAYS,
    Change,
    next_root,
    set_admin_keys,
    set_recovery_key,
)
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.deprecations import DEPRECATIONS_PATH, Deprecation
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.instants import format_instant
from farhand_protocol.placements import PLACEMENTS_PATH
from farhand_protocol.trust import (
    FLOORS_PATH,
    PERMISSIONS,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Operator,
    Revocation,
    Roster,
    decode_document,
    encode_document,
)

__all__ = [
    "admin_keys",
    "deprecated",
    "lost_keys",
    "new_admin_key",
    "new_recovery_key",
    "not_deprecated",
    "placed",
    "raised_floor",
    "renewed",
    "revoked",
    "with_roster",
]

_RENEW_ROOT_BEFORE = timedelta(days=ROOT_DAYS / 4)


def renewed(trust: VerifiedTrust) -> Change:
    """Sign what is in force for another time, the root with it when its year is nearly over."""
    left = trust.root.signed.expires - datetime.now(UTC)
    return Change({}, next_root(trust) if left < _RENEW_ROOT_BEFORE else None)


def revoked(
    trust: VerifiedTrust, kind: Literal["script", "device"], subject: str, reason: str
) -> Change:
    """Add a revocation; one that is there already stays as it is."""
    known = trust.revocations
    if any((one.kind, one.subject) == (kind, subject) for one in known.revoked):
        return Change({})
    at = format_instant(datetime.now(UTC).replace(microsecond=0))
    entry = Revocation(kind=kind, subject=subject, reason=reason, at=at)
    document = msgspec.structs.replace(known, revoked=[*known.revoked, entry])
    return Change({REVOCATIONS_PATH: encode_document(document)})


def raised_floor(trust: VerifiedTrust, script: str, version: int) -> Change:
    """Raise the lowest version of a script.

    Raises:
        UsageError: `floor-falls`; devices keep the highest floor they have seen.
    """
    floors = trust.floors
    if version < (now := floors.scripts.get(script, 0)):
        raise UsageError("floor-falls", f"the floor of {script[:100]} is {now}; it only rises")
    document = msgspec.structs.replace(floors, scripts=floors.scripts | {script: version})
    return Change({FLOORS_PATH: encode_document(document)})


def deprecated(
    trust: VerifiedTrust, script: str, version: int | None, reason: str, successor: str | None
) -> Change:
    """Say of a script (or a version of it) that it should not be used; the last word counts."""
    at = format_instant(datetime.now(UTC).replace(microsecond=0))
    entry = Deprecation(script=script, version=version, reason=reason, successor=successor, at=at)
    return _with_deprecations(trust, script, version, [entry])


def not_deprecated(trust: VerifiedTrust, script: str, version: int | None) -> Change:
    """Take back what `deprecated` said, of exactly this version or of all."""
    return _with_deprecations(trust, script, version, [])


def _with_deprecations(
    trust: VerifiedTrust, script: str, version: int | None, entries: list[Deprecation]
) -> Change:
    kept = [
        one
        for one in trust.deprecations.deprecated
        if (one.script, one.version) != (script, version)
    ]
    document = msgspec.structs.replace(trust.deprecations, deprecated=[*kept, *entries])
    return Change({DEPRECATIONS_PATH: encode_document(document)})


def placed(trust: VerifiedTrust, groups: Mapping[str, str]) -> Change:
    """Put devices into groups, whatever groups they were in.

    Args:
        trust: verified metadata.
        groups: by device id; whoever signs this vouches for the keys that the ids are hashes of.
    """
    placements = trust.placements
    document = msgspec.structs.replace(placements, groups={**placements.groups, **groups})
    return Change({PLACEMENTS_PATH: encode_document(document)})


def with_roster(trust: VerifiedTrust, operators: list[Operator]) -> Change:
    """Replace the roster; whoever is an admin in it may sign root and targets, and nobody else.

    Raises:
        UsageError: `usage` for a roster that devices refuse, which would stop everything.
        FarhandError: `last-admin`; `threshold-unreachable` when too few admins would be left.
    """
    before, after = admin_keys(trust.roster.operators), admin_keys(operators)
    if not after:
        raise FarhandError("last-admin", "the roster needs at least one admin")
    body = encode_document(Roster(tenant=trust.roster.tenant, operators=operators))
    try:
        decode_document(body, Roster)
    except FarhandError as error:
        raise UsageError("usage", error.message) from error
    threshold = trust.root.signed.roles["targets"].threshold
    if threshold > 1:
        check_people(decode_document(body, Roster), threshold)
    root = None
    if before != after:
        root = set_admin_keys(trust, sorted(after - before), sorted(before - after))
    return Change({ROSTER_PATH: body}, root)


def admin_keys(operators: list[Operator]) -> set[bytes]:
    """Return the keys of everybody who is an admin."""
    return {key for one in operators if "admin" in one.permissions for key in one.keys}


def lost_keys(trust: VerifiedTrust, names: Collection[str]) -> set[bytes]:
    """Return every key of these people.

    Raises:
        FarhandError: `operator-unknown`.
    """
    keys: set[bytes] = set()
    for name in names:
        operator = trust.roster.find(name)
        if operator is None:
            raise FarhandError("operator-unknown", f"{name[:80]!r} is not in the roster")
        keys.update(operator.keys)
    return keys


def new_admin_key(
    trust: VerifiedTrust, name: str, key: bytes, *, instead_of: Collection[bytes]
) -> Change:
    """Give the admin `name` a key, and take these others away from everybody.

    Whoever is left without a key leaves the roster.  A name that the roster does not know, or that
    is no admin's, gets every permission: the ceremony is allowed by a root key, not by the roster.

    Raises:
        FarhandError: `key-taken` when the key is somebody else's.
    """
    holder = trust.roster.holder(key)
    if holder is not None and holder.name != name:
        raise FarhandError("key-taken", f"this key belongs to {holder.name!r} already")
    operators = []
    for one in trust.roster.operators:
        keys = [known for known in one.keys if known not in instead_of]
        if one.name != name and keys:
            operators.append(msgspec.structs.replace(one, keys=keys))
    own = trust.roster.find(name)
    if own is None or "admin" not in own.permissions:
        permissions = [*PERMISSIONS, "session:*@*"]
        own = Operator(name=name, keys=own.keys if own else [], permissions=permissions, tier=3)
    keys = [known for known in own.keys if known not in instead_of and known != key]
    operators.append(msgspec.structs.replace(own, keys=[*keys, key]))
    return with_roster(trust, operators)


def new_recovery_key(trust: VerifiedTrust, key: bytes) -> Change:
    """Put a recovery key into the place of the one there was."""
    return Change({}, set_recovery_key(trust, key))
