"""Changes to the trust root that more than one admin must sign, on their way from hand to hand.

    signed by the first admin    written into a file (`trust/proposals/` of the console's home)
    read by the next             checked against that admin's own verified trust, shown, signed
    signed by enough             uploaded as any other change

TUF counts keys, so where two signatures are asked for no admin may hold two keys (`check_people`).
The file holds finished metadata and the files that they name; whoever carries it can change nothing
in it.  It is good until another change is published: then the first admin makes it anew.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Targets
from tuf.api.serialization import DeserializationError

from farhand_console.home import write_private
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError
from farhand_protocol.trust import Roster

__all__ = [
    "Proposal",
    "check_people",
    "differences",
    "missing_signatures",
    "read_proposal",
    "read_signed",
    "write_proposal",
]

_MAX_BYTES = 64 * 1024 * 1024
T = TypeVar("T", Root, Targets)


class Proposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change as it would be uploaded: metadata files, and new targets by path."""

    root: bytes | None
    targets: bytes
    files: dict[str, bytes]


def missing_signatures(trust: VerifiedTrust, proposal: Proposal) -> int:
    """Return how many more admins must sign; 0 when it may be uploaded.

    A new root needs enough keys of the root before it, and of its own.
    """
    targets = read_signed(proposal.targets, Targets)
    present = trust.root.signed
    if proposal.root is None:
        return _missing(present, "targets", targets)
    root = read_signed(proposal.root, Root)
    return max(
        _missing(present, "root", root),
        _missing(root.signed, "root", root),
        _missing(root.signed, "targets", targets),
    )


def _missing(by: Root, role: str, metadata: Metadata[Any]) -> int:
    result = by.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    return max(0, result.threshold - len(result.signed))


def write_proposal(folder: Path, proposal: Proposal) -> Path:
    """Keep a proposal for the next admin, and return its file.

    Raises:
        FarhandError: `home-unwritable`.
    """
    version = read_signed(proposal.targets, Targets).signed.version
    path = folder / f"targets-{version}.json"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, msgspec.json.encode(proposal, order="sorted"))
    return path


def read_proposal(path: Path, trust: VerifiedTrust) -> Proposal:
    """Read a proposal and check that it is the next version of what this console has verified.

    Raises:
        FarhandError: `trust-invalid` when it cannot be read, contradicts itself or names files that
            are neither in it nor published; `trust-conflict` when something was published since.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        proposal = msgspec.json.decode(data[:_MAX_BYTES], type=Proposal)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FarhandError(
            "trust-invalid", f"{path} holds no proposal", detail=str(error)
        ) from error
    targets = read_signed(proposal.targets, Targets).signed
    _check_next(targets, trust.targets_version)
    if proposal.root is not None:
        _check_next(read_signed(proposal.root, Root).signed, trust.root.signed.version)
    present = trust.targets.signed.targets
    for name, info in targets.targets.items():
        body = proposal.files.get(name)
        try:
            if body is not None:
                info.verify_length_and_hashes(body)
            elif name not in present or present[name].to_dict() != info.to_dict():
                raise FarhandError("trust-invalid", f"the proposal lacks {name[:100]}")
        except RepositoryError as error:
            raise FarhandError(
                "trust-invalid", f"{name[:100]} is not the file that was signed"
            ) from error
    if proposal.files.keys() - targets.targets.keys():
        raise FarhandError("trust-invalid", "the proposal holds a file that nobody signed")
    return proposal


def _check_next(signed: Signed, present: int) -> None:
    if signed.version != present + 1:
        raise FarhandError(
            "trust-conflict",
            f"this proposes version {signed.version} of {signed.type}, and the next is "
            f"{present + 1}",
            hint="it was published already, or something else was: make the change anew",
        )


def read_signed(data: bytes, kind: type[T]) -> Metadata[T]:
    """Read root or targets metadata.

    Raises:
        FarhandError: `trust-invalid`.
    """
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (DeserializationError, RecursionError) as error:
        raise FarhandError(
            "trust-invalid", "the metadata cannot be read", detail=str(error)
        ) from error
    if not isinstance(metadata.signed, kind):
        raise FarhandError("trust-invalid", f"this is no {kind.type} metadata")
    return metadata


def differences(trust: VerifiedTrust, proposal: Proposal) -> list[str]:
    """Return what a proposal changes, as lines of a diff; everything, and nothing left out."""
    targets = read_signed(proposal.targets, Targets).signed
    lines: list[str] = []
    if proposal.root is not None:
        root = read_signed(proposal.root, Root).signed
        lines += _compared("root", _pretty(trust.root.signed.to_dict()), _pretty(root.to_dict()))
    lines += _compared("targets", _frame(trust.targets.signed), _frame(targets))
    before = trust.targets.signed.targets
    for name in sorted(before.keys() | targets.targets.keys()):
        if name not in targets.targets:
            lines.append(f"- {name} is removed")
        elif name in proposal.files:
            old = trust.read(name) if name in before else b""
            lines += _compared(name, _lines(old), _lines(proposal.files[name]))
    return lines


def _frame(targets: Targets) -> list[str]:
    """Return everything of targets metadata but the list of files, which is compared by itself."""
    fields = targets.to_dict()
    del fields["targets"]
    return _pretty(fields)


def _pretty(fields: Mapping[str, Any]) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted")).decode().splitlines()


def _lines(data: bytes) -> list[str]:
    try:
        return msgspec.json.format(data).decode().splitlines()
    except (msgspec.MsgspecError, ValueError):
        return data.decode(errors="backslashreplace").splitlines()


def _compared(name: str, old: list[str], new: list[str]) -> list[str]:
    return list(difflib.unified_diff(old, new, f"{name} now", f"{name} proposed", lineterm="", n=1))


def check_people(roster: Roster, count: int) -> None:
    """Check that so many signatures are those of as many admins.

    Raises:
        FarhandError: `threshold-unreachable` when there are fewer admins than that, or an admin
            with two keys could sign twice.
    """
    admins = [one for one in roster.operators if "admin" in one.permissions]
    if count > len(admins):
        raise FarhandError(
            "threshold-unreachable",
            f"{count} signatures need as many admins, and there are {len(admins)}",
            hint="farhand trust signatures 1, signed by the present number of admins",
        )
    twice = next((one.name for one in admins if len(one.keys) > 1), None)
    if count > 1 and twice is not None:
        raise FarhandError(
            "threshold-unreachable",
            f"{twice} holds two keys and could sign twice",
            hint="farhand trust rotate replaces a key; operator remove and add leave one",
        )
