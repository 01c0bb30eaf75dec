"""Routes beside a ticket: whose it is, papers, vendors; and the card, skills and notices."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.accounts.authorisation import PUBLIC, authorise
from farhand_server.api.area import Area
from farhand_server.api.desk import sight_of
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.api.revisions import check_if_match
from farhand_server.care.card import CardTerms, SupportCard, card_of, card_terms, set_card
from farhand_server.care.notices import (
    NewNotice,
    Notice,
    create_notice,
    current_notices,
    end_notice,
    list_notices,
    publish_notice,
)
from farhand_server.care.panel import PersonPanel, panel_of
from farhand_server.care.papers import (
    NewPaper,
    Paper,
    PaperKind,
    add_paper,
    find_papers,
    papers_of,
    remove_paper,
)
from farhand_server.care.referrals import (
    NewReferral,
    Referral,
    ReferralChange,
    change_referral,
    find_referrals,
    refer,
    referrals_of,
)
from farhand_server.care.skills import (
    NewSkill,
    Proposal,
    Skill,
    add_skill,
    list_skills,
    propose_owners,
    remove_skill,
)
from farhand_server.desk.references import parse_reference
from farhand_server.desk.tickets import get_ticket
from farhand_server.people.organisations import get_organisation

__all__ = ["AREA"]

_Line = Annotated[str, msgspec.Meta(max_length=400)]
_Request = Request[Any, Any, Any]
_Number = Annotated[str, QueryParameter(name="number", max_length=80)]
_Rma = Annotated[str, QueryParameter(name="rma_no", max_length=200)]
_Account = Annotated[str | None, QueryParameter(name="account", max_length=64)]
_SkillName = Annotated[str | None, QueryParameter(name="skill", max_length=80)]
_Wanted = Annotated[str, QueryParameter(name="skill", max_length=80)]
_Ending = Annotated[int | None, QueryParameter(name="ending_days", ge=0, le=3660)]
_Everything = Annotated[bool, QueryParameter(name="everything")]


class OldPaper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A paper that is on the ticket."""

    kind: PaperKind
    number: _Line


class OldSkill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A skill that somebody has no more."""

    account: _Line
    skill: _Line


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """It is there no more."""


class TicketCareController(Controller):
    """What belongs to a ticket; `{ticket}` is FH-1, 1, or an external key."""

    path = "/tickets/{ticket:str}"

    @get("/person", action="person.read")
    async def person(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> PersonPanel:
        """Return whose ticket it is, and what is known of her."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight)
            return await panel_of(c, relay, ticket=found, sight=sight)

    @get("/papers", action="ticket.read")
    async def papers(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[Paper]:
        """Return orders, shipments and invoices of the ticket."""
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.read"))
            return Page(items=await papers_of(c, relay.tenant, found.row))

    @post("/papers", action="ticket.work", status_code=200)
    async def add_paper(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[NewPaper]
    ) -> Page[Paper]:
        """Put a paper on the ticket, or change its address."""
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.work"))
            made = await add_paper(c, relay, ticket=found, new=data, actor=actor.name)
            return Page(items=made)

    @post("/papers/remove", action="ticket.work", status_code=200)
    async def remove_paper(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], data: JSONBody[OldPaper]
    ) -> Page[Paper]:
        """Take a paper off the ticket."""
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.work"))
            left = await remove_paper(
                c, relay, ticket=found, kind=data.kind, number=data.number, actor=actor.name
            )
            return Page(items=left)

    @get("/vendor", action="person.read")
    async def referrals(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str]
    ) -> Page[Referral]:
        """Return to which vendors the ticket went."""
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.read"))
            return Page(items=await referrals_of(c, relay.tenant, found.row))

    @post("/vendor", action="ticket.work", status_code=201)
    async def refer(
        self,
        relay: FromRelay,
        actor: FromActor,
        request: _Request,
        ticket: FromPath[str],
        data: JSONBody[NewReferral],
    ) -> Referral:
        """Hand the ticket to a vendor, and wait for them."""
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.work"))
            check_if_match(request, found.revision)
            return await refer(
                c, relay, ticket=found, new=data, actor=actor.name, revision=found.revision
            )

    @post("/vendor/{referral:str}", action="ticket.work", status_code=200)
    async def change_referral(
        self,
        relay: FromRelay,
        actor: FromActor,
        ticket: FromPath[str],
        referral: FromPath[str],
        data: JSONBody[ReferralChange],
    ) -> Referral:
        """Note what became known: RMA number, carrier, days, a loaner."""
        async with relay.db.write() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.work"))
            return await change_referral(
                c, relay, ticket=found, referral=referral, change=data, actor=actor.name
            )

    @get("/owners", action="skill.read")
    async def owners(
        self, relay: FromRelay, actor: FromActor, ticket: FromPath[str], skill: _Wanted
    ) -> Page[Proposal]:
        """Propose who could own the ticket, who has this skill; the least busy first."""
        async with relay.db.read() as c:
            found = await get_ticket(c, relay.tenant, ticket, sight=sight_of(actor, "ticket.read"))
            return Page(items=await propose_owners(c, relay, ticket=found, skill=skill))


class PaperController(Controller):
    """Papers by their number, whatever ticket they are on."""

    path = "/papers"

    @get("/", action="person.read")
    async def find(
        self,
        relay: FromRelay,
        actor: FromActor,
        number: _Number,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Paper]:
        """Return the papers of this number, newest ticket first."""
        after = decode_cursor(cursor, int)
        async with relay.db.read() as c:
            rows = await find_papers(
                c,
                relay.tenant,
                number,
                sight=sight_of(actor, "ticket.read"),
                before=after[0] if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (parse_reference(row.ticket),))


class ReferralController(Controller):
    """Referrals by RMA number."""

    path = "/referrals"

    @get("/", action="person.read")
    async def find(self, relay: FromRelay, actor: FromActor, rma_no: _Rma) -> Page[Referral]:
        """Return the referrals with this number, on tickets that the asker sees."""
        sight = sight_of(actor, "ticket.read")
        async with relay.db.read() as c:
            found = await find_referrals(c, relay.tenant, rma_no, sight=sight)
        return Page(items=found)


class CardController(Controller):
    """How the desk is reached; nothing private is on it."""

    @get("/card", action=PUBLIC)
    async def show(self, relay: FromRelay) -> SupportCard:
        """Return the desk's card, to anybody."""
        async with relay.db.read() as c:
            return await card_of(c, relay)

    @post("/card", action="card.write", status_code=200)
    async def set(
        self, relay: FromRelay, actor: FromActor, data: JSONBody[CardTerms]
    ) -> SupportCard:
        """Write the desk's card."""
        async with relay.db.write() as c:
            return await set_card(c, relay, organisation=None, terms=data, actor=actor.name)

    @get("/card/terms", action="card.write")
    async def terms(self, relay: FromRelay) -> CardTerms:
        """Return what was written on the desk's card."""
        async with relay.db.read() as c:
            return await card_terms(c, relay.tenant, None)

    @get("/organisations/{organisation:str}/card", action="organisation.read")
    async def show_for(self, relay: FromRelay, organisation: FromPath[str]) -> SupportCard:
        """Return an organisation's card."""
        async with relay.db.read() as c:
            found = await get_organisation(c, relay.tenant, organisation)
            return await card_of(c, relay, found)

    @get("/organisations/{organisation:str}/card/terms", action="card.write")
    async def terms_for(self, relay: FromRelay, organisation: FromPath[str]) -> CardTerms:
        """Return what was written on an organisation's card."""
        async with relay.db.read() as c:
            found = await get_organisation(c, relay.tenant, organisation)
            return await card_terms(c, relay.tenant, found)

    @post("/organisations/{organisation:str}/card", action="card.write", status_code=200)
    async def set_for(
        self,
        relay: FromRelay,
        actor: FromActor,
        organisation: FromPath[str],
        data: JSONBody[CardTerms],
    ) -> SupportCard:
        """Write an organisation's card."""
        async with relay.db.write() as c:
            found = await get_organisation(c, relay.tenant, organisation)
            return await set_card(c, relay, organisation=found, terms=data, actor=actor.name)


class SkillController(Controller):
    """Skills and certificates of the desk."""

    path = "/skills"

    @get("/", action="skill.read")
    async def list_all(
        self,
        relay: FromRelay,
        account: _Account = None,
        skill: _SkillName = None,
        ending_days: _Ending = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Skill]:
        """Return skills; with `ending_days` those that end so soon, or have ended."""
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            rows = await list_skills(
                c,
                relay,
                account=account,
                skill=skill,
                ending_days=ending_days,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.account, row.skill))

    @post("/", action="skill.write", status_code=200)
    async def add(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewSkill]) -> Skill:
        """Note that somebody can do something, or until when."""
        async with relay.db.write() as c:
            return await add_skill(c, relay, new=data, actor=actor.name)

    @post("/remove", action="skill.write", status_code=200)
    async def remove(self, relay: FromRelay, actor: FromActor, data: JSONBody[OldSkill]) -> Gone:
        """Note that somebody can do something no more."""
        async with relay.db.write() as c:
            await remove_skill(c, relay, account=data.account, skill=data.skill, actor=actor.name)
        return Gone()


class NoticeController(Controller):
    """Notices to many people."""

    path = "/notices"

    @get("/", action="notice.read")
    async def list_all(
        self,
        relay: FromRelay,
        actor: FromActor,
        everything: _Everything = False,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Notice]:
        """Return what is shown to the asker now; to the desk, drafts and ended ones if asked."""
        of_desk = authorise(actor, "notice.read") == "all"
        after = decode_cursor(cursor, str, str)
        async with relay.db.read() as c:
            if not (everything and of_desk):
                person = actor.person or None
                shown = await current_notices(c, relay, person=person, of_desk=of_desk)
                return Page(items=shown)
            rows = await list_notices(
                c,
                relay.tenant,
                before=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.created_at, row.id))

    @post("/", action="notice.write", status_code=201)
    async def create(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewNotice]) -> Notice:
        """Draft a notice; nobody sees it before it is published."""
        async with relay.db.write() as c:
            return await create_notice(c, relay, new=data, actor=actor.name)

    @post("/{notice:str}/publish", action="notice.write", status_code=200)
    async def publish(self, relay: FromRelay, actor: FromActor, notice: FromPath[str]) -> Notice:
        """Show a notice, and mail it to whom it is for."""
        async with relay.db.write() as c:
            return await publish_notice(c, relay, notice=notice, actor=actor.name)

    @post("/{notice:str}/end", action="notice.write", status_code=200)
    async def end(self, relay: FromRelay, actor: FromActor, notice: FromPath[str]) -> Notice:
        """Show a notice no more."""
        async with relay.db.write() as c:
            return await end_notice(c, relay, notice=notice, actor=actor.name)


AREA = Area(
    name="care",
    controllers=[
        TicketCareController,
        PaperController,
        ReferralController,
        CardController,
        SkillController,
        NoticeController,
    ],
    statuses={
        "notice-ended": 409,
        "paper-limit": 409,
        "referral-limit": 409,
        "skill-limit": 409,
        "vendor-unreachable": 409,
    },
)
