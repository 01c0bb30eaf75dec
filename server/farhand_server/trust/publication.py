"""Checks what an admin uploads against the trust that is stored, before any of it is.

The relay's check is the first lock and an early, plain error; devices and consoles check everything
again and would not take what the relay let pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization import DeserializationError

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.trust.online import online_key

__all__ = [
    "check_files",
    "check_root",
    "check_targets",
    "conflict",
    "invalid",
    "read_metadata",
    "target_name",
]

_TARGET = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*\Z")
_MAX_PATH = 200

S = TypeVar("S", Root, Targets)


def invalid(message: str, detail: str | None = None) -> FarhandError:
    """Return `trust-invalid`."""
    return UsageError("trust-invalid", message, detail=detail)


def conflict(role: str, expected: int, got: int) -> FarhandError:
    """Return `trust-conflict`: somebody else published in between."""
    return FarhandError(
        "trust-conflict",
        f"the next {role} version is {expected}, and this is {got}",
        hint="fetch the newest trust metadata and sign again",
    )


def read_metadata(body: bytes, kind: type[S]) -> Metadata[S]:
    """Parse a metadata file; raises `trust-invalid`."""
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(body)
    except (DeserializationError, RecursionError) as error:
        raise invalid(f"the {kind.type} metadata cannot be read", str(error)) from error
    if not isinstance(metadata.signed, kind):
        raise invalid(f"this is not {kind.type} metadata")
    return metadata


def _verify(by: Root, role: str, metadata: Metadata[Any], words: str) -> None:
    try:
        by.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise invalid(words, str(error)) from error


def _in_future(metadata: Metadata[Any], now: datetime) -> None:
    if metadata.signed.is_expired(now):
        raise invalid(f"the {metadata.signed.type} metadata has expired")


def check_root(
    body: bytes, current: Root | None, *, relay_key: bytes, now: datetime
) -> Metadata[Root]:
    """Check a new root: the first one, or the next one signed by the current one's keys too.

    Args:
        body: the uploaded file.
        current: the stored root; None while there is none.
        relay_key: must hold the online roles.
        now: for expiry.

    Raises:
        FarhandError: `trust-conflict`, `trust-invalid`.
    """
    metadata = read_metadata(body, Root)
    root = metadata.signed
    expected = current.version + 1 if current is not None else 1
    if root.version != expected:
        raise conflict("root", expected, root.version)
    if current is not None:
        _verify(current, "root", metadata, "too few keys of the current root signed this one")
    _verify(root, "root", metadata, "the root is not signed by enough of its own keys")
    _in_future(metadata, now)
    if not root.consistent_snapshot:
        raise invalid("the root does not ask for consistent snapshots")
    online_key(root, relay_key)
    return metadata


def check_targets(
    body: bytes, root: Root, current_version: int, *, now: datetime
) -> Metadata[Targets]:
    """Check new targets metadata, signed through the root's targets role.

    Raises:
        FarhandError: `trust-conflict`, `trust-invalid`.
    """
    metadata = read_metadata(body, Targets)
    if metadata.signed.version != current_version + 1:
        raise conflict("targets", current_version + 1, metadata.signed.version)
    _verify(root, "targets", metadata, "the targets are not signed by enough targets keys")
    _in_future(metadata, now)
    return metadata


def check_files(
    targets: Targets, files: Mapping[str, bytes], stored: set[tuple[str, str]]
) -> dict[tuple[str, str], bytes]:
    """Check that every target is there, and return the new ones as {(sha256, path): body}.

    Args:
        targets: the new targets.
        files: what was uploaded, by path.
        stored: (sha256, path) of what the relay holds already.

    Raises:
        FarhandError: `trust-invalid`.
    """
    new: dict[tuple[str, str], bytes] = {}
    for path, target in targets.targets.items():
        if not _TARGET.match(path) or len(path) > _MAX_PATH:
            raise invalid(f"{path[:80]!r} is not a target path")
        sha256 = target.hashes.get("sha256", "")
        body = files.get(path)
        if body is None:
            if (sha256, path) not in stored:
                raise invalid(f"the file of target {path} is missing")
            continue
        if len(body) != target.length or hashlib.sha256(body).hexdigest() != sha256:
            raise invalid(f"the file of target {path} is not the one that was signed")
        new[(sha256, path)] = body
    unnamed = files.keys() - targets.targets.keys()
    if unnamed:
        raise invalid(f"the targets do not name {min(unnamed)[:80]!r}")
    return new


def target_name(sha256: str, path: str) -> str:
    """Return the name under which a client fetches a target (TUF spec s6.2)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{sha256}.{name}"
