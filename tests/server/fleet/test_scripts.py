"""Script drafts over HTTP: who may submit, whose signatures merge, what is only a catalogue."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import msgspec
import pytest

from farhand_protocol.envelopes import Envelope, Signature, decode_envelope, encode_envelope, seal
from farhand_protocol.envelopes import sign_again as add_signature
from farhand_protocol.identity import key_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.manifest import Manifest, manifest_digest
from farhand_protocol.trust import Operator, Roster
from farhand_server.fleet import scripts as scripts_module
from farhand_server.relay import Relay
from tests.server.fleet.parts import b64
from tests.server.relays import SignIn

pytestmark = pytest.mark.either_store

BODY = b"print('hello')\n"
ANN, BOB, EVE = (SeedSigner(bytes([n]) * 32) for n in (1, 2, 3))


@pytest.fixture
def roster(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Roster:
    """Ann and Bob, as if published; trust has its own tests."""
    found = Roster(
        tenant=relay.tenant,
        operators=[
            Operator(name="ann", keys=[ANN.public_key], permissions=["author"]),
            Operator(name="bob", keys=[BOB.public_key], permissions=["approve:read"]),
        ],
    )

    async def current(_c: object, _relay: Relay) -> Roster:
        return found

    monkeypatch.setattr(scripts_module, "current_roster", current)
    return found


def manifest(relay: Relay, /, **changes: Any) -> Manifest:
    said = Manifest(
        tenant=relay.tenant,
        id="check.hello",
        version=1,
        title="Says hello",
        description="",
        sha256=hashlib.sha256(BODY).hexdigest(),
        size_bytes=len(BODY),
        author="ann",
        platforms=["linux"],
        interpreter="python",
        parameters={"type": "object", "additionalProperties": False},
        run_as="agent",
        risk="R0",
        timeout_s=30,
        max_output_bytes=65_536,
        sensitive=False,
        detect=None,
        verify=None,
        created_at="2026-11-22T12:00:00Z",
        expires="2027-11-22T12:00:00Z",
    )
    return msgspec.structs.replace(said, **changes)


class Shelf:
    def __init__(self, web: httpx.AsyncClient, sign_in: SignIn) -> None:
        self.web = web
        self.sign_in = sign_in

    async def submit(
        self, sealed: Envelope, *, body: bytes = BODY, name: str = "ann", role: Any = "technician"
    ) -> httpx.Response:
        data = {"envelope": b64(encode_envelope(sealed)), "body": b64(body)}
        headers = await self.sign_in(role, name=name)
        return await self.web.post("/api/v1/scripts", headers=headers, json=data)

    async def approve(self, sealed: Envelope, *, name: str = "bob") -> httpx.Response:
        data = {"envelope": b64(encode_envelope(sealed))}
        headers = await self.sign_in("technician", name=name)
        path = "/api/v1/scripts/check.hello/1/approvals"
        return await self.web.post(path, headers=headers, json=data)

    async def show(self, **params: Any) -> Any:
        headers = await self.sign_in("auditor")
        path = "/api/v1/scripts/check.hello"
        return (await self.web.get(path, headers=headers, params=params)).json()


@pytest.fixture
def shelf(web: httpx.AsyncClient, sign_in: SignIn) -> Shelf:
    return Shelf(web, sign_in)


async def test_submit_approve_publish(relay: Relay, shelf: Shelf, roster: Roster) -> None:
    sealed = seal(manifest(relay), ANN)
    made = await shelf.submit(sealed)
    assert made.status_code == 201, made.text
    assert (made.json()["state"], made.json()["digest"]) == ("submitted", manifest_digest(sealed))
    assert (await shelf.submit(sealed)).status_code == 201
    approved = (await shelf.approve(add_signature(sealed, BOB))).json()
    assert approved["signed_by"] == ["ann", "bob"]
    stored = decode_envelope(base64.b64decode((await shelf.show())["envelope"]))
    assert {one.keyid for one in stored.signatures} == {
        key_id(ANN.public_key),
        key_id(BOB.public_key),
    }
    assert (await shelf.approve(add_signature(sealed, BOB))).json()["code"] == "already-signed"
    path = "/api/v1/scripts/check.hello/1"
    technician, admin = await shelf.sign_in("technician"), await shelf.sign_in("admin")
    assert (await shelf.web.post(f"{path}/published", headers=technician)).status_code == 403
    assert (await shelf.web.post(f"{path}/published", headers=admin)).json()["state"] == "published"
    assert (await shelf.web.post(f"{path}/revoked", headers=admin)).json()["state"] == "revoked"
    again = (await shelf.web.post(f"{path}/published", headers=admin)).json()
    assert again["code"] == "script-revoked"
    assert (await shelf.approve(sealed)).json()["code"] == "script-revoked"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"author": "bob"}, "script-author-unknown"),
        ({"author": "farhand"}, "script-author-unknown"),
        ({"tenant": "n-other"}, "manifest-invalid"),
        ({"id": "../../x"}, "manifest-invalid"),
        ({"title": "bell\x07"}, "manifest-invalid"),
        ({"timeout_s": 0}, "manifest-invalid"),
        ({"sha256": "ab" * 32}, "script-changed"),
        ({"parameters": {"type": "object"}}, "manifest-invalid"),
    ],
)
async def test_what_is_not_taken_in(
    relay: Relay, shelf: Shelf, roster: Roster, changes: dict[str, Any], code: str
) -> None:
    answer = await shelf.submit(seal(manifest(relay, **changes), ANN))
    assert answer.json()["code"] == code


async def test_the_author_must_have_signed(relay: Relay, shelf: Shelf, roster: Roster) -> None:
    for sealed in (seal(manifest(relay)), seal(manifest(relay), BOB), seal(manifest(relay), EVE)):
        assert (await shelf.submit(sealed)).json()["code"] == "script-signature"


async def test_an_admin_brings_in_what_ships(relay: Relay, shelf: Shelf) -> None:
    shipped = seal(manifest(relay, author="farhand"))
    assert (await shelf.submit(shipped)).status_code == 403
    assert (await shelf.submit(shipped, name="root", role="admin")).status_code == 201


async def test_a_version_never_changes(relay: Relay, shelf: Shelf, roster: Roster) -> None:
    await shelf.submit(seal(manifest(relay, version=2), ANN))
    changed = seal(manifest(relay, version=2, title="Says goodbye"), ANN)
    assert (await shelf.submit(changed)).json()["code"] == "script-exists"
    older = seal(manifest(relay, version=1), ANN)
    assert (await shelf.submit(older)).json()["code"] == "script-exists"
    assert (await shelf.submit(seal(manifest(relay, version=3), ANN))).status_code == 201
    assert (await shelf.show())["version"] == 3
    assert (await shelf.show(version=2))["title"] == "Says hello"
    assert (await shelf.show(version=9))["code"] == "not-found"


async def test_approvals_are_for_the_very_same_payload(
    relay: Relay, shelf: Shelf, roster: Roster
) -> None:
    await shelf.submit(seal(manifest(relay), ANN))
    other = seal(manifest(relay, timeout_s=31), BOB)
    assert (await shelf.approve(other)).json()["code"] == "script-changed"


async def test_nobody_blocks_an_approver_with_a_false_signature(
    relay: Relay, shelf: Shelf, roster: Roster
) -> None:
    sealed = seal(manifest(relay), ANN)
    await shelf.submit(sealed)
    squatted = Signature(keyid=key_id(BOB.public_key), sig=b"\0" * 64)
    false = msgspec.structs.replace(sealed, signatures=[*sealed.signatures, squatted])
    assert (await shelf.approve(false)).json()["code"] == "script-signature"
    stranger = add_signature(sealed, EVE)
    assert (await shelf.approve(stranger)).json()["code"] == "script-signature"
    assert (await shelf.approve(add_signature(sealed, BOB))).status_code == 200


async def test_listing(relay: Relay, shelf: Shelf, roster: Roster) -> None:
    for version in (1, 2, 3):
        await shelf.submit(seal(manifest(relay, version=version), ANN))
    headers = await shelf.sign_in("auditor")
    first = (await shelf.web.get("/api/v1/scripts", headers=headers, params={"limit": 2})).json()
    rest = (
        await shelf.web.get("/api/v1/scripts", headers=headers, params={"cursor": first["next"]})
    ).json()
    assert [one["version"] for one in first["items"] + rest["items"]] == [1, 2, 3]
    params = {"state": "published"}
    none = (await shelf.web.get("/api/v1/scripts", headers=headers, params=params)).json()
    assert none == {"items": [], "next": None}
