"""Links in mails: a new password for staff, a way in for people who ask for help."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import delete, func, select

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.links import LINKS_FOR
from farhand_server.accounts.persons import join_person
from farhand_server.app import Relay
from farhand_server.desk.tickets import create_ticket
from farhand_server.mail.sending import send_mail
from farhand_server.outbox.sending import send_due
from farhand_server.people.blobs import keep_blob
from farhand_server.people.people import (
    PersonTerms,
    add_address,
    create_person,
    find_person,
    person_of_address,
)
from farhand_server.people.settings import set_setting
from farhand_server.store.schema import accounts, people, tickets
from farhand_server.store.schema.mail import mails as mail_table
from farhand_server.store.schema.outbox import outbox
from tests.server.accounts.people import PASSWORD, Mails, SignUp
from tests.server.relays import ManualClock

pytestmark = pytest.mark.either_store

_NEW = "another long password"


def _bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def _staff_person(relay: Relay, name: str, mail: str, *, is_verified: bool = True) -> None:
    """Say that an account is somebody with a mail address."""
    async with relay.db.write() as c:
        account = await relay.service(make_directory).find(c, name)
        assert account is not None
        terms = PersonTerms(name=name.title(), kind="staff", locale="de")
        person = await create_person(c, relay, terms=terms, actor="test")
        await add_address(
            c,
            relay,
            person=person.id,
            kind="mail",
            value=mail,
            actor="test",
            is_verified=is_verified,
        )
        await join_person(c, relay, account=account.id, name=name, person=person.id, actor="test")


async def test_a_lost_password_is_set_anew_by_mail(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, signed_up: SignUp, clock: ManualClock
) -> None:
    before = await signed_up()
    await _staff_person(relay, "ann", "ann@example.org")
    await signed_up("bob")
    await _staff_person(relay, "bob", "bob@example.org", is_verified=False)
    answers = [
        await web.post("/api/v1/sign-in/forgot", json={"name": name})
        for name in ("ann", "bob", "nobody", "\x00")
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    sent = await mails()
    assert [mail["to"] for mail in sent] == [["ann@example.org"]]
    assert sent[0]["language"] == "de"
    token = sent[0]["token"]
    short = {"token": token, "password": "short"}
    assert (await web.post("/api/v1/sign-in/reset", json=short)).json()["code"] == "password-length"
    body = {"token": token, "password": _NEW}
    assert (await web.post("/api/v1/sign-in/reset", json=body)).status_code == 204
    twice = await web.post("/api/v1/sign-in/reset", json=body)
    assert (twice.status_code, twice.json()["code"]) == (410, "reset-over")
    assert (await web.get("/api/v1/me", headers=before)).status_code == 401
    old = await web.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    new = await web.post("/api/v1/sign-in", json={"name": "ann", "password": _NEW})
    assert (old.status_code, new.status_code) == (401, 200)
    # An admin's, too late; and one that a newer password overtook.
    root = await signed_up("root", "admin")
    path = "/api/v1/accounts/ann/reset"
    assert (await web.post(path, headers=_bearer(new))).status_code == 403
    made = (await web.post(path, headers=root)).json()
    assert made["url"] == f"http://127.0.0.1:8443/reset/{made['token']}"
    clock.advance(3601)
    late = {"token": made["token"], "password": _NEW}
    assert (await web.post("/api/v1/sign-in/reset", json=late)).json()["code"] == "reset-over"
    clock.advance(600)
    made = (await web.post(path, headers=root)).json()
    change = {"password": PASSWORD, "current": _NEW}
    await web.post("/api/v1/me/password", headers=_bearer(new), json=change)
    taken = {"token": made["token"], "password": _NEW}
    assert (await web.post("/api/v1/sign-in/reset", json=taken)).json()["code"] == "reset-over"
    assert (await web.post("/api/v1/accounts/no/reset", headers=root)).status_code == 404


async def test_nobody_reads_a_link_out_of_the_desks_mail(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, signed_up: SignUp
) -> None:
    root, auditor = await signed_up("root", "admin"), await signed_up("otto", "auditor")
    await _staff_person(relay, "root", "root@example.org")
    await web.post("/api/v1/sign-in/forgot", json={"name": "root"})
    token = (await mails())[0]["token"]
    await send_due(relay, [("mail", send_mail)])
    async with relay.db.write() as c:
        row = (await c.execute(select(mail_table))).mappings().one()
        mail = row["id"]
        assert token in row["letter"]
        raw = await keep_blob(c, relay, row["letter"].encode(), "message/rfc822")
        await c.execute(mail_table.update().values(raw=raw))
        # What was sent is forgotten there after a week; the mail is not.
        await c.execute(delete(outbox))
    for headers in (root, auditor):
        shown = await web.get(f"/api/v1/mail/mails/{mail}", headers=headers)
        assert shown.status_code == 200, shown.text
        assert token not in shown.text
        assert (await web.get(f"/api/v1/mail/mails/{mail}/raw", headers=headers)).status_code == 404


async def test_a_reset_asks_for_the_second_factor_still(
    relay: Relay, web: httpx.AsyncClient, signed_up: SignUp, clock: ManualClock
) -> None:
    import pyotp

    root, ann = await signed_up("root", "admin"), await signed_up()
    made = (await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": "p"})).json()
    code = {"code": pyotp.TOTP(made["secret"]).at(clock.now())}
    await web.post(f"/api/v1/me/factors/totp/{made['id']}/confirm", headers=ann, json=code)
    token = (await web.post("/api/v1/accounts/ann/reset", headers=root)).json()["token"]
    await web.post("/api/v1/sign-in/reset", json={"token": token, "password": _NEW})
    answer = await web.post("/api/v1/sign-in", json={"name": "ann", "password": _NEW})
    assert answer.status_code == 202
    # So does an admin's one-use token.
    token = (await web.post("/api/v1/accounts/ann/signin", headers=root)).json()["signin_token"]
    assert (await web.post("/api/v1/sign-in", json={"token": token})).status_code == 202


async def test_a_link_signs_a_person_in_once_and_shows_her_tickets(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, clock: ManualClock, sign_in: Any
) -> None:
    async with relay.db.write() as c:
        eva = await person_of_address(c, relay, kind="mail", value="Eva@Example.org")
        made = await create_ticket(
            c, relay, title="no sound", actor="mail", requester="eva@example.org"
        )
        await c.execute(tickets.update().where(tickets.c.number == made.row).values(person=eva.id))
        other = await create_ticket(c, relay, title="not hers", actor="mail", requester="x@y.z")
    asked = [
        await web.post("/api/v1/sign-in/link", json={"mail": mail})
        for mail in ("eva@example.org", "nobody@example.org")
    ]
    assert [one.status_code for one in asked] == [202, 202]
    assert asked[0].text == asked[1].text
    sent = await mails()
    assert [mail["to"] for mail in sent] == [["eva@example.org"]]
    body = {"token": sent[0]["token"]}
    done = await web.post("/api/v1/sign-in/link/use", json=body)
    assert done.status_code == 200
    account = done.json()["account"]
    assert (account["name"], account["role"]) == ("eva@example.org", "requester")
    twice = await web.post("/api/v1/sign-in/link/use", json=body)
    assert (twice.status_code, twice.json()["code"]) == (410, "link-over")
    seen = (await web.get("/api/v1/tickets", headers=_bearer(done))).json()["items"]
    assert [one["number"] for one in seen] == [made.number]
    hidden = await web.get(f"/api/v1/tickets/{other.number}", headers=_bearer(done))
    assert hidden.status_code == 404
    lines = (await web.get("/api/v1/me/sign-ins", headers=_bearer(done))).json()["items"]
    assert [(one["how"], one["address"], one["is_this"]) for one in lines] == [
        ("link", "192.0.2.1", True)
    ]
    # Another one, too late; then the same account again.
    await web.post("/api/v1/sign-in/link", json={"mail": "eva@example.org"})
    late = next(one["token"] for one in await mails() if one["token"] != sent[0]["token"])
    clock.advance(901)
    over = await web.post("/api/v1/sign-in/link/use", json={"token": late})
    assert over.json()["code"] == "link-over"
    async with relay.db.read() as c:
        assert await c.scalar(select(func.count()).select_from(accounts)) == 1
        found = await find_person(c, relay.tenant, "mail", "eva@example.org")
    assert found is not None
    assert found.account == "eva@example.org"


@pytest.mark.parametrize(
    "case", ["staff", "staff-name", "claimed", "inactive", "disabled", "nobody", "unknown"]
)
async def test_a_link_is_no_way_around_anything(
    relay: Relay, web: httpx.AsyncClient, mails: Mails, case: str
) -> None:
    mail = "ann@example.org"
    directory = relay.service(make_directory)
    async with relay.db.write() as c:
        if case == "unknown":
            pass
        elif case == "staff-name":
            # An account of the desk's own, by chance or intent named like her address.
            await directory.add(c, name=mail, role="admin", actor="test")
            await person_of_address(c, relay, kind="mail", value=mail)
        elif case == "claimed":
            # Somebody's second address, which nobody has shown to be hers.
            person = await person_of_address(c, relay, kind="mail", value="first@example.org")
            await add_address(c, relay, person=person.id, kind="mail", value=mail, actor="test")
        else:
            role: Any = "technician" if case == "staff" else "requester"
            account = await directory.add(c, name="ann", role=role, actor="test")
            terms = PersonTerms(name="Ann", active=case != "inactive")
            person = await create_person(c, relay, terms=terms, actor="test")
            await add_address(
                c,
                relay,
                person=person.id,
                kind="mail",
                value=mail,
                actor="test",
                is_verified=True,
            )
            await join_person(
                c, relay, account=account.id, name="ann", person=person.id, actor="test"
            )
            if case == "disabled":
                await directory.disable(c, "ann", actor="test")
        if case == "nobody":
            await set_setting(c, relay, LINKS_FOR, "nobody", "test")
    answer = await web.post("/api/v1/sign-in/link", json={"mail": mail})
    assert answer.status_code == 202
    assert await mails() == []


async def test_whoever_reads_her_mail_may_come_in_where_the_desk_is_open(
    relay: Relay, web: httpx.AsyncClient, mails: Mails
) -> None:
    async with relay.db.write() as c:
        await set_setting(c, relay, LINKS_FOR, "anyone", "test")
    mail = "o'brien@example.org"  # no name of an account
    for _ in range(5):
        assert (await web.post("/api/v1/sign-in/link", json={"mail": mail})).status_code == 202
    sent = await mails()
    assert len(sent) == 3, "more are not sent within a quarter of an hour"
    async with relay.db.read() as c:
        assert await c.scalar(select(func.count()).select_from(people)) == 0
    done = await web.post("/api/v1/sign-in/link/use", json={"token": sent[0]["token"]})
    assert done.json()["account"]["role"] == "requester"
    async with relay.db.read() as c:
        found = await find_person(c, relay.tenant, "mail", mail)
    assert found is not None
    assert found.account == done.json()["account"]["name"] == found.id
    odd = await web.post("/api/v1/sign-in/link", json={"mail": "no address"})
    assert odd.json()["code"] == "invalid"
