"""Releases of the agent on the relay's shelf: what it takes, what it refuses, what it serves."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Signature, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    Snapshot,
    TargetFile,
    Targets,
)

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import SeedSigner
from farhand_protocol.messages import TRUST_CHUNK_BYTES
from farhand_protocol.releases import MAX_RELEASE_BYTES, authored, release_name, release_path
from farhand_protocol.trust import Operator
from farhand_server.app import Relay
from farhand_server.trust.releases import MAX_PIECE_BYTES
from farhand_server.trust.service import TrustService, make_trust
from tests.server.relays import TENANT
from tests.server.trust_roots import Admin

PATH = release_path("linux-x86_64-py3.11", "0.2.0")
BODY = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(BODY).hexdigest()
ADA, BO, CY = (SeedSigner(bytes([number]) * 32) for number in (11, 12, 13))


def tuf_key(signer: SeedSigner) -> SSlibKey:
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(signer.public_key))


class Shelf:
    """The trust service of a relay with a root, three people and a delegation to two of them."""

    def __init__(self, relay: Relay) -> None:
        self.service: TrustService = relay.service(make_trust)
        self.admin = Admin(TENANT, relay.signer.public_key, relay.now())
        self.expires = (relay.now() + timedelta(days=30)).replace(microsecond=0)

    async def init(self) -> None:
        people = [
            Operator(name=name, keys=[one.public_key], permissions=["approve:destructive"])
            for name, one in (("ada", ADA), ("bo", BO), ("cy", CY))
        ]
        files = self.admin.roster(*people)
        await self.service.publish(
            root=self.admin.root(), targets=self.admin.targets(files), files=files, actor="ada"
        )

    async def delegate(self, *, paths: str = "releases/*/*") -> None:
        metadata: Metadata[Any] = Metadata.from_bytes(self.admin.targets())
        keys: dict[str, Key] = {tuf_key(one).keyid: tuf_key(one) for one in (BO, CY)}
        role = DelegatedRole("releases", list(keys), 2, True, paths=[paths])
        metadata.signed.delegations = Delegations(keys, {"releases": role})
        metadata.sign(self.admin.tuf)
        await self.service.publish(root=None, targets=metadata.to_bytes(), files={}, actor="ada")

    def role(self, *signers: SeedSigner, version: int = 1, path: str = PATH, **info: Any) -> bytes:
        targets = {}
        for one in (path, *info.get("more", ())):
            length = info.get("length", len(BODY))
            custom = authored(
                "ada",
                info.get("author", ADA),
                tenant=TENANT,
                path=one,
                sha256=SHA256,
                size_bytes=length,
            )
            targets[one] = TargetFile(length, {"sha256": SHA256}, one, {"custom": custom})
        metadata = Metadata(Targets(version, None, self.expires, targets))
        for one in signers:
            keyid = tuf_key(one).keyid
            signed = one.sign(metadata.signed_bytes).hex()
            metadata.signatures[keyid] = Signature(keyid, signed)
        return metadata.to_bytes()

    async def upload(self, body: bytes = BODY, path: str = PATH) -> None:
        for offset in range(0, len(body), MAX_PIECE_BYTES):
            piece = body[offset : offset + MAX_PIECE_BYTES]
            await self.service.add_piece(path, SHA256, offset, piece)


@pytest.fixture
async def shelf(relay: Relay) -> Shelf:
    shelf = Shelf(relay)
    await shelf.init()
    return shelf


async def test_a_release_is_drafted_signed_published_and_served_in_pieces(
    shelf: Shelf, relay: Relay
) -> None:
    service = shelf.service
    await shelf.upload()
    await shelf.upload()  # the same again changes nothing
    await service.add_draft(shelf.role(ADA), "ada")
    await service.sign_draft(shelf.role(BO), "bo")
    await service.sign_draft(shelf.role(CY), "cy")
    draft = await service.draft()
    assert draft is not None
    assert len(Metadata.from_bytes(draft).signatures) == 3
    with pytest.raises(FarhandError, match="do not delegate"):
        await service.publish_releases(draft, "ada")
    await shelf.delegate()
    await service.publish_releases(draft, "ada")
    assert await service.draft() is None
    assert await service.file("metadata", "1.releases.json") == draft
    # The snapshot names the role, also when only the targets change later.
    for _ in range(2):
        await shelf.delegate()
        async with relay.db.read() as c:
            version = (await service.status(c)).snapshot_version
        body = await service.file("metadata", f"{version}.snapshot.json")
        assert body is not None
        assert Metadata[Snapshot].from_bytes(body).signed.meta["releases.json"].version == 1
    name, arrived = release_name(PATH, SHA256), b""
    for offset in (0, 100_000, TRUST_CHUNK_BYTES, len(BODY) - 1):
        total, piece = await service.fetch("target", name, offset)
        assert total == len(BODY)
        assert BODY[offset:].startswith(piece)
        assert 0 < len(piece) <= TRUST_CHUNK_BYTES
        arrived += piece
    for other in (name[:-1] + "9", f"releases/x/{SHA256}.0.2.0", "releases/x", name + "#0000"):
        assert await service.fetch("target", other, 0) == (-1, b"")
    assert await service.fetch("target", name, 2**53 - 1) == (-1, b"")


async def test_a_draft_belongs_to_people_and_has_its_file(shelf: Shelf) -> None:
    service = shelf.service
    with pytest.raises(FarhandError, match="not here"):
        await service.add_draft(shelf.role(ADA), "ada")
    await shelf.upload(BODY[:-1] + b"?")
    with pytest.raises(FarhandError, match="is another one"):
        await service.add_draft(shelf.role(ADA), "ada")
    await shelf.upload()
    for name, body in (("ada", shelf.role(BO)), ("mallory", shelf.role(ADA)), ("ada", b"{}")):
        with pytest.raises(FarhandError, match="trust-invalid"):
            await service.add_draft(body, name)
    with pytest.raises(FarhandError, match="trust-conflict"):
        await service.add_draft(shelf.role(ADA, version=2), "ada")
    with pytest.raises(FarhandError, match="no release"):
        await service.add_draft(shelf.role(ADA, path="scripts/evil"), "ada")
    with pytest.raises(FarhandError, match="not signed by its author"):
        await service.add_draft(shelf.role(BO, author=BO), "bo")
    with pytest.raises(FarhandError, match="not-found"):
        await service.sign_draft(shelf.role(BO), "bo")
    await service.add_draft(shelf.role(ADA), "ada")
    with pytest.raises(FarhandError, match="trust-conflict"):
        await service.sign_draft(shelf.role(BO, length=7), "bo")
    with pytest.raises(FarhandError, match="trust-invalid"):
        await service.sign_draft(shelf.role(BO), "cy")


async def test_too_few_signatures_and_wide_delegations_publish_nothing(shelf: Shelf) -> None:
    service = shelf.service
    await shelf.upload()
    await shelf.delegate()
    for signers in ((ADA, BO), (BO,), ()):
        with pytest.raises(FarhandError, match="not signed by enough"):
            await service.publish_releases(shelf.role(*signers), "ada")
    await shelf.delegate(paths="*")
    with pytest.raises(FarhandError, match="delegate more"):
        await service.publish_releases(shelf.role(BO, CY), "ada")


async def test_pieces_are_bounded_and_forgotten_with_their_draft(shelf: Shelf) -> None:
    service = shelf.service
    for path, offset, body in (
        ("scripts/a", 0, b"x"),
        (PATH, 7, b"x"),
        (PATH, 0, b""),
        (PATH, 0, bytes(MAX_PIECE_BYTES + 1)),
        (PATH, MAX_RELEASE_BYTES, b"x"),
        (PATH, -TRUST_CHUNK_BYTES, b"x"),
    ):
        with pytest.raises(FarhandError, match="trust-invalid"):
            await service.add_piece(path, SHA256, offset, body)
    with pytest.raises(FarhandError, match="trust-invalid"):
        await service.add_piece(PATH, "%" * 64, 0, b"x")
    other = release_path("linux-aarch64-py3.11", "0.2.0")
    await shelf.upload(path=other)
    await shelf.upload()
    await service.add_draft(shelf.role(ADA), "ada")
    assert await service.fetch("target", release_name(other, SHA256), 0) == (-1, b"")
    assert (await service.fetch("target", release_name(PATH, SHA256), 0))[0] == len(BODY)


async def test_what_is_published_stays_whole_whatever_is_drafted_next(shelf: Shelf) -> None:
    service, name = shelf.service, release_name(PATH, SHA256)
    await shelf.upload()
    await shelf.delegate()
    await service.publish_releases(shelf.role(BO, CY), "ada")
    with pytest.raises(FarhandError, match="published already"):
        await service.add_piece(PATH, SHA256, 0, b"rubbish")
    other = release_path("linux-x86_64-py3.11", "0.3.0")
    await shelf.upload(path=other)
    # One that leaves out what is published, or changes it.
    for wrong in (
        shelf.role(ADA, BO, CY, version=2, path=other),
        shelf.role(ADA, BO, CY, version=2, more=[other], length=7),
    ):
        with pytest.raises(FarhandError, match="left out or changed"):
            await service.add_draft(wrong, "ada")
        with pytest.raises(FarhandError, match="left out or changed"):
            await service.publish_releases(wrong, "ada")
    assert (await service.fetch("target", name, 0))[0] == len(BODY)
    await service.add_draft(shelf.role(ADA, version=2, more=[other]), "ada")
    for path in (PATH, other):
        assert (await service.fetch("target", release_name(path, SHA256), 0))[0] == len(BODY)
