"""What the desk writes to people on its own account, in the five languages, as plain text.

Nothing of what a stranger typed stands in these letters but the subject and text of a notice, which
somebody of the desk wrote.  They are put into the outbox and sent from there.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.outbox.items import put
from farhand_server.people.organisations import LOCALES, get_organisation
from farhand_server.people.people import Person
from farhand_server.relay import Relay

__all__ = ["PROOF_KEY", "PROOF_WORDS", "language_of", "more_words", "post_letter"]

_ENGLISH: Final = "en"
# Begins as the keys of mails about signing in do (`accounts.mails`): a link that proves something
# is for whoever reads that mailbox, and is shown to nobody at the desk.
PROOF_KEY: Final = "sign-in proof "

# Subject and text; {org} is who runs the desk, {link} the address to open.
PROOF_WORDS: Final[dict[str, tuple[str, str]]] = {
    "en": (
        "Is this your address?",
        "{org} was told that this address is yours.\n\n"
        "If it is, open this link within a day and say so:\n{link}\n\n"
        "If it is not, there is nothing to do.",
    ),
    "de": (
        "Ist das Ihre Adresse?",
        "{org} wurde gesagt, dass diese Adresse Ihre ist.\n\n"
        "Wenn das stimmt, öffnen Sie innerhalb eines Tages diesen Link und bestätigen Sie es:\n"
        "{link}\n\nWenn nicht, ist nichts zu tun.",
    ),
    "pt": (
        "Este endereço é seu?",
        "Disseram a {org} que este endereço é seu.\n\n"
        "Se for, abra este link no prazo de um dia e confirme:\n{link}\n\n"
        "Se não for, não precisa de fazer nada.",
    ),
    "ro": (
        "Este adresa dumneavoastră?",
        "{org} a aflat că această adresă vă aparține.\n\n"
        "Dacă este așa, deschideți acest link în decurs de o zi și confirmați:\n{link}\n\n"
        "Dacă nu, nu trebuie să faceți nimic.",
    ),
    "ru": (
        "Это ваш адрес?",
        "{org} сообщили, что этот адрес принадлежит вам.\n\n"
        "Если это так, откройте эту ссылку в течение суток и подтвердите:\n{link}\n\n"
        "Если нет, делать ничего не нужно.",
    ),
}

_MORE: Final[dict[str, str]] = {
    "en": "More: {link}",
    "de": "Mehr dazu: {link}",
    "pt": "Saiba mais: {link}",
    "ro": "Mai multe: {link}",
    "ru": "Подробнее: {link}",
}


def more_words(language: str, link: str) -> str:
    """Return the line that names where more is written."""
    return _MORE[language].format(link=link)


async def language_of(c: AsyncConnection, tenant: str, person: Person) -> str:
    """Return the language in which a person is written to: hers, her organisation's, English."""
    if person.locale in LOCALES:
        return person.locale
    if person.organisation is not None:
        organisation = await get_organisation(c, tenant, person.organisation)
        if organisation.locale in LOCALES:
            return organisation.locale
    return _ENGLISH


async def post_letter(
    c: AsyncConnection,
    relay: Relay,
    *,
    to: str,
    subject: str,
    text: str,
    language: str,
    key: str,
    ticket: int | None = None,
    auto: bool = False,
) -> None:
    """Put a mail into the outbox; the same key again is the same letter.

    Args:
        c: connection of a write transaction.
        relay: the wiring.
        to: the address.
        subject: one line.
        text: plain text.
        language: one of `LOCALES`.
        key: names the letter.
        ticket: the ticket that it is about, so that an answer comes back there.
        auto: that nobody asked for it: it does not go to whoever has had enough of those.
    """
    payload = {
        "to": [to],
        "cc": [],
        "subject": subject,
        "text": text,
        "auto": auto,
        "language": language,
    }
    if ticket is not None:
        payload["ticket"] = ticket
    await put(c, relay, kind="mail", payload=payload, key=key)
