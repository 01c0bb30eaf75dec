"""An admin's side of the trust root, for tests: makes and signs root and targets offline."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from farhand_protocol.keys import SeedSigner
from farhand_protocol.trust import ROSTER_PATH, Operator, Roster, encode_document

_JSON = JSONSerializer(compact=True)


class Admin:
    """Holds a root-and-targets key; counts versions up as it signs."""

    def __init__(self, tenant: str, relay_key: bytes, now: datetime, *, seed: int = 1) -> None:
        self.tenant = tenant
        self.relay_key = relay_key
        self.now = now
        self.seed = bytes([seed]) * 32
        self.signer = SeedSigner(self.seed)
        self.root_version = 0
        self.targets_version = 0
        self.files: dict[str, bytes] = {}

    @property
    def tuf(self) -> CryptoSigner:
        return CryptoSigner(Ed25519PrivateKey.from_private_bytes(self.seed))

    def root(
        self,
        *,
        signed_by: list[Admin] | None = None,
        online: bytes | None = None,
        days: int = 365,
        consistent: bool = True,
        version: int | None = None,
    ) -> bytes:
        """Return the next root, naming this admin, signed by the given admins."""
        self.root_version = version or self.root_version + 1
        relay = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(online or self.relay_key))
        root = Root(
            version=self.root_version,
            expires=(self.now + timedelta(days=days)).replace(microsecond=0),
            consistent_snapshot=consistent,
        )
        for role in ("root", "targets"):
            root.add_key(self.tuf.public_key, role)
        for role in ("snapshot", "timestamp"):
            root.add_key(relay, role)
        metadata = Metadata(root)
        for admin in signed_by or [self]:
            metadata.sign(admin.tuf, append=True)
        return metadata.to_bytes(_JSON)

    def targets(
        self, files: dict[str, bytes] | None = None, *, days: int = 30, version: int | None = None
    ) -> bytes:
        """Return the next targets, naming all files so far and these."""
        self.files |= files or {}
        self.targets_version = version or self.targets_version + 1
        targets = Targets(
            version=self.targets_version,
            expires=(self.now + timedelta(days=days)).replace(microsecond=0),
        )
        for path, body in self.files.items():
            targets.targets[path] = TargetFile.from_data(path, body, ["sha256"])
        metadata = Metadata(targets)
        metadata.sign(self.tuf)
        return metadata.to_bytes(_JSON)

    def roster(self, *operators: Operator) -> dict[str, bytes]:
        """Return the roster as a target file; by default this admin with every permission."""
        own = Operator(name="admin", keys=[self.signer.public_key], permissions=["admin", "order"])
        roster = Roster(tenant=self.tenant, operators=list(operators) or [own])
        return {ROSTER_PATH: encode_document(roster)}
