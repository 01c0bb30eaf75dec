"""Organisations and people over the API, proofs of addresses, and two people who are one."""

from __future__ import annotations

import hashlib
import re

from sqlalchemy import select

from farhand_server.accounts.mails import SIGN_IN_KEY
from farhand_server.people.people import get_person, person_of_address
from farhand_server.relay import Relay
from farhand_server.store.schema import address_proofs, outbox
from tests.server.care.callers import Caller
from tests.server.care.conftest import Letters
from tests.server.relays import ManualClock, SignIn


def token_of(text: str) -> str:
    """Return the token of the link in a letter."""
    found = re.search(r"/verify/([\w-]{43})$", text, re.MULTILINE)
    assert found, text
    return found[1]


async def test_organisations_and_people(ada: Caller, ann: Caller) -> None:
    made = await ada.post("/organisations/acme", title="Acme <b>Ltd</b>", locale="de")
    assert (made["zone"], made["calendar"], made["revision"]) == ("UTC", "always", 1)
    changed = await ada.post("/organisations/acme", retention_days=90, zone="Europe/Lisbon")
    assert (changed["title"], changed["retention_days"]) == ("Acme <b>Ltd</b>", 90)
    assert await ada.refused("/organisations/acme", calendar="none such") == "not-found"
    assert await ada.refused("/organisations/acme", retention_days=0) == "invalid"
    assert await ann.refused("/organisations/other", title="x") == "not-permitted"
    assert [one["name"] for one in (await ann.get("/organisations"))["items"]] == ["acme"]

    mia = await ann.post(
        "/people",
        name="Mia <script>alert(1)</script>",
        organisation="acme",
        addresses=[{"value": "Mia@Example.org"}, {"kind": "phone", "value": "+351 21 000 00"}],
    )
    assert {one["value"] for one in mia["addresses"]} == {"mia@example.org", "+3512100000"}
    assert all(one["verified_at"] is None for one in mia["addresses"])
    assert (await ann.get("/people/mia@example.org"))["id"] == mia["id"]
    found = (await ann.get("/people", organisation="acme", q="script"))["items"]
    assert [one["name"] for one in found] == ["Mia <script>alert(1)</script>"]
    assert (await ann.get("/people", kind="vendor"))["items"] == []

    person = f"/people/{mia['id']}"
    after = await ann.post(person, notes="speaks slowly", locale="pt")
    assert (after["notes"], after["locale"], after["name"]) == (
        "speaks slowly",
        "pt",
        mia["name"],
    )
    # Whose an account is says who sees what, so a technician does not.
    assert await ann.refused(person, account="ann") == "not-permitted"
    assert await ada.refused(person, account="nobody") == "not-found"
    assert (await ada.post(person, account="ann"))["account"] == "ann"
    assert (await ada.post(person, account=None))["account"] is None
    taken = await ann.refused("/people", name="x", addresses=[{"value": "mia@example.org"}])
    assert taken == "address-taken"
    assert (await ann.get("/people", q="x"))["items"] == []
    gone = await ann.post(f"{person}/addresses/remove", kind="mail", value="MIA@example.org")
    assert len(gone["addresses"]) == 1
    assert await ann.refused(f"{person}/addresses/remove", value="mia@example.org") == "not-found"


async def test_two_writers_are_told_of_each_other(ann: Caller) -> None:
    made = await ann.post("/people", name="Mia")
    ann.headers["If-Match"] = '"1"'
    assert (await ann.post(f"/people/{made['id']}", notes="one"))["revision"] == 2
    assert await ann.refused(f"/people/{made['id']}", notes="two") == "revision-mismatch"


async def test_an_address_is_verified_by_a_link_that_works_once(
    relay: Relay, ada: Caller, ann: Caller, letters: Letters, clock: ManualClock
) -> None:
    nobody = Caller(ann.web, {})
    mia = await ann.post("/people", name="Mia", locale="pt", addresses=[{"value": "mia@x.example"}])
    asked = await ann.post(f"/people/{mia['id']}/addresses/ask", value="mia@x.example")
    assert asked["address"] == "mia@x.example"
    (letter,) = await letters()
    assert letter["to"] == ["mia@x.example"]
    assert letter["subject"] == "Este endereço é seu?"
    token = token_of(letter["text"])
    async with relay.db.read() as c:
        kept = list(await c.scalars(select(address_proofs.c.token_sha256)))
    assert kept == [hashlib.sha256(token.encode()).hexdigest()]

    # Scanners of mail look at links; looking uses nothing up.
    for _ in range(2):
        assert (await nobody.get(f"/verify/{token}"))["address"] == "mia@x.example"
    assert (await ann.get(f"/people/{mia['id']}"))["addresses"][0]["verified_at"] is None
    assert (await nobody.post("/verify", token=token))["address"] == "mia@x.example"
    assert (await ann.get(f"/people/{mia['id']}"))["addresses"][0]["verified_at"]
    for wrong in (token, token[:-1], "", "x" * 300):
        assert await nobody.refused("/verify", token=wrong) == "proof-invalid"
    path = f"/people/{mia['id']}/addresses/ask"
    assert await ada.refused(path, value="mia@x.example") == "address-verified"

    # She is proven: another address of hers is an admin's business.
    assert await ann.refused(path, value="other@x.example") == "not-permitted"
    await ada.post(path, value="other@x.example")
    late = token_of((await letters())[-1]["text"])
    clock.advance(86_401)
    assert await nobody.refused("/verify", token=late) == "proof-invalid"


async def test_nobody_is_written_to_again_and_again(ann: Caller) -> None:
    mia = await ann.post("/people", name="Mia")
    path = f"/people/{mia['id']}/addresses/ask"
    for number in range(5):
        await ann.post(path, value=f"m{number}@x.example")
    assert await ann.refused(path, value="m6@x.example") == "rate-limited"
    # Nor by way of many people.
    for number in range(4):
        other = await ann.post("/people", name=f"Other {number}")
        await ann.post(f"/people/{other['id']}/addresses/ask", value="m0@x.example")
    last = await ann.post("/people", name="Last")
    refused = await ann.refused(f"/people/{last['id']}/addresses/ask", value="m0@x.example")
    assert refused == "rate-limited"


async def test_a_claimed_address_unites_only_when_it_is_proven(
    relay: Relay, ada: Caller, ann: Caller, letters: Letters
) -> None:
    nobody = Caller(ann.web, {})
    async with relay.db.write() as c:
        shadow = await person_of_address(c, relay, kind="mail", value="m@home.example", name="M.")
    ticket = await ann.post("/tickets", title="from home", requester="m@home.example")
    mia = await ann.post("/people", name="Mia", addresses=[{"value": "mia@work.example"}])
    # A technician's guess that they are one is not enough.
    refused = await ann.refused(f"/people/{shadow.id}/merge", into=mia["id"])
    assert refused == "person-unverified"
    await ada.post(
        f"/people/{mia['id']}/addresses/confirm", value="mia@work.example", reason="called back"
    )
    refused = await ada.refused(f"/people/{shadow.id}/merge", into=mia["id"])
    assert refused == "person-unverified"
    await ada.post(f"/people/{mia['id']}/addresses/ask", value="m@home.example")
    # Until then it stays the other's.
    assert (await ann.get("/people/m@home.example"))["id"] == shadow.id
    await nobody.post("/verify", token=token_of((await letters())[-1]["text"]))
    united = await ann.get("/people/m@home.example")
    assert (united["id"], united["merged"]) == (mia["id"], [shadow.id])
    async with relay.db.read() as c:
        assert (await get_person(c, relay.tenant, shadow.id)).active is False
    panel = await ann.get(f"/tickets/{ticket['number']}/person")
    assert panel["person"]["id"] == mia["id"]


async def test_a_proven_address_changes_hands_no_more(ada: Caller, ann: Caller) -> None:
    mia = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    eve = await ann.post("/people", name="Eve")
    confirm = f"/people/{mia['id']}/addresses/confirm"
    assert await ann.refused(confirm, value="mia@x.example", reason="x") == "not-permitted"
    await ada.post(confirm, value="mia@x.example", reason="seen at the desk")
    path = f"/people/{eve['id']}/addresses/ask"
    assert await ann.refused(path, value="mia@x.example") == "address-taken"


async def test_merged_people_are_one(
    relay: Relay, ada: Caller, ann: Caller, sign_in: SignIn
) -> None:
    both = []
    for name in ("one", "two"):
        made = await ann.post("/people", name=name, addresses=[{"value": f"{name}@x.example"}])
        await ada.post(
            f"/people/{made['id']}/addresses/confirm", value=f"{name}@x.example", reason="known"
        )
        both.append(made["id"])
    one, two = both
    await sign_in("requester", name="one")
    await ada.post(f"/people/{one}", account="one")
    assert await ann.refused(f"/people/{one}/merge", into=two) == "not-permitted"
    assert await ada.refused(f"/people/{one}/merge", into=one) == "invalid"
    vendor = await ann.post("/people", name="v", kind="vendor")
    assert await ada.refused(f"/people/{one}/merge", into=vendor["id"]) == "person-kinds"
    merged = await ada.post(f"/people/{one}/merge", into=two)
    assert (merged["account"], merged["merged"]) == ("one", [one])
    assert {a["value"] for a in merged["addresses"]} == {"one@x.example", "two@x.example"}
    assert await ada.refused(f"/people/{one}/merge", into=two) == "invalid"


async def test_a_renamed_person_is_found_by_her_new_name(ada: Caller, ann: Caller) -> None:
    made = await ada.post("/people", name="Santos", addresses=[{"value": "s@x.example"}])
    await ada.post(f"/people/{made['id']}", account="ann")
    await ann.post("/tickets", title="no sound", requester="ann")
    await ada.post(f"/people/{made['id']}", name="Zelda Zorn")
    for name, count in (("zelda", 1), ("santos", 0)):
        found = await ada.get("/ticket-search", q=name)
        assert len(found["items"]) == count, name


async def test_no_token_stands_in_the_audit(
    relay: Relay, ada: Caller, ann: Caller, letters: Letters
) -> None:
    mia = await ann.post("/people", name="Mia", addresses=[{"value": "mia@x.example"}])
    await ann.post(f"/people/{mia['id']}/addresses/ask", value="mia@x.example")
    token = token_of((await letters())[-1]["text"])
    await Caller(ann.web, {}).post("/verify", token=token)
    audit = str(await ada.get("/audit", limit=500))
    assert "address.verify" in audit
    assert token not in audit
    async with relay.db.read() as c:
        keys = list(await c.scalars(select(outbox.c.key)))
    assert token not in str(keys)
    assert any(key.startswith(SIGN_IN_KEY) for key in keys), "nobody reads it at the desk"
