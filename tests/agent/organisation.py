"""An organisation for the agent's tests: trust root, people, scripts, tokens and signed orders.

What it is: the admin's and the operator's side of trust, made with the same libraries that the
console uses (python-tuf, DSSE), held in memory. What it is not: a relay; `files` is what one would
serve, by the names that devices ask for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from farhand_protocol.envelopes import Envelope, encode_envelope, seal
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.orders import Order
from farhand_protocol.placements import PLACEMENTS_PATH, Placements
from farhand_protocol.releases import RELEASES_PATTERN, RELEASES_ROLE, authored, release_name
from farhand_protocol.tokens import EnrolmentToken, format_enrolment_token
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    FLOORS_PATH,
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Document,
    Floors,
    GroupPolicy,
    Operator,
    Policy,
    Revocation,
    Revocations,
    Roster,
    encode_document,
    manifest_path,
    script_path,
)

TENANT = "n-example234567"
PERMISSIONS = [
    "order",
    "author",
    "admin",
    "approve:read",
    "approve:change",
    "approve:destructive",
    "session:*@*",
]


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _tuf_key(public_key: bytes) -> SSlibKey:
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public_key))


def signer() -> SeedSigner:
    return SeedSigner(os.urandom(32))


@dataclass
class Organisation:
    """Change its fields, then `publish()`; `files` then serves the new metadata."""

    tenant: str = TENANT
    group: str = "default"
    targets_expire: timedelta = timedelta(days=30)
    snapshot_expire: timedelta = timedelta(days=7)
    timestamp_expire: timedelta = timedelta(days=1)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root_key = CryptoSigner(Ed25519PrivateKey.generate())
        self.online_key = CryptoSigner(Ed25519PrivateKey.generate())
        self.author, self.boss, self.second = signer(), signer(), signer()
        self.roster = Roster(
            tenant=self.tenant,
            operators=[
                Operator(name="ada", keys=[self.author.public_key], permissions=list(PERMISSIONS)),
                Operator(name="bo", keys=[self.boss.public_key], permissions=list(PERMISSIONS)),
                Operator(name="cy", keys=[self.second.public_key], permissions=list(PERMISSIONS)),
            ],
        )
        self.policy = Policy(
            tenant=self.tenant, approvals=dict(DEFAULT_APPROVALS), groups={"*": GroupPolicy()}
        )
        self.revocations = Revocations(tenant=self.tenant, revoked=[])
        self.floors = Floors(tenant=self.tenant, scripts={})
        self.placements: Placements | None = None
        self.targets: dict[str, bytes] = {}
        # Releases of the agent: path to (body, author), who signs the role, and for the authors.
        self.releases: dict[str, tuple[bytes, str]] = {}
        self.release_authors = {"ada": self.author, "bo": self.boss, "cy": self.second}
        self.release_signers = [self.boss, self.second]
        self.releases_expire = timedelta(days=90)
        self.version = 0
        self.root_version = 1
        self.publish_root()
        self.publish()

    # Trust.

    def publish_root(self, *, expires: datetime | None = None) -> None:
        root = Root(
            version=self.root_version,
            expires=expires or now() + timedelta(days=365),
            consistent_snapshot=True,
        )
        for role in ("root", "targets"):
            root.add_key(self.root_key.public_key, role)
        for role in ("snapshot", "timestamp"):
            root.add_key(self.online_key.public_key, role)
        assert isinstance(root.roles["root"], Role)
        self.pinned = self._sign(root, self.root_key)
        self.files["metadata", f"{self.root_version}.root.json"] = self.pinned

    def publish(
        self, *, version: int | None = None, leave_out: tuple[str, ...] = (), by: Any = None
    ) -> None:
        """Sign everything anew at the next version (or at a chosen one)."""
        self.version = version if version is not None else self.version + 1
        documents: dict[str, Document] = {
            ROSTER_PATH: self.roster,
            POLICY_PATH: self.policy,
            REVOCATIONS_PATH: self.revocations,
            FLOORS_PATH: self.floors,
        }
        if self.placements is not None:
            documents[PLACEMENTS_PATH] = self.placements
        bodies = {path: encode_document(document) for path, document in documents.items()}
        bodies |= self.targets
        for path in leave_out:
            bodies.pop(path)
        targets = Targets(version=self.version, expires=now() + self.targets_expire)
        for path, body in bodies.items():
            targets.targets[path] = TargetFile.from_data(path, body, ["sha256"])
            folder, slash, name = path.rpartition("/")
            digest = hashlib.sha256(body).hexdigest()
            self.files["target", f"{folder}{slash}{digest}.{name}"] = body
        if self.releases:
            self._sign_releases(targets)
        self.files["metadata", f"{self.version}.targets.json"] = self._sign(
            targets, by or self.root_key
        )
        self.sign_online()

    def _sign_releases(self, targets: Targets) -> None:
        """Delegate the role to everybody's keys, and sign it by `release_signers`."""
        keys: dict[str, Key] = {
            _tuf_key(key).keyid: _tuf_key(key) for key in self.roster.all_keys()
        }
        role = DelegatedRole(RELEASES_ROLE, list(keys), 2, True, paths=[RELEASES_PATTERN])
        targets.delegations = Delegations(keys, {RELEASES_ROLE: role})
        signed = Targets(version=self.version, expires=now() + self.releases_expire)
        for path, (body, author) in self.releases.items():
            info = TargetFile.from_data(path, body, ["sha256"])
            info.unrecognized_fields["custom"] = authored(
                author,
                self.release_authors.get(author, self.author),
                tenant=self.tenant,
                path=path,
                sha256=info.hashes["sha256"],
                size_bytes=info.length,
            )
            signed.targets[path] = info
            self.files["target", release_name(path, info.hashes["sha256"])] = body
        metadata = Metadata(signed)
        for one in self.release_signers:
            keyid = _tuf_key(one.public_key).keyid
            metadata.signatures[keyid] = Signature(keyid, one.sign(metadata.signed_bytes).hex())
        self.files["metadata", f"{self.version}.releases.json"] = metadata.to_bytes(
            JSONSerializer()
        )

    def sign_online(self) -> None:
        """Sign snapshot and timestamp, as a relay does on its own."""
        snapshot = Snapshot(
            version=self.version,
            expires=now() + self.snapshot_expire,
            meta={
                f"{role}.json": MetaFile(version=self.version)
                for role in ("targets", *([RELEASES_ROLE] if self.releases else []))
            },
        )
        self.files["metadata", f"{self.version}.snapshot.json"] = self._sign(
            snapshot, self.online_key
        )
        timestamp = Timestamp(
            version=self.version,
            expires=now() + self.timestamp_expire,
            snapshot_meta=MetaFile(version=self.version),
        )
        self.files["metadata", "timestamp.json"] = self._sign(timestamp, self.online_key)

    def _sign(self, signed: Any, key: CryptoSigner) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(key)
        return metadata.to_bytes(JSONSerializer())

    def read(self, kind: str, name: str) -> bytes | None:
        return self.files.get((kind, name))

    def revoke(self, kind: str, subject: str) -> None:
        one = Revocation(kind=kind, subject=subject, reason="test", at=format_instant(now()))  # type: ignore[arg-type]
        self.revocations = Revocations(tenant=self.tenant, revoked=[*self.revocations.revoked, one])

    def allow(self, **fields: Any) -> None:
        """Set the policy of every group."""
        self.policy = Policy(
            tenant=self.tenant,
            approvals=self.policy.approvals,
            groups={"*": GroupPolicy(**fields)},
        )

    # Scripts.

    def manifest(self, body: bytes, **fields: Any) -> Manifest:
        values: dict[str, Any] = {
            "tenant": self.tenant,
            "id": "check.test",
            "version": 1,
            "title": "A test",
            "description": "",
            "sha256": hashlib.sha256(body).hexdigest(),
            "size_bytes": len(body),
            "author": "ada",
            "platforms": ["linux"],
            "interpreter": "sh",
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
            "run_as": "agent",
            "risk": "R0",
            "timeout_s": 30,
            "max_output_bytes": 65_536,
            "sensitive": False,
            "detect": None,
            "verify": None,
            "created_at": format_instant(now()),
            "expires": format_instant(now() + timedelta(days=90)),
        }
        return Manifest(**values | fields)

    def add_script(
        self, body: bytes, *, by: tuple[SeedSigner, ...] | None = None, **fields: Any
    ) -> Envelope:
        """Approve a script and put it among the targets; `publish` afterwards."""
        manifest = self.manifest(body, **fields)
        envelope = seal(manifest, *(by or (self.author, self.boss, self.second)))
        self.targets[manifest_path(manifest.id, manifest.version)] = encode_envelope(envelope)
        self.targets[script_path(manifest.sha256)] = body
        return envelope

    # Orders and tokens.

    def order(
        self,
        script: Envelope,
        device: str,
        host_name: str,
        *,
        by: SeedSigner | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        **fields: Any,
    ) -> tuple[str, bytes]:
        """Return id and sealed bytes of an order for a script of this organisation."""
        from farhand_protocol.envelopes import open_payload

        manifest = open_payload(script, Manifest)
        values: dict[str, Any] = {
            "tenant": self.tenant,
            "id": make_id("o", os.urandom(12)),
            "device": device,
            "host_name": host_name,
            "group": self.group,
            "script": manifest.id,
            "version": manifest.version,
            "risk": manifest.risk,
            "digest": manifest_digest(script),
            "parameters": {},
            "operator": "bo",
            "ticket": "FH-1",
            "campaign": None,
            "ring": None,
            "targets_version": self.version,
            "issued_at": format_instant(now() - timedelta(seconds=5)),
            "not_before": format_instant(now() - timedelta(seconds=5)),
            "expires": format_instant(now() + timedelta(hours=1)),
        } | fields
        if change:
            change(values)
        order = Order(**values)
        return order.id, encode_envelope(seal(order, by or self.boss))

    def token(self, **fields: Any) -> str:
        values: dict[str, Any] = {
            "tls_sha256": b"",
            "tenant": self.tenant,
            "token": "t-example234567890",
            "group": self.group,
            "root_version": self.root_version,
            "root_sha256": hashlib.sha256(self.pinned).digest(),
            "targets_version": self.version,
            "seed": os.urandom(32),
        }
        return format_enrolment_token(EnrolmentToken(**values | fields))
