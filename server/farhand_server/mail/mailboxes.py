"""Mailboxes of the desk, the servers that bring and take its mail, and their passwords.

A mailbox is an address of the desk and the queue that its mail goes to.  Mail comes to it over IMAP
(it then has a server), through the listener (`mail.listener`), or both.  One SMTP server takes what
goes out, for all of them.  Whoever changes a server's host, port or user gives the password again:
else an admin's stolen token could send it to a host of the thief's.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, RowMapping, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.config import is_loopback
from farhand_server.desk.queues import DEFAULT_QUEUE, get_queue
from farhand_server.errors import not_found
from farhand_server.mail.sealing import MAX_PASSWORD_CHARS, seal, unseal
from farhand_server.relay import Relay
from farhand_server.store.schema.mail import mail_servers, mailboxes
from farhand_server.wording import check_line

__all__ = [
    "MAX_MAILBOXES",
    "SMTP",
    "Mailbox",
    "MailboxTerms",
    "Security",
    "Server",
    "ServerTerms",
    "check_address",
    "get_mailbox",
    "imap_name",
    "list_mailboxes",
    "mailbox_of_queue",
    "own_addresses",
    "remove_mailbox",
    "server_of",
    "servers_of",
    "set_mailbox",
    "set_server",
]

MAX_MAILBOXES: Final = 50
SMTP: Final = "smtp"
_MAX_NAME_CHARS: Final = 40
_ADDRESS = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63}){0,10}",
    re.ASCII,
)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", re.ASCII)

Security = Literal["tls", "starttls", "plain"]
_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Secret = Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD_CHARS)]


class ServerTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail server as an admin gives it; without a password the one that is kept stays.

    `security`: TLS from the first byte, STARTTLS before anything is said, or nothing, which is
    for this machine only.  `ca` is a PEM certificate to trust besides the system's.  `folder` is
    read over IMAP; what was kept is moved to `moved_to`, or marked as seen where that is empty.
    `oauth` names a file in the relay's home by which tokens are had in place of a password
    (`mail.oauth`).
    """

    host: _Text
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    security: Security = "tls"
    user: _Text = ""
    oauth: _Text = ""
    password: _Secret | None = None
    ca: Annotated[str, msgspec.Meta(max_length=20_000)] = ""
    folder: _Text = "INBOX"
    moved_to: _Text = ""

    def __repr__(self) -> str:
        return f"ServerTerms(host={self.host!r}, port={self.port})"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server as it is shown; `has_password` is all that is said of that."""

    host: str
    port: int
    security: Security
    user: str
    oauth: str = ""
    ca: str = ""
    folder: str = "INBOX"
    moved_to: str = ""
    has_password: bool = False


class MailboxTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin sets of a mailbox; `imap` None leaves its server as it is.

    With `resolves` the recovery that a monitoring program reports resolves the ticket that its
    problem made.
    """

    address: Annotated[str, msgspec.Meta(max_length=254)]
    queue: _Text = DEFAULT_QUEUE
    title: _Text = ""
    active: bool = True
    resolves: bool = False
    imap: ServerTerms | None = None


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """One mailbox, and how reading it goes."""

    name: str
    address: str
    queue: str
    title: str
    active: bool
    resolves: bool
    polled_at: str | None
    poll_error: str
    failures: int
    imap: Server | None = None


def check_address(text: str) -> str:
    """Return a mail address as addresses are compared: lower case, ASCII.

    Raises:
        UsageError: `mail-address`.
    """
    address = text.strip().lower()
    if len(address) > 254 or _ADDRESS.fullmatch(address) is None:
        raise UsageError("mail-address", f"{text[:80]!r} is not a mail address")
    return address


def imap_name(mailbox: str) -> str:
    """Return under which name the server of a mailbox is kept."""
    return f"imap:{mailbox}"


# Servers.


def _check_server(terms: ServerTerms) -> None:
    host = terms.host.strip()
    if not host or not host.isascii() or not host.isprintable() or " " in host:
        raise UsageError("mail-server", f"{terms.host[:80]!r} is not the name of a host")
    if terms.security == "plain" and not is_loopback(host):
        raise UsageError(
            "mail-server",
            "mail without TLS is for this machine only",
            hint="--security tls or --security starttls",
        )
    if terms.oauth and not (_FILE.fullmatch(terms.oauth) and terms.user):
        raise UsageError(
            "mail-server",
            "a token is had by a file that is named without a folder, for a user",
            hint="put it into the relay's home, mode 0600",
        )
    if not (terms.user + terms.folder + terms.moved_to).isprintable():
        raise UsageError("mail-server", "user and folders are printable text")


async def set_server(
    c: AsyncConnection, relay: Relay, *, name: str, terms: ServerTerms, actor: str
) -> Server:
    """Keep how a server is reached.

    Raises:
        UsageError: `mail-server`.
        FarhandError: `mail-password-needed` when the place changed and no password came along.
    """
    _check_server(terms)
    row = await _server_row(c, relay.tenant, name)
    sealed = ""
    if terms.password is not None:
        sealed = seal(relay, name, terms.password)
    elif row is not None and row["sealed"] and not terms.oauth:
        before = msgspec.json.decode(row["definition"], type=Server)
        place = ("host", "port", "security", "user", "ca")
        if any(getattr(before, key) != getattr(terms, key) for key in place):
            raise FarhandError(
                "mail-password-needed",
                "the password is not sent to another place: give it again",
                hint="--password asks for it",
            )
        sealed = row["sealed"]
    made = Server(
        **{key: getattr(terms, key) for key in Server.__struct_fields__ if key != "has_password"},
        has_password=bool(sealed),
    )
    await relay.audit.append(
        c, actor=actor, action="mail.server", subject=name, detail={"host": made.host}
    )
    await c.execute(delete(mail_servers).where(_server_key(relay.tenant, name)))
    await c.execute(
        insert(mail_servers).values(
            tenant=relay.tenant,
            name=name,
            definition=msgspec.json.encode(made).decode(),
            sealed=sealed,
        )
    )
    return made


def _server_key(tenant: str, name: str) -> ColumnElement[bool]:
    return and_(mail_servers.c.tenant == tenant, mail_servers.c.name == name)


async def _server_row(c: AsyncConnection, tenant: str, name: str) -> RowMapping | None:
    query = select(mail_servers).where(_server_key(tenant, name))
    return (await c.execute(query)).mappings().first()


async def server_of(c: AsyncConnection, relay: Relay, name: str) -> tuple[Server, str] | None:
    """Return a server and its password; None where there is none.

    Raises:
        FarhandError: `mail-password`.
    """
    row = await _server_row(c, relay.tenant, name)
    if row is None:
        return None
    return msgspec.json.decode(row["definition"], type=Server), unseal(relay, name, row["sealed"])


async def servers_of(c: AsyncConnection, tenant: str) -> dict[str, Server]:
    """Return every server by its name, without passwords."""
    query = select(mail_servers).where(mail_servers.c.tenant == tenant)
    return {
        row["name"]: msgspec.json.decode(row["definition"], type=Server)
        for row in (await c.execute(query)).mappings()
    }


# Mailboxes.


def _mailbox(row: RowMapping, servers: dict[str, Server]) -> Mailbox:
    values = {name: row[name] for name in Mailbox.__struct_fields__ if name != "imap"}
    return Mailbox(imap=servers.get(imap_name(row["name"])), **values)


async def list_mailboxes(c: AsyncConnection, tenant: str) -> list[Mailbox]:
    """Return every mailbox by name; there are at most `MAX_MAILBOXES`."""
    servers = await servers_of(c, tenant)
    query = select(mailboxes).where(mailboxes.c.tenant == tenant).order_by(mailboxes.c.name)
    return [_mailbox(row, servers) for row in (await c.execute(query)).mappings()]


async def get_mailbox(c: AsyncConnection, tenant: str, name: str) -> Mailbox:
    """Return a mailbox.

    Raises:
        FarhandError: `not-found`.
    """
    found = next((one for one in await list_mailboxes(c, tenant) if one.name == name), None)
    if found is None:
        raise not_found("mailbox", name)
    return found


async def mailbox_of_queue(c: AsyncConnection, tenant: str, queue: str) -> Mailbox | None:
    """Return the mailbox in whose name mail of a queue goes out; any where it has none."""
    known = [one for one in await list_mailboxes(c, tenant) if one.active]
    own = [one for one in known if one.queue == queue]
    default = [one for one in known if one.queue == DEFAULT_QUEUE]
    return next(iter([*own, *default, *known]), None)


async def own_addresses(c: AsyncConnection, tenant: str) -> set[str]:
    """Return the desk's own addresses, to which it never writes."""
    query = select(mailboxes.c.address).where(mailboxes.c.tenant == tenant)
    return set(await c.scalars(query))


async def set_mailbox(
    c: AsyncConnection, relay: Relay, *, name: str, terms: MailboxTerms, actor: str
) -> Mailbox:
    """Make a mailbox, or change it.

    Raises:
        FarhandError: `invalid`, `mail-address`, `mail-server`, `mail-password-needed`;
            `not-found` for the queue; `mailbox-limit`; `mailbox-address` for an address that
            another one has.
    """
    name = check_line(name, "mailbox's name", max_chars=_MAX_NAME_CHARS)
    if not all(part.isalnum() for part in name.split("-")) or name != name.lower():
        raise FarhandError("invalid", "a mailbox's name is lower case letters, digits and hyphens")
    address = check_address(terms.address)
    await get_queue(c, relay.tenant, terms.queue)
    values = {
        "address": address,
        "queue": terms.queue,
        "title": check_line(terms.title, "mailbox's title") if terms.title.strip() else "",
        "active": terms.active,
        "resolves": terms.resolves,
    }
    there = {one.name: one for one in await list_mailboxes(c, relay.tenant)}
    if any(one.address == address for one in there.values() if one.name != name):
        raise FarhandError("mailbox-address", f"another mailbox has the address {address}")
    await relay.audit.append(
        c, actor=actor, action="mailbox.set", subject=name, detail={"address": address}
    )
    try:
        if name in there:
            mine = and_(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == name)
            await c.execute(update(mailboxes).where(mine).values(**values))
        elif len(there) >= MAX_MAILBOXES:
            raise FarhandError("mailbox-limit", f"there are {MAX_MAILBOXES} mailboxes already")
        else:
            await c.execute(insert(mailboxes).values(**values, **_fresh(relay, name)))
    except IntegrityError as error:
        raise FarhandError(
            "mailbox-address", f"another mailbox has the address {address}"
        ) from error
    if terms.imap is not None:
        await set_server(c, relay, name=imap_name(name), terms=terms.imap, actor=actor)
        await _read_anew(c, relay, name, there.get(name))
    return await get_mailbox(c, relay.tenant, name)


def _fresh(relay: Relay, name: str) -> dict[str, object]:
    return {
        "tenant": relay.tenant,
        "name": name,
        "uid_validity": None,
        "uid": 0,
        "archive_uid": 0,
        "polled_at": None,
        "poll_error": "",
        "next_at": relay.stamp(),
        "failures": 0,
        "created_at": relay.stamp(),
    }


async def _read_anew(c: AsyncConnection, relay: Relay, name: str, before: Mailbox | None) -> None:
    """Poll at once; from the beginning where the folder is another one."""
    values: dict[str, object] = {"next_at": relay.stamp(), "failures": 0, "poll_error": ""}
    now = (await servers_of(c, relay.tenant))[imap_name(name)]
    was = before.imap if before is not None else None
    place = ("host", "port", "user", "folder")
    if was is None or any(getattr(was, key) != getattr(now, key) for key in place):
        values |= {"uid_validity": None, "uid": 0}
    await c.execute(
        update(mailboxes)
        .where(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == name)
        .values(**values)
    )


async def remove_mailbox(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> Mailbox:
    """Forget a mailbox and its server; its mails stay.  Returns it as it was.

    Raises:
        FarhandError: `not-found`.
    """
    gone = await get_mailbox(c, relay.tenant, name)
    await relay.audit.append(c, actor=actor, action="mailbox.remove", subject=name)
    await c.execute(
        delete(mailboxes).where(mailboxes.c.tenant == relay.tenant, mailboxes.c.name == name)
    )
    await c.execute(delete(mail_servers).where(_server_key(relay.tenant, imap_name(name))))
    return gone
