"""Routes of mail: mailboxes and servers, what came and went, quarantine, stopping one in time.

Passwords come in and never go out.  An admin sees every mail; a technician those of a ticket that
she sees, by naming it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import func, select

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.authorisation import Actor, authorise
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.desk.tickets import get_ticket
from farhand_server.errors import not_found
from farhand_server.mail.answering import NOTIFY
from farhand_server.mail.authentication import AUTHSERVS, check_authservs
from farhand_server.mail.intake import make_intake
from farhand_server.mail.listener import make_listener
from farhand_server.mail.mailboxes import (
    SMTP,
    Mailbox,
    MailboxTerms,
    Server,
    ServerTerms,
    get_mailbox,
    list_mailboxes,
    remove_mailbox,
    servers_of,
    set_mailbox,
    set_server,
)
from farhand_server.mail.outgoing import hold_mail, queue_mail, send_held
from farhand_server.mail.placing import ACKNOWLEDGE
from farhand_server.mail.poller import make_poller
from farhand_server.mail.quarantine import (
    MailLine,
    MailView,
    drop_mail,
    list_mails,
    raw_of,
    release_mail,
    show_mail,
)
from farhand_server.mail.rendering import CSP_WITH_PICTURES
from farhand_server.mail.showing import html_of_mail, picture_of_mail
from farhand_server.mail.trying import Tried, try_servers
from farhand_server.outbox.sending import make_outbox
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mails

__all__ = ["AREA"]

_State = Annotated[
    Literal["kept", "done", "quarantined", "dropped", "queued", "sending", "sent", "partly",
            "failed", "held"] | None,
    QueryParameter(name="state"),
]  # fmt: skip
_Direction = Annotated[Literal["in", "out"] | None, QueryParameter(name="direction")]
_Ticket = Annotated[str | None, QueryParameter(name="ticket", max_length=200)]
_Id = FromPath[int]
# With what a stranger made, and a browser may show.
_FOREIGN: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class MailTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin sets of all mail; what is None stays.

    `acknowledge` is whether a new ticket is answered at once by the desk, `notify` whether it
    writes by itself that one was resolved or reopened.  `authservs` are the names under which our
    own mail server vouches for senders; none asks nobody.
    """

    smtp: ServerTerms | None = None
    acknowledge: bool | None = None
    notify: bool | None = None
    authservs: Annotated[list[str], msgspec.Meta(max_length=50)] | None = None


class MailStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How mail goes: `listening` is this node's own, `waiting` what is not sent or read yet."""

    mailboxes: list[Mailbox]
    smtp: Server | None
    listening: str
    acknowledge: bool
    notify: bool
    authservs: list[str]
    waiting_in: int
    waiting_out: int
    quarantined: int
    failed: int


class MailTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A try of the servers; with `to` a mail is sent there, too."""

    to: Annotated[str, msgspec.Meta(max_length=254)] = ""


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a try came to."""

    items: list[Tried]
    mail: int | None


class MailController(Controller):
    """Mail as a whole, and single mails."""

    path = "/mail"

    @get("/status", action="mail.status")
    async def status(self, relay: FromRelay) -> MailStatus:
        """Tell how mail goes."""
        return await _status(relay)

    @post("/settings", action="mail.write", status_code=200)
    async def set_terms(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[MailTerms]
    ) -> MailStatus:
        """Set the server that takes what goes out, and what the desk writes by itself."""
        async with relay.db.write() as c:
            if data.smtp is not None:
                await set_server(c, relay, name=SMTP, terms=data.smtp, actor=actor.name)
            for name, value in ((ACKNOWLEDGE, data.acknowledge), (NOTIFY, data.notify)):
                if value is not None:
                    await set_setting(c, relay, name, value, actor.name)
            if data.authservs is not None:
                names = check_authservs(data.authservs)
                await set_setting(c, relay, AUTHSERVS, names, actor.name)
        relay.service(make_outbox).wake()
        return await _status(relay)

    @post("/test", action="mail.write", status_code=200)
    async def test(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[MailTrial]
    ) -> TrialReport:
        """Sign in to every server now; with an address, send a mail there as well."""
        items = await try_servers(relay)
        mail = None
        if data.to:
            async with relay.db.write() as c:
                await relay.audit.append(
                    c, actor=actor.name, action="mail.test", subject=data.to[:200]
                )
                text = f"This is a test that {actor.name} asked for. Nothing is to be done."
                mail = await queue_mail(
                    c, relay, to=[data.to], subject="Farhand: test", text=text, auto=True
                )
            relay.service(make_outbox).wake()
        return TrialReport(items=items, mail=mail)

    @get("/mails", action="mail.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        in_state: _State = None,
        direction: _Direction = None,
        ticket: _Ticket = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[MailLine]:
        """Return mails, newest first."""
        before = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            number = None
            if ticket is not None:
                sight = sight_of(actor, "ticket.read")
                number = (await get_ticket(c, relay.tenant, ticket, sight=sight)).row
            elif authorise(actor, "mail.read") != "all":
                raise UsageError("invalid", "name the ticket whose mails you want")
            rows = await list_mails(
                c,
                relay.tenant,
                state=in_state,
                direction=direction,
                ticket=number,
                before=before[0] if before else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.id,))

    @get("/mails/{mail:int}", action="mail.read")
    async def show(self, relay: FromRelay, actor: FromActor, mail: _Id) -> MailView:
        """Return one mail with its recipients and its beginning."""
        return await _seen(relay, actor, mail)

    @get("/mails/{mail:int}/raw", action="mail.read")
    async def raw(self, relay: FromRelay, actor: FromActor, mail: _Id) -> Response[bytes]:
        """Return a mail as it came, for a program: never shown by a browser."""
        await _seen(relay, actor, mail)
        async with relay.db.read() as c:
            content = await raw_of(c, relay.tenant, mail)
        return Response(
            content,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": f'attachment; filename="mail-{mail}.eml"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    @get("/mails/{mail:int}/html", action="mail.read")
    async def html(self, relay: FromRelay, actor: FromActor, mail: _Id) -> Response[str]:
        """Return a mail's own HTML, made harmless: it runs nothing and fetches nothing."""
        seen = await _seen(relay, actor, mail)
        path = f"/api/v1/mail/mails/{mail}/pictures/"
        page = await html_of_mail(relay, mail, message=seen.message, pictures=path)
        headers = {"Content-Security-Policy": CSP_WITH_PICTURES, **_FOREIGN}
        return Response(page, media_type="text/html", headers=headers)

    @get("/mails/{mail:int}/pictures/{place:int}", action="mail.read")
    async def picture(
        self, relay: FromRelay, actor: FromActor, mail: _Id, place: FromPath[int]
    ) -> Response[bytes]:
        """Return a picture that stands in a mail's HTML."""
        seen = await _seen(relay, actor, mail)
        found = await picture_of_mail(relay, seen.message, place)
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox", **_FOREIGN}
        return Response(found.content, media_type=found.media_type, headers=headers)

    @post("/mails/{mail:int}/hold", action="mail.hold", status_code=200)
    async def hold(self, relay: FromRelay, actor: FromActor, mail: _Id) -> MailView:
        """Stop a mail that was not sent yet."""
        await _seen(relay, actor, mail)
        async with relay.db.write() as c:
            await hold_mail(c, relay, mail=mail, actor=actor.name)
            return await show_mail(c, relay.tenant, mail)

    @post("/mails/{mail:int}/send", action="mail.hold", status_code=200)
    async def send(self, relay: FromRelay, actor: FromActor, mail: _Id) -> MailView:
        """Let a held mail go."""
        await _seen(relay, actor, mail)
        async with relay.db.write() as c:
            await send_held(c, relay, mail=mail, actor=actor.name)
            shown = await show_mail(c, relay.tenant, mail)
        relay.service(make_outbox).wake()
        return shown

    @post("/mails/{mail:int}/release", action="mail.write", status_code=200)
    async def release(self, relay: FromRelay, actor: FromActor, mail: _Id) -> MailView:
        """Read a mail of the quarantine anew."""
        async with relay.db.write() as c:
            await release_mail(c, relay, mail=mail, actor=actor.name)
            shown = await show_mail(c, relay.tenant, mail)
        relay.service(make_intake).wake()
        return shown

    @post("/mails/{mail:int}/drop", action="mail.write", status_code=200)
    async def drop(self, relay: FromRelay, actor: FromActor, mail: _Id) -> MailView:
        """Throw a mail of the quarantine away, but for its row."""
        async with relay.db.write() as c:
            await drop_mail(c, relay, mail=mail, actor=actor.name)
            return await show_mail(c, relay.tenant, mail)


async def _status(relay: Relay) -> MailStatus:
    tenant = relay.tenant
    async with relay.db.read() as c:
        query = select(mails.c.direction, mails.c.state, func.count())
        query = query.where(mails.c.tenant == tenant).group_by(mails.c.direction, mails.c.state)
        counts = {(row[0], row[1]): int(row[2]) for row in await c.execute(query)}
        return MailStatus(
            mailboxes=await list_mailboxes(c, tenant),
            smtp=(await servers_of(c, tenant)).get(SMTP),
            listening=relay.settings.mail_listen,
            acknowledge=await get_setting(c, tenant, ACKNOWLEDGE, bool, default=True),
            notify=await get_setting(c, tenant, NOTIFY, bool, default=True),
            authservs=await get_setting(c, tenant, AUTHSERVS, list[str], default=[]),
            waiting_in=counts.get(("in", "kept"), 0),
            waiting_out=counts.get(("out", "queued"), 0) + counts.get(("out", "sending"), 0),
            quarantined=counts.get(("in", "quarantined"), 0),
            failed=counts.get(("out", "failed"), 0) + counts.get(("out", "partly"), 0),
        )


async def _seen(relay: Relay, actor: Actor, mail: int) -> MailView:
    """Return a mail that this actor may see.

    Raises:
        FarhandError: `not-found`, also for one that is not hers to see.
    """
    async with relay.db.read() as c:
        shown = await show_mail(c, relay.tenant, mail)
        if authorise(actor, "mail.read") != "all":
            if shown.ticket is None:
                raise not_found("mail", str(mail))
            try:
                sight = sight_of(actor, "ticket.read")
                await get_ticket(c, relay.tenant, str(shown.ticket), sight=sight)
            except FarhandError as error:
                raise not_found("mail", str(mail)) from error
    return shown


class MailboxController(Controller):
    """Mailboxes, by name."""

    path = "/mailboxes"

    @get("/", action="mail.status")
    async def list_all(self, relay: FromRelay) -> Page[Mailbox]:
        """Return every mailbox; they are bounded."""
        async with relay.db.read() as c:
            return Page(items=await list_mailboxes(c, relay.tenant))

    @get("/{name:str}", action="mail.status")
    async def show(self, relay: FromRelay, name: FromPath[str]) -> Mailbox:
        """Return one."""
        async with relay.db.read() as c:
            return await get_mailbox(c, relay.tenant, name)

    @post("/{name:str}", action="mail.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, name: FromPath[str], data: JSONBody[MailboxTerms]
    ) -> Mailbox:
        """Make a mailbox, or change it."""
        async with relay.db.write() as c:
            made = await set_mailbox(c, relay, name=name, terms=data, actor=actor.name)
        relay.service(make_poller).wake()
        return made

    @post("/{name:str}/remove", action="mail.write", status_code=200)
    async def remove(self, relay: FromRelay, actor: FromActor, name: FromPath[str]) -> Mailbox:
        """Forget a mailbox; its mails stay."""
        async with relay.db.write() as c:
            return await remove_mailbox(c, relay, name=name, actor=actor.name)


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(relay.service(make_intake).run(), name="mail intake")
    relay.tasks.spawn(relay.service(make_poller).run(), name="mail poller")
    if relay.settings.mail_listen:
        await relay.service(make_listener).start(relay.settings.mail_listen)


async def _drain(relay: Relay) -> None:
    relay.service(make_poller).abort()
    await relay.service(make_listener).stop()


AREA = Area(
    name="mail",
    controllers=[MailController, MailboxController],
    statuses={
        "mail-password-needed": 422,
        "mail-state": 409,
        "mailbox-address": 409,
        "mailbox-limit": 409,
        "mail-unreachable": 502,
    },
    start=_start,
    drain=_drain,
)
