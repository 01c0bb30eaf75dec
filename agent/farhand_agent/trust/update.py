"""The trust update: a child process that checks new metadata with python-tuf, once per change.

It speaks frames (farhand_agent.child) with its parent, which owns the link and knows no TUF:

    parent -> {"trust", "tenant", "root", "targets_floor", "now"}      the request
    child  -> {"fetch": {"kind", "name", "offset"}}    parent -> {"total", "body"}      any number
    child  -> {"done": {versions}}  or  {"error": {...}}

`root` is the pinned root's bytes, already checked against the token's SHA-256.  Only after the
whole TUF workflow, the version floor and every document were checked is `verified.json` replaced;
any failure leaves the copy that is in force.  Revocations are only added to and floors only rise,
whatever the new documents say; `groups.json` is there once a device was moved, and then for good.
Target files are kept by hash; those no longer named are removed.  Releases of the agent stand in a
role that the targets delegate (`trust.releases`); what is wrong with it costs the releases alone.

Run as `python -m farhand_agent.trust.update`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from farhand_agent.config import write_atomically
from farhand_agent.frames import error_fields, read_frame, write_frame
from farhand_agent.trust.releases import approved_releases
from farhand_agent.trust.verified import MAX_TARGET_BYTES, TargetEntry, Verified
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.instants import format_instant, parse_instant
from farhand_protocol.placements import PLACEMENTS_PATH, Placements, check_placements
from farhand_protocol.trust import (
    FLOORS_PATH,
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Document,
    Floors,
    Policy,
    Revocations,
    Roster,
    decode_document,
)

__all__ = ["update"]

MAX_TARGETS = 5_000
MAX_TOTAL_BYTES = 256 * 1024 * 1024
_WANTED = re.compile(
    r"(?:roster|policy|revocations|floors|groups)\.json\Z"
    r"|manifests/[a-z][a-z0-9.-]{0,99}/[0-9]{1,10}\.json\Z|scripts/[0-9a-f]{64}\Z"
)
_BASE = "https://trust.invalid"

D = TypeVar("D", bound=Document)


class ParentFetcher(FetcherInterface):
    """Asks the parent for every file; the names alone say what is wanted."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def _fetch(self, url: str) -> Iterator[bytes]:
        kind, _, name = url.removeprefix(f"{_BASE}/").partition("/")
        total, piece = self._piece(kind, name, 0)
        if total < 0:
            raise exceptions.DownloadHTTPError(f"{name} is not there", 404)
        return self._pieces(kind, name, total, piece)

    def _pieces(self, kind: str, name: str, total: int, piece: bytes) -> Iterator[bytes]:
        offset = len(piece)
        yield piece
        while offset < total:
            again, piece = self._piece(kind, name, offset)
            if again != total or not piece:
                raise exceptions.DownloadError(f"{name} changed while it was fetched")
            offset += len(piece)
            yield piece

    def _piece(self, kind: str, name: str, offset: int) -> tuple[int, bytes]:
        write_frame(self._sink, {"fetch": {"kind": kind, "name": name, "offset": offset}})
        match read_frame(self._source):
            case {"total": int(total), "body": bytes(body)}:
                return total, body
            case _:
                raise exceptions.DownloadError("the parent gave no answer")


class _Request(msgspec.Struct):
    trust: str
    tenant: str
    root: bytes
    targets_floor: int
    now: str


def update(request: dict[str, Any], fetcher: FetcherInterface) -> dict[str, Any]:
    """Run one update and return the versions now in force.

    Args:
        request: as in the module's text.
        fetcher: where files come from.

    Raises:
        RemoteError: one of the trust codes; the old copy stays in force.
    """
    wanted = msgspec.convert(request, _Request)
    folder, now = Path(wanted.trust), parse_instant(wanted.now)
    for name in ("metadata", "targets"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        updater = Updater(
            str(folder / "metadata"),
            f"{_BASE}/metadata",
            str(folder / "targets"),
            f"{_BASE}/target",
            fetcher,
            UpdaterConfig(targets_max_length=MAX_TARGET_BYTES),
            bootstrap=wanted.root,
        )
        updater.refresh()
        verified = _collect(updater, folder, wanted, now)
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise _translate(error) from error
    write_atomically(folder / "verified.json", msgspec.json.encode(verified, order="sorted"))
    _prune(folder / "targets", {entry.sha256 for entry in verified.targets.values()})
    return {
        "root_version": verified.root_version,
        "targets_version": verified.targets_version,
        "snapshot_version": verified.snapshot_version,
        "timestamp_version": verified.timestamp_version,
    }


def _collect(updater: Updater, folder: Path, wanted: _Request, now: datetime) -> Verified:
    metadata = folder / "metadata"
    # The Updater has just verified and written these four files itself.
    root = _signed(metadata / "root.json", Root)
    timestamp = _signed(metadata / "timestamp.json", Timestamp)
    snapshot = _signed(metadata / "snapshot.json", Snapshot)
    targets = _signed(metadata / "targets.json", Targets)
    if targets.version < wanted.targets_floor:
        raise RemoteError(
            "trust-rollback", "the relay serves older metadata than the enrolment token names"
        )
    _check_times(now, root, timestamp, snapshot, targets)
    old = _old(folder)
    entries = _download(updater, folder, targets)
    roster = _document(folder, entries, ROSTER_PATH, Roster, wanted.tenant)
    policy = _document(folder, entries, POLICY_PATH, Policy, wanted.tenant)
    revocations = _document(folder, entries, REVOCATIONS_PATH, Revocations, wanted.tenant)
    floors = _document(folder, entries, FLOORS_PATH, Floors, wanted.tenant)
    placements = _placements(folder, entries, old, wanted.tenant)
    if old is not None:
        kept = [one for one in old.revocations.revoked if one not in revocations.revoked]
        revocations = msgspec.structs.replace(revocations, revoked=[*kept, *revocations.revoked])
        floors = msgspec.structs.replace(
            floors,
            scripts={
                script: max(old.floors.scripts.get(script, 0), floors.scripts.get(script, 0))
                for script in old.floors.scripts | floors.scripts
            },
        )
    return Verified(
        format=1,
        root_version=root.version,
        targets_version=targets.version,
        snapshot_version=snapshot.version,
        timestamp_version=timestamp.version,
        root_expires=format_instant(root.expires),
        targets_expires=format_instant(targets.expires),
        snapshot_expires=format_instant(snapshot.expires),
        timestamp_expires=format_instant(timestamp.expires),
        roster=roster,
        policy=policy,
        revocations=revocations,
        floors=floors,
        targets=entries,
        placements=placements,
        releases=approved_releases(updater, metadata, targets, roster, policy, now),
    )


def _placements(
    folder: Path, entries: dict[str, TargetEntry], old: Verified | None, tenant: str
) -> Placements | None:
    """Return where admins moved devices; None where none was moved so far."""
    if PLACEMENTS_PATH not in entries:
        if old is not None and old.placements is not None:
            # Without it every moved device would fall back into the group that it left.
            raise RemoteError("trust-incomplete", f"the signed targets lack {PLACEMENTS_PATH} now")
        return None
    return check_placements(_document(folder, entries, PLACEMENTS_PATH, Placements, tenant))


def _signed(path: Path, kind: type[Any]) -> Any:
    signed = Metadata.from_file(str(path)).signed
    if not isinstance(signed, kind):
        raise exceptions.RepositoryError(f"{path.name} holds another role")
    return signed


def _check_times(
    now: datetime, root: Root, timestamp: Timestamp, snapshot: Snapshot, targets: Targets
) -> None:
    """Compare with the device's own highest time: the Updater knows only the present clock."""
    if now >= root.expires or now >= targets.expires:
        raise RemoteError("trust-expired", "the organisation's signed trust metadata has expired")
    if now >= timestamp.expires or now >= snapshot.expires:
        raise RemoteError("trust-stale", "the relay's trust timestamp has expired")


def _old(folder: Path) -> Verified | None:
    try:
        return msgspec.json.decode((folder / "verified.json").read_bytes(), type=Verified)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError):
        # A damaged copy is replaced by the one just verified; what it revoked is in the new one
        # too, because signed revocations are only ever added to.
        return None


def _download(updater: Updater, folder: Path, targets: Targets) -> dict[str, TargetEntry]:
    wanted = {path: info for path, info in targets.targets.items() if _WANTED.match(path)}
    if len(wanted) > MAX_TARGETS or sum(i.length for i in wanted.values()) > MAX_TOTAL_BYTES:
        raise RemoteError("trust-too-large", "the organisation's targets are too many or too large")
    entries: dict[str, TargetEntry] = {}
    for path in sorted(wanted):
        info = updater.get_targetinfo(path)
        digest = info.hashes.get("sha256") if info else None
        if info is None or digest is None or info.length > MAX_TARGET_BYTES:
            raise RemoteError("trust-invalid", "a target has no SHA-256 or is too large")
        _fetch_target(updater, folder / "targets" / digest, info)
        entries[path] = TargetEntry(sha256=digest, size_bytes=info.length)
    return entries


def _fetch_target(updater: Updater, place: Path, info: TargetFile) -> None:
    if updater.find_cached_target(info, str(place)) is not None:
        return
    arriving = place.with_suffix(".part")
    updater.download_target(info, str(arriving))
    os.replace(arriving, place)


def _document(
    folder: Path, entries: dict[str, TargetEntry], path: str, kind: type[D], tenant: str
) -> D:
    entry = entries.get(path)
    if entry is None:
        raise RemoteError("trust-incomplete", f"the signed targets name no {path}")
    document = decode_document((folder / "targets" / entry.sha256).read_bytes(), kind)
    if document.tenant != tenant:
        raise RemoteError("trust-wrong-tenant", f"{path} belongs to another organisation")
    return document


def _prune(folder: Path, kept: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _translate(error: Exception) -> RemoteError:
    """Turn python-tuf's error into one of the trust codes."""
    match error:
        case exceptions.ExpiredMetadataError():
            online = str(error).startswith(("timestamp", "snapshot"))
            code, words = (
                ("trust-stale", "the relay's trust timestamp has expired")
                if online
                else ("trust-expired", "the organisation's signed trust metadata has expired")
            )
        case exceptions.BadVersionNumberError():
            code, words = "trust-rollback", "the relay serves older metadata than it did before"
        case exceptions.UnsignedMetadataError():
            code, words = "trust-signature", "trust metadata is not signed by enough of its keys"
        case exceptions.DownloadLengthMismatchError():
            code, words = "trust-too-large", "the relay sent more than the metadata allows"
        case exceptions.LengthOrHashMismatchError():
            code, words = "trust-mismatch", "the relay sent a file that is not the signed one"
        case exceptions.DownloadHTTPError():
            code, words = "trust-incomplete", "the relay lacks a file that the metadata names"
        case exceptions.DownloadError():
            code, words = "trust-unreachable", "trust metadata could not be fetched"
        case _:
            code, words = "trust-invalid", "trust metadata cannot be read or is not consistent"
    return RemoteError(code, words, detail=f"{type(error).__name__}: {error}")


def main() -> int:
    """Read the request, update, answer; returns the exit status."""
    logging.disable(logging.CRITICAL)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    source = sys.stdin.buffer
    try:
        request = read_frame(source)
        if request is None:
            return 1
        write_frame(sink, {"done": update(request, ParentFetcher(source, sink))})
    except FarhandError as error:
        write_frame(sink, {"error": error_fields(error)})
        return 1
    except OSError as error:
        failure = FarhandError(
            "trust-not-stored", "verified trust cannot be stored", detail=str(error)
        )
        write_frame(sink, {"error": error_fields(failure)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
