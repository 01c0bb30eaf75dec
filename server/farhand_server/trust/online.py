"""The relay's own part in TUF: signing snapshot and timestamp with the relay key.

Root and targets are signed offline by admins.  The two online roles only say which signed targets
file is the newest; whoever holds the relay key can keep a newer one back for as long as the targets
live, and make none up.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from securesystemslib.signer import Key, SecretsHandler, Signature
from securesystemslib.signer import Signer as TufSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import Signer
from farhand_protocol.releases import RELEASES_ROLE

__all__ = ["ONLINE_ROLES", "SNAPSHOT_TTL", "TIMESTAMP_TTL", "OnlineSigner", "online_key"]

ONLINE_ROLES = ("snapshot", "timestamp")
TIMESTAMP_TTL = timedelta(days=1)
SNAPSHOT_TTL = timedelta(days=7)


class _RelaySigner(TufSigner):
    """Lets python-tuf sign with the relay key, wherever that is kept."""

    def __init__(self, key: Key, signer: Signer) -> None:
        self._key = key
        self._signer = signer

    @property
    def public_key(self) -> Key:
        return self._key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> TufSigner:
        raise NotImplementedError("the relay key has no address")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._key.keyid, self._signer.sign(payload).hex())


def online_key(root: Root, public_key: bytes) -> Key:
    """Return the entry of the relay key in a root, which both online roles must name.

    Raises:
        FarhandError: `trust-invalid` when they do not, or ask for more than one signature.
    """
    for key in root.keys.values():
        if key.keytype != "ed25519" or key.keyval.get("public") != public_key.hex():
            continue
        roles = [root.roles[name] for name in ONLINE_ROLES]
        if all(key.keyid in role.keyids and role.threshold == 1 for role in roles):
            return key
    raise FarhandError(
        "trust-invalid",
        "the root does not give snapshot and timestamp to this relay's key",
        hint="sign in to the relay again and make the root for its key",
    )


class OnlineSigner:
    """Makes the two online files."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def snapshot(
        self,
        root: Root,
        targets: Metadata[Targets],
        body: bytes,
        *,
        version: int,
        now: datetime,
        releases_version: int = 0,
    ) -> bytes:
        """Return a signed snapshot that names this targets file, and the releases where any are."""
        meta = {"targets.json": MetaFile.from_data(targets.signed.version, body, ["sha256"])}
        if releases_version:
            meta[f"{RELEASES_ROLE}.json"] = MetaFile(releases_version)
        signed = Snapshot(
            version=version,
            expires=(now + SNAPSHOT_TTL).replace(microsecond=0),
            meta=meta,
        )
        return self._seal(root, Metadata(signed))

    def timestamp(
        self, root: Root, snapshot_version: int, body: bytes, *, version: int, now: datetime
    ) -> bytes:
        """Return a signed timestamp that names this snapshot."""
        signed = Timestamp(
            version=version,
            expires=(now + TIMESTAMP_TTL).replace(microsecond=0),
            snapshot_meta=MetaFile.from_data(snapshot_version, body, ["sha256"]),
        )
        return self._seal(root, Metadata(signed))

    def _seal(self, root: Root, metadata: Metadata[Snapshot] | Metadata[Timestamp]) -> bytes:
        key = online_key(root, self._signer.public_key)
        metadata.sign(_RelaySigner(key, self._signer))
        return metadata.to_bytes(JSONSerializer(compact=True))
