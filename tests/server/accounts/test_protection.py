"""Whoever is asked to look after people becomes none of them: addresses, links, passwords."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.persons import join_person
from farhand_server.app import Relay
from farhand_server.people.people import PersonKind, PersonTerms, add_address, create_person
from farhand_server.store.schema.outbox import outbox
from tests.server.accounts.people import Mails, SignUp
from tests.server.care.callers import Caller

# What is plain code above the store is tried on one store.
pytestmark = pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)

_EVIL = "tim@evil.example"


async def _known(relay: Relay, name: str, mail: str, kind: PersonKind = "staff") -> str:
    """Say that an account is somebody with a verified mail address; returns her id."""
    async with relay.db.write() as c:
        account = await relay.service(make_directory).find(c, name)
        assert account is not None
        terms = PersonTerms(name=name.title(), kind=kind)
        person = await create_person(c, relay, terms=terms, actor="test")
        await add_address(
            c, relay, person=person.id, kind="mail", value=mail, actor="test", is_verified=True
        )
        await join_person(c, relay, account=account.id, name=name, person=person.id, actor="test")
    return person.id


async def _proof(relay: Relay, to: str, *, besides: str = "") -> str:
    """Return the token of the link that was mailed there to verify it, besides a known one."""
    async with relay.db.read() as c:
        query = select(outbox.c.payload).where(outbox.c.kind == "mail")
        letters: list[dict[str, Any]] = [json.loads(text) for text in await c.scalars(query)]
    found = [re.search(r"/verify/([\w-]+)", one["text"]) for one in letters if one["to"] == [to]]
    (token,) = {match[1] for match in found if match} - {besides}
    return token


@pytest.mark.parametrize(("role", "kind"), [("admin", "staff"), ("requester", "user")])
async def test_a_technician_becomes_nobody_by_an_address(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, signed_up: SignUp, role: str, kind: Any
) -> None:
    await signed_up("ada", role)
    hers = f"/people/{await _known(relay, 'ada', 'ada@example.org', kind)}"
    tim = Caller(web, await signed_up("tim", "technician"))
    address = f"{hers}/addresses"
    for path, value in (
        (address, _EVIL),
        (f"{address}/ask", _EVIL),
        (f"{address}/remove", "ada@example.org"),
        (f"{address}/confirm", "ada@example.org"),
    ):
        body = {"value": value} | ({"reason": "x"} if path.endswith("confirm") else {})
        assert await tim.refused(path, **body) == "not-permitted", path
    for change in ({"kind": "vendor"}, {"active": False}, {"account": None}):
        assert await tim.refused(hers, **change) == "not-permitted", change
    # What is no lock stays the desk's to keep.
    await tim.post(hers, notes="likes tea", kind=kind, active=True)
    await tim.post(address, kind="phone", value="+351 21 000 00")
    await web.post("/api/v1/sign-in/forgot", json={"name": "ada"})
    assert [one["to"] for one in await mails() if one["token"]] == [["ada@example.org"]]


async def test_a_technician_becomes_nobody_by_merging(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, signed_up: SignUp
) -> None:
    tim = Caller(web, await signed_up("tim", "technician"))
    mine = await tim.post("/people", name="T", kind="staff", addresses=[{"value": _EVIL}])
    async with relay.db.write() as c:
        terms = PersonTerms(name="T", kind="staff")
        other = await create_person(c, relay, terms=terms, actor="test")
        await add_address(
            c, relay, person=other.id, kind="mail", value="t@x.example", actor="test",
            is_verified=True,
        )  # fmt: skip
    await signed_up("root", "admin")
    root = await _known(relay, "root", "root@example.org")
    for source, target in ((other.id, root), (root, other.id), (mine["id"], root)):
        assert await tim.refused(f"/people/{source}/merge", into=target) == "not-permitted"
    await web.post("/api/v1/sign-in/forgot", json={"name": "root"})
    assert [one["to"] for one in await mails() if one["token"]] == [["root@example.org"]]


async def test_a_link_asked_for_before_she_had_an_account_gives_nothing_after(
    relay: Relay, web: httpx.AsyncClient, signed_up: SignUp
) -> None:
    root = Caller(web, await signed_up("root", "admin"))
    tim = Caller(web, await signed_up("tim", "technician"))
    await signed_up("mia", "requester")
    mia = f"/people/{(await tim.post('/people', name='Mia'))['id']}"
    await tim.post(f"{mia}/addresses/ask", value=_EVIL)
    await root.post(mia, account="mia")
    nobody = Caller(web, {})
    asked = await _proof(relay, _EVIL)
    assert await nobody.refused("/verify", token=asked) == "proof-invalid"
    assert [one["verified_at"] for one in (await root.get(mia))["addresses"]] == [None]
    # An admin's asking gives it.
    await root.post(f"{mia}/addresses/ask", value=_EVIL)
    await nobody.post("/verify", token=await _proof(relay, _EVIL, besides=asked))
    assert (await root.get(mia))["addresses"][0]["verified_at"]


async def test_who_was_proven_is_given_no_other_address_to_sign_in_by(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, signed_up: SignUp
) -> None:
    tim = Caller(web, await signed_up("tim", "technician"))
    hers = [{"value": "mia@x.example"}]
    mia = f"/people/{(await tim.post('/people', name='Mia', addresses=hers))['id']}/addresses"
    await tim.post(f"{mia}/ask", value="mia@x.example")
    await tim.post(f"{mia}/ask", value=_EVIL)
    nobody = Caller(web, {})
    await nobody.post("/verify", token=await _proof(relay, "mia@x.example"))
    late = await _proof(relay, _EVIL)
    assert await nobody.refused("/verify", token=late) == "proof-invalid"
    assert await tim.refused(f"{mia}/ask", value=_EVIL) == "not-permitted"
    await web.post("/api/v1/sign-in/link", json={"mail": _EVIL})
    assert [one for one in await mails() if one["token"]] == []
