"""An owner hears of it when what opens her account is changed, wherever she can be reached."""

from __future__ import annotations

from collections import Counter

import httpx
import pyotp
import pytest

from farhand_server.accounts.directory import make_directory
from farhand_server.accounts.persons import join_person
from farhand_server.accounts.resets import make_resets
from farhand_server.app import Relay
from farhand_server.people.people import (
    PersonTerms,
    add_address,
    create_person,
    remove_address,
    verify_address,
)
from farhand_server.people.warnings import _SUBJECTS, _THEN, _WHAT
from tests.server.accounts.people import PASSWORD, Mails, SignUp
from tests.server.relays import ManualClock

OLD, NEW = "ann@old.example", "ann@new.example"


def test_every_change_has_its_words_in_every_language() -> None:
    assert set(_SUBJECTS) == set(_WHAT) == set(_THEN)
    for words in _WHAT.values():
        assert set(words) == set(_WHAT["en"])
        assert all(
            ("{address}" in text) is name.startswith("address") for name, text in words.items()
        )


@pytest.mark.parametrize("relay_parts", ["sqlite"], indirect=True)
async def test_whoever_changes_what_opens_an_account_is_not_alone_with_it(
    relay: Relay, web: httpx.AsyncClient, clock: ManualClock, signed_up: SignUp, mails: Mails
) -> None:
    ann = await signed_up()
    async with relay.db.write() as c:
        terms = PersonTerms(name="Ann", locale="de")
        person = (await create_person(c, relay, terms=terms, actor="test")).id
        given = {"person": person, "kind": "mail", "actor": "test"}
        await add_address(c, relay, value=OLD, is_verified=True, **given)  # type: ignore[arg-type]
        account = await relay.service(make_directory).find(c, "ann")
        assert account is not None
        await join_person(c, relay, account=account.id, name="ann", person=person, actor="test")
    assert await mails() == []
    told: Counter[tuple[str, str]] = Counter()

    async def heard(words: str, *to: str) -> None:
        found = await mails()
        assert all(not mail["auto"] and len(mail["to"]) == 1 for mail in found)
        assert {mail["subject"] for mail in found} <= {"Ihr Konto bei Example Ltd wurde geändert"}
        now = Counter((mail["to"][0], mail["text"]) for mail in found)
        new = [*(now - told).elements()]
        told.update(new)
        assert sorted(address for address, _ in new) == sorted(to), new
        assert all(words in text for _, text in new), new

    changed = {"password": PASSWORD + "!", "current": PASSWORD}
    assert (await web.post("/api/v1/me/password", headers=ann, json=changed)).status_code == 204
    await heard("Das Passwort wurde neu gesetzt.", OLD)
    reset = await relay.service(make_resets).make("ann", actor="boss")
    await relay.service(make_resets).use(reset.token, PASSWORD, address="192.0.2.9")
    await heard("Das Passwort wurde neu gesetzt.", OLD)
    ann = await _sign_in(web)
    made = (await web.post("/api/v1/me/factors/totp", headers=ann, json={"label": "phone"})).json()
    await heard("")
    code = pyotp.TOTP(made["secret"]).at(clock.now())
    path = f"/api/v1/me/factors/totp/{made['id']}/confirm"
    recovery = (await web.post(path, headers=ann, json={"code": code})).json()["recovery_codes"]
    await heard("Ein zweiter Faktor wurde hinzugefügt.", OLD)
    path = "/api/v1/me/factors/recovery"
    assert (await web.post(path, headers=ann, json={"code": recovery[0]})).is_success
    await heard("Neue Wiederherstellungscodes", OLD)
    boss = await signed_up("boss", "admin")
    assert (await web.post("/api/v1/accounts/ann/factors/reset", headers=boss)).is_success
    await heard("Ein zweiter Faktor wurde entfernt.", OLD)
    assert (await web.post("/api/v1/accounts/ann/factors/reset", headers=boss)).is_success
    await heard("")
    # A new address is told of at the old one; one that is gone is told so itself.
    async with relay.db.write() as c:
        await add_address(c, relay, value=NEW, **given)  # type: ignore[arg-type]
    await heard("")
    async with relay.db.write() as c:
        await verify_address(c, relay, kind="mail", value=NEW, actor="test")
        await verify_address(c, relay, kind="mail", value=NEW, actor="test")
    await heard(f"Eine Mailadresse wurde hinzugefügt: {NEW}", OLD)
    async with relay.db.write() as c:
        await remove_address(c, relay, kind="mail", value=OLD, actor="test")
    await heard(f"Eine Mailadresse wurde entfernt: {OLD}", OLD, NEW)


async def _sign_in(web: httpx.AsyncClient) -> dict[str, str]:
    answer = await web.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['token']}"}
