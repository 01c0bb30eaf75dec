"""An organisation whose relay has turned against it: everything that a relay's owner would hold.

What it is: the trust root and the signed documents, made offline with the console's own functions,
and beside them the forgeries that the online key allows: edited targets, snapshots and timestamps
signed anew.  What it is not: a relay (tests.support.hostile_relay serves what stands in `files`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from farhand_console.trust.signing import make_root
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.identity import make_id
from farhand_protocol.instants import format_instant
from farhand_protocol.keys import SeedSigner
from farhand_protocol.tokens import Token
from farhand_protocol.trust import GroupPolicy, Operator
from tests.agent.organisation import PERMISSIONS, Organisation, now, signer

__all__ = ["HostileOrganisation", "now", "signer", "tuf_signer"]


def tuf_signer(seed: bytes) -> CryptoSigner:
    """Return a TUF signer over an Ed25519 seed."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


class HostileOrganisation(Organisation):
    """An honest organisation and, in the methods named `forge_...`, its relay's lies.

    The relay's link key is also the TUF online key, as on a real relay.  Besides ada, bo and cy
    (every permission) the roster names `low`, who may approve reading and nothing else, and
    `gone`, whom tests remove.
    """

    def __init__(self) -> None:
        self.relay_seed = os.urandom(32)
        self.admin_seed = os.urandom(32)
        self.relay_key = SeedSigner(self.relay_seed)
        self.admin = SeedSigner(self.admin_seed)
        self.low, self.gone = signer(), signer()
        self.token_envelopes: dict[str, bytes] = {}
        super().__init__()
        self.roster.operators.extend(
            [
                Operator(name="low", keys=[self.low.public_key], permissions=["approve:read"]),
                Operator(name="gone", keys=[self.gone.public_key], permissions=PERMISSIONS),
            ]
        )
        self.publish()

    def publish_root(self, *, expires: datetime | None = None) -> None:
        """Make the first root as `farhand trust init` does."""
        del expires
        self.root_key = tuf_signer(self.admin_seed)
        self.online_key = tuf_signer(self.relay_seed)
        self.pinned = make_root(
            admin=self.admin, recovery=signer(), online_key=self.relay_key.public_key
        )
        self.files["metadata", f"{self.root_version}.root.json"] = self.pinned

    def token(self, **fields: Any) -> str:
        """Return an enrolment token whose registration an admin signed."""
        seed, name = os.urandom(32), make_id("t", os.urandom(12))
        token = Token(
            tenant=self.tenant,
            id=name,
            key=SeedSigner(seed).public_key,
            group=self.group,
            uses=1,
            created_at=format_instant(now()),
            expires=format_instant(now() + timedelta(hours=1)),
        )
        self.token_envelopes[name] = encode_envelope(seal(token, self.boss))
        return super().token(**{"seed": seed, "token": name} | fields)

    def remove(self, name: str) -> None:
        """Take an operator off the roster."""
        self.roster.operators[:] = [one for one in self.roster.operators if one.name != name]

    def unattended(self, **fields: object) -> None:
        """Let technicians in without asking."""
        self.allow(unattended=True, consent="notify", **fields)

    # What the relay can make up with the keys it holds.

    def latest_targets(self) -> Targets:
        """Return a copy of the newest honest targets."""
        data = self.files["metadata", f"{self.version}.targets.json"]
        return Metadata[Targets].from_bytes(data).signed

    def serve_target(self, path: str, body: bytes) -> TargetFile:
        """Serve a body under the name that edited targets would give it."""
        folder, slash, name = path.rpartition("/")
        digest = hashlib.sha256(body).hexdigest()
        self.files["target", f"{folder}{slash}{digest}.{name}"] = body
        return TargetFile.from_data(path, body, ["sha256"])

    def forge_targets(
        self, edits: dict[str, bytes], *, by: CryptoSigner, keep_signatures: bool = False
    ) -> int:
        """Serve the next targets version with some files edited, and sign all the rest online.

        Args:
            edits: TUF path to the new body.
            by: who signs them; the relay does not hold the admin's key.
            keep_signatures: put the admin's signature over the older targets beside it.

        Returns:
            The forged version.
        """
        honest = Metadata[Targets].from_bytes(
            self.files["metadata", f"{self.version}.targets.json"]
        )
        targets = self.latest_targets()
        targets.version = self.version + 1
        for path, body in edits.items():
            targets.targets[path] = self.serve_target(path, body)
        metadata = Metadata(targets)
        metadata.sign(by)
        if keep_signatures:
            metadata.signatures.update(honest.signatures)
        self.version += 1
        self.files["metadata", f"{self.version}.targets.json"] = metadata.to_bytes(JSONSerializer())
        self.sign_online()
        return self.version

    def forge_root(self, *, by: CryptoSigner) -> None:
        """Serve a second root in which `by` holds every role."""
        root = Metadata[Root].from_bytes(self.pinned).signed
        root.version = 2
        for role in ("root", "targets"):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(by.public_key, role)
        metadata = Metadata(root)
        metadata.sign(by)
        metadata.sign(self.online_key, append=True)
        self.files["metadata", "2.root.json"] = metadata.to_bytes(JSONSerializer())

    def forge_online(
        self,
        *,
        timestamp: int | None = None,
        snapshot: int | None = None,
        targets: int | None = None,
        expire: timedelta = timedelta(days=1),
        change: Callable[[Snapshot, Timestamp], None] | None = None,
    ) -> None:
        """Sign snapshot and timestamp with chosen versions and expiry."""
        numbers = [self.version if one is None else one for one in (timestamp, snapshot, targets)]
        made = Snapshot(
            version=numbers[1],
            expires=now() + expire,
            meta={"targets.json": MetaFile(version=numbers[2])},
        )
        top = Timestamp(
            version=numbers[0],
            expires=now() + expire,
            snapshot_meta=MetaFile(version=numbers[1]),
        )
        if change:
            change(made, top)
        self.files["metadata", f"{numbers[1]}.snapshot.json"] = self._sign(made, self.online_key)
        self.files["metadata", "timestamp.json"] = self._sign(top, self.online_key)

    def group_policy(self) -> GroupPolicy:
        """Return the policy of every group."""
        return self.policy.groups["*"]
