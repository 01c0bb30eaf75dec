"""Pages behind a link of a mail: one request, read and answered without an account.

Opening a link changes nothing, because programs open links too.  What a link allows is in
`mail.ticket_links`; each of these routes asks it anew.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath

from farhand_protocol.errors import UsageError
from farhand_server.accounts.authorisation import PUBLIC
from farhand_server.api.address import caller_address
from farhand_server.api.guard import FromRelay
from farhand_server.api.knowledge_public import make_public_rates
from farhand_server.desk.absorbed import merged_into
from farhand_server.desk.moves import add_message, close, reopen
from farhand_server.desk.participants import check_may_post
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.watching import tell_ticket
from farhand_server.errors import not_permitted
from farhand_server.mail.showing import html_of_mail
from farhand_server.mail.ticket_links import Holder, OpenedLink, open_link
from farhand_server.measures.surveys import answer_open_survey, open_survey
from farhand_server.pages.opening import zone_of
from farhand_server.pages.routing import look, mail_response, see_other
from farhand_server.pages.threads import file_of_thread, mail_of_message, read_thread
from farhand_server.pages.uploads import MAX_UPLOAD_BYTES, keep_files, read_upload
from farhand_server.pages.visitor import read_form
from farhand_server.relay import Relay

__all__ = ["TicketLinkPages", "guest_of", "numbers_of", "opened"]

_Anything = Request[Any, Any, Any]


async def opened(request: _Anything, relay: Relay, token: str) -> OpenedLink:
    """Return what a link leads to; counts the caller, who may be guessing.

    Raises:
        FarhandError: `link-over`, `rate-limited`.
    """
    relay.service(make_public_rates).reads.take(caller_address(request, relay))
    async with relay.db.read() as c:
        return await open_link(c, relay, token)


async def numbers_of(relay: Relay, link: OpenedLink) -> list[int]:
    """Return the tickets whose words a link shows.

    A guest's chat shows its own words only: what the desk merged into it was said by others, and
    nobody knows who the guest is.  `guest_of` goes with it, for the same reason.
    """
    if link.chat:
        return [link.ticket.row]
    async with relay.db.read() as c:
        return [link.ticket.row, *await merged_into(c, relay.tenant, link.ticket.row)]


def guest_of(link: OpenedLink) -> str | None:
    """Return by which name the guest of a chat's link writes; None for a mail's link."""
    return link.holders[0].name if link.chat else None


def _is_hers(ticket: Ticket, holder: Holder) -> bool:
    by_name = ticket.requester in (holder.name, holder.address)
    return by_name or (holder.person is not None and ticket.person == holder.person)


def _writer(link: OpenedLink, address: str) -> Holder:
    """Return who writes: the link's only holder, or whom of several she says that she is."""
    if len(link.holders) == 1:
        return link.holders[0]
    for one in link.holders:
        if one.address == address:
            return one
    raise UsageError("invalid", "who writes is one of those whom the mail went to")


def _only_holder(link: OpenedLink) -> Holder:
    """Return whose link it is.

    Raises:
        FarhandError: `not-permitted` where it may be somebody else's as well, or is not hers who
            asked for help.
    """
    if len(link.holders) != 1 or not _is_hers(link.ticket, link.holders[0]):
        raise not_permitted("whoever asked for help says whether it is solved")
    return link.holders[0]


class TicketLinkPages(Controller):
    """One request, by the link of a mail."""

    path = "/t/{token:str}"

    @get("/", action=PUBLIC, include_in_schema=False)
    async def show(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Show the request, and what was said."""
        link = await opened(request, relay, token)
        reading = await look(request, relay)
        if link.ticket.organisation and not (link.chat or reading.visitor.chose_zone):
            async with relay.db.read() as c:
                reading.visitor.zone = await zone_of(c, relay, link.ticket.organisation)
        thread = await read_thread(relay, await numbers_of(relay, link), guest=guest_of(link))
        is_one = len(link.holders) == 1
        holder = link.holders[0]
        is_solver = is_one and _is_hers(link.ticket, holder)
        survey = None
        if is_solver and not link.chat:
            async with relay.db.read() as c:
                survey = await open_survey(c, relay, ticket=link.ticket.row, person=holder.person)
        return reading.page(
            "ticket",
            ticket=link.ticket,
            thread=thread,
            me={holder.name, holder.address} if is_one else set(),
            base=f"/t/{token}",
            is_solver=is_solver,
            survey=survey is not None,
            may_post=True,
            in_chat=link.chat,
            writers=link.holders,
        )

    @get("/files/{message:int}/{place:int}", action=PUBLIC, include_in_schema=False)
    async def file(
        self,
        request: _Anything,
        relay: FromRelay,
        token: FromPath[str],
        message: FromPath[int],
        place: FromPath[int],
    ) -> Response[bytes]:
        """Return a file of the request."""
        link = await opened(request, relay, token)
        return await file_of_thread(
            relay, await numbers_of(relay, link), message, place, guest=guest_of(link)
        )

    @get("/mail/{message:int}", action=PUBLIC, include_in_schema=False)
    async def mail(
        self, request: _Anything, relay: FromRelay, token: FromPath[str], message: FromPath[int]
    ) -> Response[Any]:
        """Show a mail as it was sent, within a page of ours."""
        link = await opened(request, relay, token)
        await mail_of_message(relay, await numbers_of(relay, link), message, guest=guest_of(link))
        reading = await look(request, relay)
        return reading.page(
            "mail", frames=True, ticket=link.ticket, base=f"/t/{token}", message=message
        )

    @get("/mail/{message:int}/own", action=PUBLIC, include_in_schema=False)
    async def mail_itself(
        self, request: _Anything, relay: FromRelay, token: FromPath[str], message: FromPath[int]
    ) -> Response[str]:
        """Return a mail's own HTML, made harmless."""
        link = await opened(request, relay, token)
        mail = await mail_of_message(
            relay, await numbers_of(relay, link), message, guest=guest_of(link)
        )
        return mail_response(await html_of_mail(relay, mail, message=message, pictures=None))

    @post(
        "/reply",
        action=PUBLIC,
        include_in_schema=False,
        request_max_body_size=MAX_UPLOAD_BYTES,
    )
    async def reply(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Say something more, with files."""
        link = await opened(request, relay, token)
        address = caller_address(request, relay)
        form, files = await read_upload(request, relay, sender=address)
        relay.service(make_public_rates).writes.take(address)
        holder = _writer(link, form.get("writer", ""))
        async with relay.db.write() as c:
            await check_may_post(c, relay.tenant, link.ticket, holder.name)
            said = await add_message(
                c,
                relay,
                ref=link.ticket.id,
                kind="reply",
                body=form.get("body", ""),
                actor=holder.name,
                sight=holder.sight,
                # Else it would read like what came by the link of a mail, which no guest has.
                channel="chat" if link.chat else "link",
                person=holder.person,
            )
            await keep_files(c, relay, said.seq, files)
        await tell_ticket(relay, int(said.ticket[3:]))
        if link.ticket.merged_into is None and said.ticket != link.ticket.number:
            return (await look(request, relay)).page("sent", number=said.ticket)
        return see_other(f"/t/{token}")

    @post("/solved", action=PUBLIC, include_in_schema=False)
    async def solved(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Call the request solved, or not."""
        link = await opened(request, relay, token)
        form = await read_form(request, relay)
        holder = _only_holder(link)
        sight, ref = holder.sight, link.ticket.id
        async with relay.db.write() as c:
            if form.get("solved") == "yes":
                await close(c, relay, ref=ref, actor=holder.name, sight=sight)
            else:
                why = form.get("body", "")
                await reopen(c, relay, ref=ref, reason=why, actor=holder.name, sight=sight)
        return see_other(f"/t/{token}")

    @post("/content", action=PUBLIC, include_in_schema=False)
    async def content(
        self, request: _Anything, relay: FromRelay, token: FromPath[str]
    ) -> Response[Any]:
        """Take how content she is, where she was asked."""
        link = await opened(request, relay, token)
        form = await read_form(request, relay)
        holder = _only_holder(link)
        score = form.get("score", "")
        if link.chat or score not in ("1", "2", "3", "4", "5"):
            raise UsageError("invalid", "an answer is 1 to 5")
        async with relay.db.write() as c:
            await answer_open_survey(
                c,
                relay,
                ticket=link.ticket.row,
                person=holder.person,
                score=int(score),
                comment=form.get("comment", "").replace("\r\n", "\n"),
            )
        return see_other(f"/t/{token}")
