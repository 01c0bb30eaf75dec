"""Telling somebody that what opens her account was changed, at every address that she has proven.

Whoever takes over an account changes its password, its second factor or its addresses first; this
mail is how its owner hears of it in time.  It goes to the verified addresses alone, the one that
was taken away among them, and not to one that was only just added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.outbox.items import put
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts, addresses, organisations, people

__all__ = ["Change", "warn_account", "warn_person"]

Change = Literal[
    "password", "factor-added", "factor-removed", "recovery", "address-added", "address-removed"
]
_MAX_TOLD: Final = 20

_SUBJECTS: Final = {
    "en": "Your account at {org} was changed",
    "de": "Ihr Konto bei {org} wurde geändert",
    "pt": "A sua conta em {org} foi alterada",
    "ro": "Contul dumneavoastră la {org} a fost modificat",
    "ru": "Ваша учётная запись в {org} изменена",
}
_WHAT: Final[dict[str, dict[Change, str]]] = {
    "en": {
        "password": "The password was set anew.",
        "factor-added": "A second factor was added.",
        "factor-removed": "A second factor was removed.",
        "recovery": "New recovery codes were made; the old ones have ended.",
        "address-added": "A mail address was added: {address}",
        "address-removed": "A mail address was removed: {address}",
    },
    "de": {
        "password": "Das Passwort wurde neu gesetzt.",
        "factor-added": "Ein zweiter Faktor wurde hinzugefügt.",
        "factor-removed": "Ein zweiter Faktor wurde entfernt.",
        "recovery": "Neue Wiederherstellungscodes wurden erzeugt; die alten gelten nicht mehr.",
        "address-added": "Eine Mailadresse wurde hinzugefügt: {address}",
        "address-removed": "Eine Mailadresse wurde entfernt: {address}",
    },
    "pt": {
        "password": "A palavra-passe foi alterada.",
        "factor-added": "Foi acrescentado um segundo fator.",
        "factor-removed": "Foi removido um segundo fator.",
        "recovery": "Foram criados novos códigos de recuperação; os antigos deixaram de valer.",
        "address-added": "Foi acrescentado um endereço de correio: {address}",
        "address-removed": "Foi removido um endereço de correio: {address}",
    },
    "ro": {
        "password": "Parola a fost schimbată.",
        "factor-added": "A fost adăugat un al doilea factor.",
        "factor-removed": "A fost eliminat un al doilea factor.",
        "recovery": "Au fost create coduri de recuperare noi; cele vechi nu mai sunt valabile.",
        "address-added": "A fost adăugată o adresă de e-mail: {address}",
        "address-removed": "A fost eliminată o adresă de e-mail: {address}",
    },
    "ru": {
        "password": "Задан новый пароль.",
        "factor-added": "Добавлен второй фактор.",
        "factor-removed": "Второй фактор удалён.",
        "recovery": "Созданы новые резервные коды; прежние больше не действуют.",
        "address-added": "Добавлен почтовый адрес: {address}",
        "address-removed": "Почтовый адрес удалён: {address}",
    },
}
_THEN: Final = {
    "en": "If it was you, or you asked for it, there is nothing to do. If not, tell {org} at once.",
    "de": "Waren Sie es, oder haben Sie darum gebeten, ist nichts zu tun. Wenn nicht, melden Sie"
    " sich sofort bei {org}.",
    "pt": "Se foi você, ou se o pediu, não precisa de fazer nada. Se não foi, avise já {org}.",
    "ro": "Dacă ați fost dumneavoastră sau ați cerut acest lucru, nu trebuie să faceți nimic. Dacă"
    " nu, anunțați imediat {org}.",
    "ru": "Если это были вы или вы об этом просили, делать ничего не нужно. Если нет, сразу"
    " сообщите в {org}.",
}


async def warn_account(c: AsyncConnection, relay: Relay, *, account: str, change: Change) -> None:
    """Tell the owner of an account (an id) what was changed; nobody where no person has it."""
    query = select(accounts.c.name, accounts.c.person).where(
        accounts.c.tenant == relay.tenant, accounts.c.id == account
    )
    row = (await c.execute(query)).first()
    if row is None:
        return
    person = row.person
    if person is None:
        hers = (people.c.tenant == relay.tenant, people.c.account == row.name)
        person = await c.scalar(select(people.c.id).where(*hers))
    if person is not None:
        await warn_person(c, relay, person=person, change=change)


async def warn_person(
    c: AsyncConnection,
    relay: Relay,
    *,
    person: str,
    change: Change,
    address: str = "",
    without: Sequence[str] = (),
    also: Sequence[str] = (),
) -> None:
    """Tell a person (an id) what was changed of her account; nobody where she has none.

    Args:
        c: connection of the transaction that changes it.
        relay: the wiring.
        person: whose account it is.
        change: what was changed.
        address: which address, where it is about one.
        without: addresses that are not written to.
        also: addresses that are, besides those that she has.
    """
    row = await _person(c, relay.tenant, person)
    if row is None or row["account"] is None:
        return
    known = select(addresses.c.value).where(
        addresses.c.tenant == relay.tenant,
        addresses.c.person == person,
        addresses.c.kind == "mail",
        addresses.c.verified_at.is_not(None),
    )
    to = [*also, *await c.scalars(known.order_by(addresses.c.created_at).limit(_MAX_TOLD))]
    wishes = (row["locale"], row["spoken"])
    language = next((one[:2] for one in wishes if one and one[:2] in _SUBJECTS), "en")
    org = relay.settings.org
    what = _WHAT[language][change].format(address=address)
    then = _THEN[language].format(org=org)
    text = f"{relay.stamp()[:16].replace('T', ' ')} UTC\n{what}\n\n{then}\n"
    for one in dict.fromkeys(to):
        if one not in without:
            payload = {
                "to": [one],
                "cc": [],
                "subject": _SUBJECTS[language].format(org=org),
                "text": text,
                "auto": False,
                "language": language,
            }
            await put(c, relay, kind="mail", payload=payload, key=f"warn {relay.random(12).hex()}")


async def _person(c: AsyncConnection, tenant: str, person: str) -> RowMapping | None:
    its = (organisations.c.tenant == people.c.tenant, organisations.c.id == people.c.organisation)
    spoken = select(organisations.c.locale).where(*its).correlate(people).scalar_subquery()
    query = select(people.c.account, people.c.locale, spoken.label("spoken")).where(
        people.c.tenant == tenant, people.c.id == person
    )
    return (await c.execute(query)).mappings().first()
