"""Routes of what is kept about somebody: shown to her, erased for her."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.care.dossier import Dossier, dossier_of, file_of, note_export
from farhand_server.care.erasure import Erasure, erase_person
from farhand_server.care.retention import sweep_words_for_ever
from farhand_server.relay import Relay

__all__ = ["AREA"]

_After = Annotated[int, QueryParameter(name="after", ge=0, le=2_000_000_000)]


class NewErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why somebody is erased; the reason is kept."""

    reason: Annotated[str, msgspec.Meta(max_length=400)]
    force: bool = False
    whole_tickets: bool = False


class PrivacyController(Controller):
    """What is kept about a person; `{person}` is an id, an account or a mail address."""

    path = "/people/{person:str}"

    @get("/dossier", action="person.export")
    async def dossier(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], after: _After = 0
    ) -> Dossier:
        """Return everything that is kept about her, some tickets at a time."""
        if not after:
            async with relay.db.write() as c:
                await note_export(c, relay, ref=person, actor=actor.name)
        async with relay.db.read() as c:
            return await dossier_of(c, relay, ref=person, after=after)

    @get("/files/{sha256:str}", action="person.export")
    async def file(
        self, relay: FromRelay, person: FromPath[str], sha256: FromPath[str]
    ) -> Response[bytes]:
        """Return a file or raw mail that the dossier names."""
        async with relay.db.read() as c:
            found = await file_of(c, relay, ref=person, sha256=sha256)
        # What a stranger sent is data here, whatever it calls itself.
        return Response(
            found.content,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            },
        )

    @post("/erase", action="person.erase", status_code=200)
    async def erase(
        self, relay: FromRelay, actor: FromActor, person: FromPath[str], data: JSONBody[NewErasure]
    ) -> Erasure:
        """Erase her; there is no way back."""
        async with relay.db.write() as c:
            return await erase_person(
                c,
                relay,
                ref=person,
                reason=data.reason,
                actor=actor.name,
                force=data.force,
                whole_tickets=data.whole_tickets,
            )


async def _start(relay: Relay) -> None:
    relay.tasks.spawn(sweep_words_for_ever(relay), name="retention sweep")


AREA = Area(
    name="privacy",
    controllers=[PrivacyController],
    statuses={"person-has-tickets": 409, "person-staff": 409},
    start=_start,
)
