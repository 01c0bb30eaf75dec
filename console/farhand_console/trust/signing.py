"""Signing root and targets with the admins' offline keys.

The relay's own key signs snapshot and timestamp only.  Everything here happens on an admin's
machine; the relay gets finished files and can refuse them, not change them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Key, SecretsHandler, Signature, SSlibKey
from securesystemslib.signer import Signer as TufSigner
from tuf.api.metadata import Delegations, Metadata, Root, TargetFile, Targets
from tuf.api.serialization.json import JSONSerializer

from farhand_console.relay import Relay
from farhand_console.relay.answers import Nothing
from farhand_console.trust.proposals import (
    Proposal,
    check_people,
    missing_signatures,
    read_signed,
    write_proposal,
)
from farhand_console.trust.verified import VerifiedTrust
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.keys import Signer

__all__ = [
    "ROOT_DAYS",
    "TARGETS_DAYS",
    "Change",
    "check_complete",
    "check_may_sign",
    "cosigned",
    "make_root",
    "make_targets",
    "next_root",
    "publish",
    "set_admin_keys",
    "set_recovery_key",
    "set_signatures",
    "tuf_key",
]

ROOT_DAYS = 365
TARGETS_DAYS = 30
_TRIES = 3


class _KeySigner(TufSigner):
    """Lets python-tuf sign with one of our keys."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._key = tuf_key(signer.public_key)

    @property
    def public_key(self) -> Key:
        """Return the TUF form of the public key."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Sign canonical metadata bytes."""
        return Signature(self._key.keyid, self._signer.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> TufSigner:
        """Refuse: keys come from the console's own files and agents."""
        raise ValueError("operator keys are not loaded by address")


def tuf_key(public_key: bytes) -> SSlibKey:
    """Return the TUF key object of a raw Ed25519 public key."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public_key))


def _in_days(days: int) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def make_root(*, admin: Signer, recovery: Signer, online_key: bytes) -> bytes:
    """Make and sign the first root: admin and recovery key may each change it alone.

    Args:
        admin: the first admin's operator key; also the targets key.
        recovery: an offline key for the day the admin's is lost.
        online_key: the relay's raw public key, for snapshot and timestamp.
    """
    root = Root(version=1, expires=_in_days(ROOT_DAYS), consistent_snapshot=True)
    root.add_key(tuf_key(admin.public_key), "root")
    root.add_key(tuf_key(recovery.public_key), "root")
    root.add_key(tuf_key(admin.public_key), "targets")
    root.add_key(tuf_key(online_key), "snapshot")
    root.add_key(tuf_key(online_key), "timestamp")
    metadata = Metadata(root)
    metadata.sign(_KeySigner(admin))
    metadata.sign(_KeySigner(recovery), append=True)
    return metadata.to_bytes(JSONSerializer(compact=False))


def make_targets(admin: Signer, version: int, files: Mapping[str, bytes]) -> bytes:
    """Make and sign targets metadata over exactly these files."""
    targets = Targets(version=version, expires=_in_days(TARGETS_DAYS))
    for path, data in files.items():
        targets.targets[path] = TargetFile.from_data(path, data, ["sha256"])
    return _signed(targets, admin)


def _signed(targets: Targets, admin: Signer) -> bytes:
    metadata = Metadata(targets)
    metadata.sign(_KeySigner(admin))
    return metadata.to_bytes(JSONSerializer(compact=True))


def check_may_sign(trust: VerifiedTrust, public_key: bytes, role: str) -> None:
    """Refuse early when this key does not count for a TUF role.

    Raises:
        RefusedError: `not-trust-admin`.
    """
    keyid = tuf_key(public_key).keyid
    if keyid not in trust.root.signed.roles[role].keyids:
        raise RefusedError(
            "not-trust-admin",
            f"your key may not sign the organisation's {role}",
            hint="an admin runs this, or adds you with `farhand operator add --can admin`",
        )


Changes: TypeAlias = Mapping[str, bytes | None]


class Change(NamedTuple):
    """What the next targets (and root) change: files added or replaced, None removed.

    `delegations` replace those that the targets have.
    """

    files: Changes
    root: Root | None = None
    delegations: Delegations | None = None


def publish(
    relay: Relay,
    load: Callable[[], VerifiedTrust],
    admin: Signer,
    make: Callable[[VerifiedTrust], Change],
    *,
    by: Signer | None = None,
) -> int:
    """Sign and upload the next targets version, and with them a new root where there is one.

    Both go in one upload, so that there is no moment in which the old targets must hold under the
    new root.  Where another admin was faster, the change is made anew on what they published.

    Args:
        relay: the signed-in relay.
        load: returns the newest verified metadata.
        admin: an operator key of the targets role, as the change leaves it; it signs a new root
            as well.
        make: returns the change; called again after a conflict.
        by: a key of the root role as it is now, where that is not the admin's own: the recovery
            key, or the key that is being replaced.

    Returns:
        The new targets version.

    Raises:
        RefusedError: `not-trust-admin`; `signatures-missing` where the organisation asks for more
            than one admin, with the file that the next one signs.
        FarhandError: `trust-conflict` when others were faster three times; `trust-invalid`.
    """
    for attempt in range(_TRIES):
        trust = load()
        if by is None:
            check_may_sign(trust, admin.public_key, "targets")
        change = make(trust)
        proposal, version = _upload(trust, admin, change, by)
        check_complete(trust, proposal)
        try:
            relay.post("/trust", Nothing, msgspec.structs.asdict(proposal), wait_s=60)
        except FarhandError as error:
            if error.code != "trust-conflict" or attempt == _TRIES - 1:
                raise
            continue
        return version
    raise AssertionError("unreachable")


def check_complete(trust: VerifiedTrust, proposal: Proposal) -> None:
    """Keep a change that lacks signatures for the next admin, and say so.

    Raises:
        RefusedError: `signatures-missing`.
    """
    missing = missing_signatures(trust, proposal)
    if not missing:
        return
    path = write_proposal(trust.proposals, proposal)
    raise RefusedError(
        "signatures-missing",
        f"signed, and {missing} more admin{'s' if missing > 1 else ''} must sign: {path}",
        hint="give the file to another admin: farhand trust cosign FILE",
    )


def cosigned(proposal: Proposal, admin: Signer) -> Proposal:
    """Return a proposal with this admin's signatures added."""
    root = proposal.root
    if root is not None:
        root = _signed_again(read_signed(root, Root), admin, compact=False)
    targets = _signed_again(read_signed(proposal.targets, Targets), admin, compact=True)
    return Proposal(root=root, targets=targets, files=proposal.files)


def _signed_again(metadata: Metadata[Any], admin: Signer, *, compact: bool) -> bytes:
    metadata.sign(_KeySigner(admin), append=True)
    return metadata.to_bytes(JSONSerializer(compact=compact))


def _upload(
    trust: VerifiedTrust, admin: Signer, change: Change, by: Signer | None
) -> tuple[Proposal, int]:
    root = None
    if change.root is not None:
        check_may_sign(trust, (by or admin).public_key, "root")
        metadata = Metadata(change.root)
        metadata.sign(_KeySigner(admin))
        if by is not None:
            metadata.sign(_KeySigner(by), append=True)
        root = metadata.to_bytes(JSONSerializer(compact=False))
    targets = copy.deepcopy(trust.targets.signed)
    targets.version += 1
    targets.expires = _in_days(TARGETS_DAYS)
    if change.delegations is not None:
        targets.delegations = change.delegations
    files = {}
    for path, data in change.files.items():
        if data is None:
            targets.targets.pop(path, None)
        else:
            targets.targets[path] = TargetFile.from_data(path, data, ["sha256"])
            files[path] = data
    return Proposal(root=root, targets=_signed(targets, admin), files=files), targets.version


def next_root(trust: VerifiedTrust) -> Root:
    """Return the root as it is, one version on and good for another year; unsigned."""
    root = copy.deepcopy(trust.root.signed)
    root.version += 1
    root.expires = _in_days(ROOT_DAYS)
    return root


def set_admin_keys(trust: VerifiedTrust, add: list[bytes], remove: list[bytes]) -> Root:
    """Return the next root with targets and root keys added or removed; unsigned.

    Raises:
        FarhandError: `last-admin` when no admin's key would be left.
    """
    root = next_root(trust)
    for public_key in add:
        for role in ("root", "targets"):
            root.add_key(tuf_key(public_key), role)
    for public_key in remove:
        keyid = tuf_key(public_key).keyid
        for role in ("root", "targets"):
            if keyid in root.roles[role].keyids:
                root.revoke_key(keyid, role)
    if not root.roles["targets"].keyids:
        raise FarhandError("last-admin", "the last admin key cannot be removed")
    return root


def set_signatures(trust: VerifiedTrust, count: int) -> Root:
    """Return the next root in which so many admins must sign root and targets; unsigned.

    The recovery key counts as one of them, for a root alone.

    Raises:
        FarhandError: `threshold-unreachable`.
    """
    check_people(trust.roster, count)
    root = next_root(trust)
    for role in ("root", "targets"):
        root.roles[role].threshold = count
    return root


def set_recovery_key(trust: VerifiedTrust, public_key: bytes) -> Root:
    """Return the next root with this recovery key in the place of all earlier ones; unsigned.

    A recovery key is one that may sign the root and nothing else.
    """
    root = next_root(trust)
    for keyid in set(root.roles["root"].keyids) - set(root.roles["targets"].keyids):
        root.revoke_key(keyid, "root")
    root.add_key(tuf_key(public_key), "root")
    return root
