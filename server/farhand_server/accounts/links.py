"""Signing in by a link in a mail, for people who ask for help: no password to lose.

    ask (always the same answer) -> mail -> the page of the link -> POST: signed in, once

Opening the link changes nothing, because mail scanners open links before people do; the page's
button posts the token.  Who is let in is the *person* whose address it is; an account of the role
requester is made for her, named by the address.  A link never opens an account of the desk's own
people: it would be a way around their password and second factor.  Nor does it go to an address
that somebody merely claims, unless it is all that is known of her: it would open her tickets to
whoever owns a mistyped address.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError
from farhand_server.accounts.directory import Account, is_account_name, make_directory
from farhand_server.accounts.mails import SIGN_IN_KEY, mail_about
from farhand_server.accounts.persons import join_person
from farhand_server.accounts.rates import RateLimit
from farhand_server.accounts.signin import PendingSignIn, SignedIn, make_signin
from farhand_server.accounts.steps import make_steps
from farhand_server.errors import RateLimited
from farhand_server.outbox.items import put
from farhand_server.people.people import (
    Person,
    addresses_of,
    find_person,
    normalise_address,
    person_of_address,
    verify_address,
)
from farhand_server.people.settings import get_setting
from farhand_server.relay import Relay
from farhand_server.store.schema import accounts

__all__ = ["LINKS_FOR", "LINK_TTL", "Links", "LinksFor", "make_links"]

# Who may have a link: nobody, people whom the desk knows, or whoever can read a mail.
LinksFor = Literal["nobody", "known", "anyone"]
LINKS_FOR: Final = "sign-in-links"
LINK_TTL: Final = timedelta(minutes=15)
_MAILS, _MAILS_WINDOW_S = 3, 900.0


def make_links(relay: Relay) -> Links:
    """Return the relay's links."""
    return Links(relay)


class Links:
    """Mails and takes links; one per relay, because it counts mails."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._steps = relay.service(make_steps)
        self._mails = RateLimit(
            relay.clock, limit=_MAILS, window_s=_MAILS_WINDOW_S, message="too many mails"
        )

    def ask(self, mail: str, *, address: str) -> None:
        """Mail a link to this address if it may have one; nobody is told.

        Raises:
            FarhandError: `invalid` for what cannot be an address, `rate-limited`.
        """
        self._relay.service(make_signin).count_try(address)
        wanted = normalise_address("mail", mail)
        self._relay.tasks.spawn(self._mail(wanted), name="mail a link to sign in")

    async def _mail(self, mail: str) -> None:
        async with self._relay.db.write() as c:
            person = await find_person(c, self._relay.tenant, "mail", mail)
            if not await self._may_have(c, mail, person):
                return
            try:
                self._mails.take(mail)
            except RateLimited:
                return  # she has three of them in her mail already
            token = await self._steps.make(c, "link", ttl=LINK_TTL, state={"mail": mail})
            payload = mail_about(
                "link",
                to=mail,
                org=self._relay.settings.org,
                link=f"{self._relay.settings.url}/sign-in/{token}",
                language=person.locale if person else "",
            )
            key = SIGN_IN_KEY + self._relay.random(8).hex()
            await put(c, self._relay, kind="mail", payload=payload, key=key)

    async def use(self, token: str, *, address: str) -> SignedIn | PendingSignIn:
        """Sign in with a link's token, which is used up by that.

        Raises:
            FarhandError: `link-over`, `rate-limited`.
        """
        signin = self._relay.service(make_signin)
        signin.count_try(address)
        async with self._relay.db.write() as c:
            step = await self._steps.use(c, "link", token)
            if step is None:
                raise _over()
            mail = str(step.state["mail"])
            person = await find_person(c, self._relay.tenant, "mail", mail)
            # Asked again: much may have changed since the link was sent.
            if not await self._may_have(c, mail, person):
                raise _over()
            if person is None:
                person = await person_of_address(c, self._relay, kind="mail", value=mail)
            await verify_address(c, self._relay, kind="mail", value=mail, actor=person.id)
            account = await self._account_for(c, mail, person)
            row = await signin.active(c, accounts.c.id == account.id)
            if row is None:
                raise _over()
            return await signin.admit(c, row, how="link", address=address)

    async def _may_have(self, c: AsyncConnection, mail: str, person: Person | None) -> bool:
        wanted: LinksFor = await get_setting(
            c, self._relay.tenant, LINKS_FOR, _AS_LITERAL, default="known"
        )
        if wanted == "nobody":
            return False
        if person is None:
            return wanted == "anyone" and _is_open(await self._named(c, mail), None)
        if not person.active or person.kind not in ("user", "vendor"):
            return False
        known = await addresses_of(c, self._relay.tenant, person.id)
        is_proved = any(one.value == mail and one.verified_at for one in known)
        is_all = len(known) == 1 and person.account is None
        if not (is_proved or is_all):
            return False
        if person.account is not None:
            account = await self._relay.service(make_directory).find(c, person.account)
            return account is not None and _is_open(account, person)
        return _is_open(await self._named(c, mail), person)

    async def _account_for(self, c: AsyncConnection, mail: str, person: Person) -> Account:
        """Return the person's account, which is made where she has none."""
        directory = self._relay.service(make_directory)
        account = await directory.find(c, person.account) if person.account else None
        account = account or await self._named(c, mail)
        if account is None:
            name = mail if is_account_name(mail) else person.id
            account = await directory.add(c, name=name, role="requester", actor=person.id)
        await join_person(
            c,
            self._relay,
            account=account.id,
            name=account.name,
            person=person.id,
            actor=person.id,
        )
        return account

    async def _named(self, c: AsyncConnection, mail: str) -> Account | None:
        if not is_account_name(mail):
            return None
        return await self._relay.service(make_directory).find(c, mail)


def _is_open(account: Account | None, person: Person | None) -> bool:
    """Tell whether a link may open this account for this person; None is yet to be made."""
    if account is None:
        return True
    is_hers = account.person is None or (person is not None and account.person == person.id)
    return account.role == "requester" and account.disabled_at is None and is_hers


_AS_LITERAL: Any = LinksFor


def _over() -> FarhandError:
    return FarhandError(
        "link-over", "this link was used, or is too old", hint="ask for another one"
    )
