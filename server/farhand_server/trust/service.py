"""Stores and serves the organisation's trust metadata, and keeps the online files fresh.

The relay is a shelf here: root and targets come signed from admins (`publication` checks them),
devices and consoles verify everything by themselves.  `fetch` serves both HTTP and the link.  Each
change is published on the bus as `trust.{tenant}`, body: the timestamp version as decimal digits.

Files: `N.root.json`, `N.targets.json`, `N.snapshot.json`, `timestamp.json`; targets under their
consistent names (`manifests/check.dns/DIGEST.1.json`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from tuf.api.metadata import Metadata, Root, Targets

from farhand_protocol.errors import FarhandError
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.placements import PLACEMENTS_PATH
from farhand_protocol.releases import RELEASES_ROLE
from farhand_protocol.trust import ROSTER_PATH, Document, Roster, decode_document
from farhand_server.clock import stamp
from farhand_server.relay import Relay
from farhand_server.store.schema import tenants, trust_metadata, trust_targets
from farhand_server.trust.online import SNAPSHOT_TTL, TIMESTAMP_TTL, OnlineSigner, online_key
from farhand_server.trust.placements import place_devices
from farhand_server.trust.publication import (
    check_files,
    check_root,
    check_targets,
    invalid,
    read_metadata,
)
from farhand_server.trust.releases import (
    audit_releases,
    check_published,
    check_releases,
    draft_of,
    forget_draft,
    keep_draft,
    release_piece,
    sign_draft,
    store_piece,
)

__all__ = ["Pinned", "TrustService", "TrustStatus", "make_trust", "no_trust_root"]

_log = logging.getLogger(__name__)

_VERSIONED = re.compile(r"([1-9][0-9]{0,8})\.(root|targets|snapshot|releases)\.json\Z")
_TARGET = re.compile(r"((?:[^/]+/)*)([0-9a-f]{64})\.([^/]+)\Z")
_CHECK_EVERY_S = 600.0
_CACHE_BYTES = 32 * 1024 * 1024
_SNAPSHOTS_KEPT = 20

D = TypeVar("D", bound=Document)


class TrustStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored; versions are 0 where there is nothing. `online_key` is the relay's, raw."""

    root_version: int
    targets_version: int
    snapshot_version: int
    timestamp_version: int
    online_key: bytes
    expires: dict[str, str]


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """What an enrolment token pins."""

    root_version: int
    root_sha256: bytes
    targets_version: int


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    body: bytes
    expires_at: str


def no_trust_root() -> FarhandError:
    """Return `no-trust-root`."""
    return FarhandError(
        "no-trust-root",
        "this organisation has no trust root yet",
        hint="an admin makes one with: farhand trust init",
    )


def make_trust(relay: Relay) -> TrustService:
    """Return the relay's trust service."""
    return TrustService(relay)


class TrustService:
    """The trust metadata of one tenant."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._online = OnlineSigner(relay.signer)
        self._cache: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._cached_bytes = 0

    # Reading.

    async def fetch(
        self, kind: Literal["metadata", "target"], name: str, offset: int = 0
    ) -> tuple[int, bytes]:
        """Return the whole length and the piece at `offset`, at most `TRUST_CHUNK_BYTES`.

        (-1, b"") means that there is no such file.
        """
        if kind == "target" and name.startswith(f"{RELEASES_ROLE}/"):
            return await release_piece(self._relay, name, offset)
        body = await self.file(kind, name)
        if body is None or offset < 0:
            return -1, b""
        return len(body), body[offset : offset + TRUST_CHUNK_BYTES]

    async def file(self, kind: Literal["metadata", "target"], name: str) -> bytes | None:
        """Return a whole file, or None."""
        if (cached := self._cache.get((kind, name))) is not None:
            self._cache.move_to_end((kind, name))
            return cached
        async with self._relay.db.read() as c:
            if kind == "target":
                body = await self._target_file(c, name)
            elif name == "timestamp.json":
                newest = await self._newest(c, "timestamp")
                return newest.body if newest else None  # the only name whose content changes
            else:
                body = await self._metadata_file(c, name)
        if body is not None:
            self._remember((kind, name), body)
        return body

    def _remember(self, key: tuple[str, str], body: bytes) -> None:
        # A root change reaches every device at once; the same few files are read over and over.
        if key in self._cache or len(body) > _CACHE_BYTES // 4:
            return
        self._cache[key] = body
        self._cached_bytes += len(body)
        while self._cached_bytes > _CACHE_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])

    async def _metadata_file(self, c: AsyncConnection, name: str) -> bytes | None:
        match = _VERSIONED.match(name)
        if match is None:
            return None
        return await c.scalar(
            select(trust_metadata.c.body).where(
                trust_metadata.c.tenant == self._relay.tenant,
                trust_metadata.c.role == match[2],
                trust_metadata.c.version == int(match[1]),
            )
        )

    async def _target_file(self, c: AsyncConnection, name: str) -> bytes | None:
        match = _TARGET.match(name)
        if match is None:
            return None
        return await c.scalar(
            select(trust_targets.c.body).where(
                trust_targets.c.tenant == self._relay.tenant,
                trust_targets.c.sha256 == match[2],
                trust_targets.c.path == match[1] + match[3],
            )
        )

    async def status(self, c: AsyncConnection) -> TrustStatus:
        """Return the newest version and expiry of each role."""
        files = {
            role: await self._newest(c, role)
            for role in ("root", "targets", "snapshot", "timestamp")
        }
        versions = {f"{role}_version": file.version if file else 0 for role, file in files.items()}
        return TrustStatus(
            **versions,
            online_key=self._relay.signer.public_key,
            expires={role: file.expires_at for role, file in files.items() if file},
        )

    async def timestamp_version(self) -> int:
        """Return the newest timestamp version, 0 without one (for Welcome and TrustNotice)."""
        async with self._relay.db.read() as c:
            newest = await self._newest(c, "timestamp")
        return newest.version if newest else 0

    async def pinned(self, c: AsyncConnection) -> Pinned:
        """Return what a new enrolment token must pin.

        Raises:
            FarhandError: `no-trust-root` without root or targets.
        """
        root, targets = await self._newest(c, "root"), await self._newest(c, "targets")
        if root is None or targets is None:
            raise no_trust_root()
        return Pinned(
            root_version=root.version,
            root_sha256=hashlib.sha256(root.body).digest(),
            targets_version=targets.version,
        )

    async def document(self, c: AsyncConnection, path: str, kind: type[D]) -> D | None:
        """Return a trust document (roster, policy...) as the newest targets name it.

        It was verified when it was stored; on the relay it serves the first lock only.
        """
        newest = await self._newest(c, "targets")
        if newest is None:
            return None
        target = read_metadata(newest.body, Targets).signed.targets.get(path)
        if target is None:
            return None
        body = await c.scalar(
            select(trust_targets.c.body).where(
                trust_targets.c.tenant == self._relay.tenant,
                trust_targets.c.sha256 == target.hashes["sha256"],
                trust_targets.c.path == path,
            )
        )
        return decode_document(body, kind) if body is not None else None

    async def roster(self, c: AsyncConnection) -> Roster:
        """Return the roster.

        Raises:
            FarhandError: `no-trust-root` where there is none.
        """
        found = await self.document(c, ROSTER_PATH, Roster)
        if found is None:
            raise no_trust_root()
        return found

    # Drafts of releases.

    async def draft(self) -> bytes | None:
        """Return the draft of the next releases, None where there is none."""
        async with self._relay.db.read() as c:
            return await draft_of(c, self._relay)

    async def add_piece(self, path: str, sha256: str, offset: int, body: bytes) -> None:
        """Keep a part of a release's file; raises `trust-invalid`."""
        async with self._relay.db.write() as c:
            await self._lock(c)  # what is published must not become so behind our back
            newest = await self._newest(c, RELEASES_ROLE)
            await store_piece(
                c,
                self._relay,
                published=newest.body if newest else None,
                path=path,
                sha256=sha256,
                offset=offset,
                body=body,
            )

    async def add_draft(self, body: bytes, actor: str) -> None:
        """Keep a draft, signed by its author; raises as `keep_draft`, and `no-trust-root`."""
        async with self._relay.db.write() as c:
            await self._lock(c)
            roster, newest = await self.roster(c), await self._newest(c, RELEASES_ROLE)
            published = (newest.version, newest.body) if newest else (0, None)
            await keep_draft(c, self._relay, body, published=published, roster=roster, actor=actor)

    async def sign_draft(self, body: bytes, actor: str) -> None:
        """Add a signature to the draft; raises as `releases.sign_draft`, and `no-trust-root`."""
        async with self._relay.db.write() as c:
            await self._lock(c)
            roster = await self.roster(c)
            await sign_draft(c, self._relay, body, roster=roster, actor=actor)

    async def publish_releases(self, body: bytes, actor: str) -> None:
        """Take the role over as the newest targets delegate it, and tell everybody.

        Raises:
            FarhandError: `trust-conflict`, `trust-invalid`, `no-trust-root`.
        """
        now = self._relay.now()
        async with self._relay.db.write() as c:
            await self._lock(c)
            root, targets = await self._newest(c, "root"), await self._newest(c, "targets")
            if root is None or targets is None:
                raise no_trust_root()
            metadata = read_metadata(targets.body, Targets)
            before = await self._newest(c, RELEASES_ROLE)
            published = (before.version, before.body) if before else (0, None)
            role = check_releases(body, metadata.signed, published)
            await check_published(c, self._relay, role, published[1])
            await self._store(c, RELEASES_ROLE, role, body)
            await forget_draft(c, self._relay)
            signed = read_metadata(root.body, Root).signed
            await self._sign_online(c, signed, metadata, targets.body, now)
            await audit_releases(c, self._relay, role, actor, "release.publish")
            version = (await self.status(c)).timestamp_version
        await self._notify(version)

    # Writing.

    async def publish(
        self,
        *,
        root: bytes | None,
        targets: bytes | None,
        files: Mapping[str, bytes],
        actor: str,
    ) -> TrustStatus:
        """Check and store an upload, sign the online files anew, and tell everybody.

        All or nothing.

        Raises:
            FarhandError: `trust-invalid`, `trust-conflict`, `no-trust-root`.
        """
        if root is None and targets is None:
            raise invalid("there is neither root nor targets in the upload")
        if targets is None and files:
            raise invalid("files come with the targets that name them")
        now = self._relay.now()
        async with self._relay.db.write() as c:
            await self._lock(c)
            old = await self._newest(c, "root")
            current = read_metadata(old.body, Root).signed if old else None
            if root is not None:
                checked = check_root(
                    root, current, relay_key=self._relay.signer.public_key, now=now
                )
                await self._store(c, "root", checked, root)
                current = checked.signed
            if current is None:
                raise no_trust_root()
            await self._publish_targets(c, current, targets, files, now)
            status = await self.status(c)
            await self._relay.audit.append(
                c,
                actor=actor,
                action="trust.publish",
                subject=f"root {status.root_version}, targets {status.targets_version}",
                detail={"files": sorted(files), "root": root is not None},
            )
        await self._notify(status.timestamp_version)
        return status

    async def _publish_targets(
        self,
        c: AsyncConnection,
        root: Root,
        targets: bytes | None,
        files: Mapping[str, bytes],
        now: datetime,
    ) -> None:
        newest = await self._newest(c, "targets")
        if targets is None:
            if newest is None:
                return
            # The root changed under them: they must still hold.
            body = newest.body
            metadata = read_metadata(body, Targets)
            check_targets(body, root, newest.version - 1, now=now)
        else:
            body = targets
            metadata = check_targets(body, root, newest.version if newest else 0, now=now)
            new = check_files(metadata.signed, files, await self._stored(c))
            for (sha256, path), content in new.items():
                await self._store_target(c, sha256, path, content)
                if path == PLACEMENTS_PATH:
                    await place_devices(c, self._relay.tenant, content)
            await self._store(c, "targets", metadata, body)
        await self._sign_online(c, root, metadata, body, now)

    async def refresh_if_due(self) -> bool:
        """Sign the online files anew when half their life is over; tell whether it was done."""
        now = self._relay.now()
        async with self._relay.db.read() as c:
            if not await self._due(c, now):
                return False
        async with self._relay.db.write() as c:
            await self._lock(c)
            due = await self._due(c, now)  # another node may have been first
            root, targets = await self._newest(c, "root"), await self._newest(c, "targets")
            if not due or root is None or targets is None:
                return False
            root_signed = read_metadata(root.body, Root).signed
            online_key(root_signed, self._relay.signer.public_key)
            if due == "snapshot":
                metadata = read_metadata(targets.body, Targets)
                await self._sign_online(c, root_signed, metadata, targets.body, now)
            else:
                await self._sign_timestamp(c, root_signed, now)
            version = (await self.status(c)).timestamp_version
        await self._notify(version)
        return True

    async def _due(self, c: AsyncConnection, now: datetime) -> str:
        snapshot = await self._newest(c, "snapshot")
        timestamp = await self._newest(c, "timestamp")
        if snapshot is None or timestamp is None:
            return ""
        if snapshot.expires_at < stamp(now + SNAPSHOT_TTL / 2):
            return "snapshot"
        return "timestamp" if timestamp.expires_at < stamp(now + TIMESTAMP_TTL / 2) else ""

    async def keep_fresh(self) -> None:
        """Call `refresh_if_due` for as long as the relay runs."""
        while True:
            try:
                if await self.refresh_if_due():
                    _log.info("trust: snapshot or timestamp signed anew")
            except FarhandError as error:
                # A busy database or a root without this relay's key: devices keep what they
                # verified, and the next round tries again.
                _log.warning("trust: not signed anew: %s", error)
            await asyncio.sleep(_CHECK_EVERY_S)

    async def _sign_online(
        self, c: AsyncConnection, root: Root, targets: Metadata[Targets], body: bytes, now: datetime
    ) -> None:
        newest = await self._newest(c, "snapshot")
        version = newest.version + 1 if newest else 1
        releases = await self._newest(c, RELEASES_ROLE)
        snapshot = self._online.snapshot(
            root,
            targets,
            body,
            version=version,
            now=now,
            releases_version=releases.version if releases else 0,
        )
        await self._store(c, "snapshot", Metadata.from_bytes(snapshot), snapshot)
        await c.execute(
            delete(trust_metadata).where(
                trust_metadata.c.tenant == self._relay.tenant,
                trust_metadata.c.role == "snapshot",
                trust_metadata.c.version <= version - _SNAPSHOTS_KEPT,
            )
        )
        await self._sign_timestamp(c, root, now)

    async def _sign_timestamp(self, c: AsyncConnection, root: Root, now: datetime) -> None:
        snapshot = await self._newest(c, "snapshot")
        newest = await self._newest(c, "timestamp")
        if snapshot is None:
            raise invalid("there is no snapshot to stamp")
        version = newest.version + 1 if newest else 1
        body = self._online.timestamp(
            root, snapshot.version, snapshot.body, version=version, now=now
        )
        await self._store(c, "timestamp", Metadata.from_bytes(body), body)
        await c.execute(
            delete(trust_metadata).where(
                trust_metadata.c.tenant == self._relay.tenant,
                trust_metadata.c.role == "timestamp",
                trust_metadata.c.version < version,
            )
        )

    # Rows.

    async def _lock(self, c: AsyncConnection) -> None:
        """Let one publisher at a time in, across nodes."""
        await c.execute(
            select(tenants.c.id).where(tenants.c.id == self._relay.tenant).with_for_update()
        )

    async def _newest(self, c: AsyncConnection, role: str) -> _File | None:
        row = (
            await c.execute(
                select(trust_metadata)
                .where(trust_metadata.c.tenant == self._relay.tenant, trust_metadata.c.role == role)
                .order_by(trust_metadata.c.version.desc())
                .limit(1)
            )
        ).first()
        if row is None:
            return None
        return _File(version=row.version, body=row.body, expires_at=row.expires_at)

    async def _stored(self, c: AsyncConnection) -> set[tuple[str, str]]:
        rows = await c.execute(
            select(trust_targets.c.sha256, trust_targets.c.path).where(
                trust_targets.c.tenant == self._relay.tenant
            )
        )
        return {(row.sha256, row.path) for row in rows}

    async def _store(
        self, c: AsyncConnection, role: str, metadata: Metadata[Any], body: bytes
    ) -> None:
        expires = metadata.signed.expires
        aware = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
        await c.execute(
            insert(trust_metadata).values(
                tenant=self._relay.tenant,
                role=role,
                version=metadata.signed.version,
                body=body,
                sha256=hashlib.sha256(body).hexdigest(),
                expires_at=stamp(aware),
                created_at=self._relay.stamp(),
            )
        )

    async def _store_target(self, c: AsyncConnection, sha256: str, path: str, body: bytes) -> None:
        held = await c.scalar(
            select(trust_targets.c.path).where(
                trust_targets.c.tenant == self._relay.tenant,
                trust_targets.c.sha256 == sha256,
                trust_targets.c.path == path,
            )
        )
        if held is None:
            await c.execute(
                insert(trust_targets).values(
                    tenant=self._relay.tenant,
                    sha256=sha256,
                    path=path,
                    body=body,
                    created_at=self._relay.stamp(),
                )
            )

    async def _notify(self, version: int) -> None:
        try:
            await self._relay.bus.publish(f"trust.{self._relay.tenant}", b"%d" % version)
        except FarhandError as error:
            # It is stored; devices hear of it at their next link.
            _log.warning("trust: no notice sent: %s", error)
