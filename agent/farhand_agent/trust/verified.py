"""The device's verified copy of what the trust root says; light enough for the resident agent.

`trust/verified.json` is written by the child process that checked it (farhand_agent.trust.update)
and by nothing else; it stays in force until a later copy was verified in full.  Target files lie in
`trust/targets/` under their SHA-256, so that a half-finished update never disturbs what is in
force, and every read compares the hash again.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

from farhand_agent.config import Home, Settings, read_limited
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant
from farhand_protocol.placements import Placements
from farhand_protocol.trust import Floors, Policy, Revocations, Roster

__all__ = [
    "MAX_TARGET_BYTES",
    "ReleaseEntry",
    "TargetEntry",
    "Verified",
    "current_group",
    "load_verified",
    "read_target",
]

MAX_TARGET_BYTES = 4 * 1024 * 1024
_MAX_VERIFIED_BYTES = 16 * 1024 * 1024


class TargetEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verified target file."""

    sha256: str
    size_bytes: int


class ReleaseEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release of the agent that enough people approved; its file comes when it is ordered."""

    sha256: str
    size_bytes: int
    author: str
    approvers: list[str]


class Verified(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """verified.json; the expiry times are those of the metadata files, RFC 3339.

    `placements` is None where no admin has moved any device yet.  `releases` holds, by target path,
    those that the roster and the policy of these very targets approve.
    """

    format: Literal[1]
    root_version: int
    targets_version: int
    snapshot_version: int
    timestamp_version: int
    root_expires: str
    targets_expires: str
    snapshot_expires: str
    timestamp_expires: str
    roster: Roster
    policy: Policy
    revocations: Revocations
    floors: Floors
    targets: dict[str, TargetEntry]
    placements: Placements | None = None
    releases: dict[str, ReleaseEntry] = msgspec.field(default_factory=dict)

    def is_expired(self, now: datetime) -> bool:
        """Whether the offline parts (root, targets) have expired: nothing may be done."""
        return now >= min(parse_instant(self.root_expires), parse_instant(self.targets_expires))

    def revokes(self, device: str) -> bool:
        """Whether the organisation revoked this device's key: it may do nothing any more."""
        return any(
            one.kind == "device" and one.subject == device for one in self.revocations.revoked
        )

    def is_stale(self, now: datetime) -> bool:
        """Whether the online parts have expired: only reading (R0) may be done."""
        return now >= min(
            parse_instant(self.timestamp_expires), parse_instant(self.snapshot_expires)
        )


def current_group(settings: Settings, trust: Verified | None) -> str:
    """Return the group this device is in: the one it enrolled with, or where an admin moved it."""
    if trust is None or trust.placements is None:
        return settings.group
    return trust.placements.group_of(settings.device, settings.group)


def load_verified(home: Home) -> Verified | None:
    """Return the verified copy, or None when there is none yet.

    Raises:
        FarhandError: `trust-damaged` when the file is there and cannot be read.
    """
    path = home.trust / "verified.json"
    try:
        return msgspec.json.decode(read_limited(path, _MAX_VERIFIED_BYTES), type=Verified)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise FarhandError(
            "trust-damaged",
            "the verified trust copy cannot be read",
            hint="remove trust/verified.json; the agent fetches and verifies it again",
            detail=str(error),
        ) from error


def read_target(home: Home, trust: Verified, path: str) -> bytes | None:
    """Return a verified target by its TUF path, or None when the root does not know it.

    Raises:
        FarhandError: `target-damaged` when the file on disk is not the one that was verified.
    """
    entry = trust.targets.get(path)
    if entry is None:
        return None
    try:
        data = read_limited(home.trust / "targets" / entry.sha256, MAX_TARGET_BYTES)
    except OSError as error:
        raise FarhandError(
            "target-damaged", "a verified file is missing on this device", detail=str(error)
        ) from error
    if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise FarhandError("target-damaged", "a verified file was changed on this device")
    return data
