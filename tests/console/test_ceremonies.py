"""The admins' ceremonies as python-tuf sees them: every chain that they make is followed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from farhand_console.home import Home, write_private
from farhand_console.trust.ceremonies import (
    new_admin_key,
    new_recovery_key,
    placed,
    raised_floor,
    renewed,
    revoked,
)
from farhand_console.trust.signing import Change, make_root, make_targets, publish
from farhand_console.trust.verified import VerifiedTrust, load_trust
from farhand_protocol.errors import FarhandError
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.trust import (
    DEFAULT_APPROVALS,
    FLOORS_PATH,
    PERMISSIONS,
    POLICY_PATH,
    REVOCATIONS_PATH,
    ROSTER_PATH,
    Floors,
    Operator,
    Policy,
    Revocations,
    Roster,
    encode_document,
)
from tests.console.organisation import TENANT, settings, signer

DEVICE = device_id(bytes(32))


class Shelf:
    """A relay that keeps what it is given, checks nothing, and signs the online files."""

    def __init__(self, root: bytes, targets: bytes, files: dict[str, bytes], online: Any) -> None:
        self._online = online
        self._held: dict[str, bytes] = {}
        self._version = 0
        self.take({"root": root, "targets": targets, "files": files})

    def take(self, body: dict[str, Any]) -> None:
        if body["root"] is not None:
            version = Metadata[Root].from_bytes(body["root"]).signed.version
            self._held[f"metadata/{version}.root.json"] = body["root"]
        targets = Metadata[Targets].from_bytes(body["targets"]).signed
        self._held[f"metadata/{targets.version}.targets.json"] = body["targets"]
        for path, data in body["files"].items():
            folder, slash, name = path.rpartition("/")
            digest = hashlib.sha256(data).hexdigest()
            self._held[f"targets/{folder}{slash}{digest}.{name}"] = data
        self._version += 1
        soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        snapshot = Metadata(
            Snapshot(
                version=self._version,
                expires=soon,
                meta={"targets.json": MetaFile(version=targets.version)},
            )
        )
        timestamp = Metadata(
            Timestamp(
                version=self._version, expires=soon, snapshot_meta=MetaFile(version=self._version)
            )
        )
        for name, metadata in ((f"{self._version}.snapshot", snapshot), ("timestamp", timestamp)):
            metadata.sign(self._online)
            self._held[f"metadata/{name}.json"] = metadata.to_bytes()

    def get_bytes(self, path: str) -> bytes:
        held = self._held.get(path.removeprefix("/trust/"))
        if held is None:
            raise FarhandError("not-found", "there is no such file")
        return held

    def post(self, _path: str, _kind: Any, body: dict[str, Any], **_: Any) -> None:
        self.take(body)


class Case:
    """An organisation with one admin, as `trust init` makes it, and homes that follow it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin, self.recovery = signer(), signer()
        online = Ed25519PrivateKey.generate()
        admin = Operator(
            name="ada", keys=[self.admin.public_key], permissions=list(PERMISSIONS), tier=3
        )
        files = {
            ROSTER_PATH: encode_document(Roster(tenant=TENANT, operators=[admin])),
            POLICY_PATH: encode_document(
                Policy(tenant=TENANT, approvals=dict(DEFAULT_APPROVALS), groups={})
            ),
            REVOCATIONS_PATH: encode_document(Revocations(tenant=TENANT, revoked=[])),
            FLOORS_PATH: encode_document(Floors(tenant=TENANT, scripts={})),
        }
        self.root = make_root(
            admin=self.admin,
            recovery=self.recovery,
            online_key=online.public_key().public_bytes_raw(),
        )
        targets = make_targets(self.admin, 1, files)
        self.relay: Any = Shelf(self.root, targets, files, CryptoSigner(online))
        self._homes = 0

    def load(self, *, expired_too: bool = False) -> VerifiedTrust:
        """Verify everything in a home that knows nothing but the first root."""
        self._homes += 1
        home = Home(self.folder / str(self._homes))
        settings(home, root_version=1, root_sha256=hashlib.sha256(self.root).hexdigest())
        write_private(home.folder / "trust" / "pinned-root.json", self.root)
        return load_trust(home, self.relay, expired_too=expired_too)

    def sign(
        self,
        make: Callable[[VerifiedTrust], Change],
        admin: SeedSigner | None = None,
        by: SeedSigner | None = None,
        *,
        expired_too: bool = False,
    ) -> VerifiedTrust:
        publish(
            self.relay,
            lambda: self.load(expired_too=expired_too),
            admin or self.admin,
            make,
            by=by,
        )
        return self.load()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An organisation of the test's own."""
    return Case(tmp_path)


def refused(code: str, work: Callable[[], object]) -> None:
    with pytest.raises(FarhandError) as caught:
        work()
    assert caught.value.code == code


def test_floors_revocations_and_moves_add_up(case: Case) -> None:
    case.sign(lambda trust: raised_floor(trust, "check.a", 3))
    case.sign(lambda trust: revoked(trust, "device", DEVICE, "stolen"))
    case.sign(lambda trust: revoked(trust, "device", DEVICE, "stolen again"))
    trust = case.sign(lambda trust: placed(trust, {DEVICE: "lab"}))
    assert trust.floors.scripts == {"check.a": 3}
    assert [(one.subject, one.reason) for one in trust.revocations.revoked] == [(DEVICE, "stolen")]
    assert trust.placements.group_of(DEVICE, "office") == "lab"
    assert trust.root.signed.version == 1
    refused("floor-falls", lambda: case.sign(lambda trust: raised_floor(trust, "check.a", 2)))
    stranger = signer()
    refused("not-trust-admin", lambda: case.sign(renewed, stranger))
    refused("not-trust-admin", lambda: case.sign(renewed, case.recovery))


def test_a_key_is_rotated_and_the_old_one_is_out(case: Case) -> None:
    new = signer()
    gone = [case.admin.public_key]
    trust = case.sign(
        lambda trust: new_admin_key(trust, "ada", new.public_key, instead_of=gone), new, case.admin
    )
    assert trust.root.signed.version == 2
    (ada,) = trust.roster.operators
    assert (ada.keys, ada.permissions) == ([new.public_key], list(PERMISSIONS))
    refused("not-trust-admin", lambda: case.sign(renewed))
    case.sign(renewed, new)
    # The recovery key is still the one there was.
    third = signer()
    case.sign(
        lambda trust: new_admin_key(trust, "ada", third.public_key, instead_of=[new.public_key]),
        third,
        case.recovery,
    )
    refused("not-trust-admin", lambda: case.sign(renewed, new))


def test_a_new_recovery_key_puts_the_old_one_out(case: Case) -> None:
    fresh, finder = signer(), signer()
    case.sign(lambda trust: new_recovery_key(trust, fresh.public_key))

    def recover(by: SeedSigner) -> VerifiedTrust:
        gone = [case.admin.public_key]
        return case.sign(
            lambda trust: new_admin_key(trust, "eve", finder.public_key, instead_of=gone),
            finder,
            by,
        )

    refused("not-trust-admin", lambda: recover(case.recovery))
    trust = recover(fresh)
    # Whoever was left without a key is off the roster; the newcomer may do everything.
    (eve,) = trust.roster.operators
    assert (eve.name, set(PERMISSIONS) <= set(eve.permissions)) == ("eve", True)
    stranger = signer()
    taken = lambda trust: new_admin_key(  # noqa: E731
        trust, "mallory", finder.public_key, instead_of=[]
    )
    refused("key-taken", lambda: case.sign(taken, stranger, fresh))


def test_nobody_is_followed_who_did_not_sign(case: Case) -> None:
    """A relay that makes a root up, or leaves the old key's signature out."""
    thief = SeedSigner(os.urandom(32))
    trust = case.load()
    change = new_admin_key(trust, "ada", thief.public_key, instead_of=[case.admin.public_key])
    assert change.root is not None
    forged = Metadata(change.root)
    forged.sign(CryptoSigner(Ed25519PrivateKey.generate()))
    case.relay.take(
        {
            "root": forged.to_bytes(),
            "targets": make_targets(thief, 2, dict.fromkeys(trust.paths(), b"{}")),
            "files": {},
        }
    )
    refused("trust-invalid", case.load)


def test_what_has_expired_is_renewed_only_when_asked_to(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farhand_console.trust.signing.TARGETS_DAYS", -1)
    refused("trust-expired", lambda: case.sign(renewed))
    monkeypatch.undo()
    refused("trust-expired", lambda: case.sign(renewed))
    trust = case.sign(renewed, expired_too=True)
    assert trust.targets_version == 3
    assert trust.root.signed.version == 1
    # Signatures count all the same.
    refused("not-trust-admin", lambda: case.sign(renewed, signer(), expired_too=True))


def test_the_root_is_renewed_in_the_last_quarter_of_its_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days, version in ((92, 1), (90, 2), (-1, 2)):
        monkeypatch.setattr("farhand_console.trust.signing.ROOT_DAYS", days)
        case = Case(tmp_path / str(days))
        monkeypatch.undo()
        trust = case.sign(renewed, expired_too=True)
        assert trust.root.signed.version == version
