"""Routes of script drafts and their catalogue; devices never ask here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from farhand_protocol.manifest import MAX_SCRIPT_BYTES
from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import LIMIT_DEFAULT, Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.fleet.scripts import (
    MAX_MANIFEST_BYTES,
    Script,
    ScriptDetail,
    add_approval,
    get_script,
    list_scripts,
    mark_script,
    submit_script,
)

__all__ = ["AREA"]

_Envelope = Annotated[bytes, msgspec.Meta(max_length=MAX_MANIFEST_BYTES)]
_State = Annotated[str | None, QueryParameter(name="state", max_length=20)]
_Version = Annotated[int | None, QueryParameter(name="version", ge=1, lt=2**31)]


class NewScript(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest sealed by its author, and the body it describes."""

    envelope: _Envelope
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_SCRIPT_BYTES)]


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same manifest with further signatures."""

    envelope: _Envelope


class ScriptController(Controller):
    """Script versions."""

    path = "/scripts"

    @post("/", action="script.submit", status_code=201)
    async def submit(self, relay: FromRelay, actor: FromActor, data: JSONBody[NewScript]) -> Script:
        """Submit a version of a script."""
        async with relay.db.write() as c:
            return await submit_script(
                c,
                relay,
                envelope=data.envelope,
                body=data.body,
                actor=actor.name,
                is_admin=actor.role == "admin",
            )

    @get("/", action="script.read")
    async def list_all(
        self,
        relay: FromRelay,
        wanted: _State = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT_DEFAULT,
    ) -> Page[Script]:
        """Return all versions, by id."""
        after = decode_cursor(cursor, str, int)
        async with relay.db.read() as c:
            rows = await list_scripts(
                c,
                relay.tenant,
                state=wanted,
                after=(after[0], after[1]) if after else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, lambda row: row, lambda row: (row.id, row.version))

    @get("/{script:str}", action="script.read")
    async def show(
        self, relay: FromRelay, script: FromPath[str], version: _Version = None
    ) -> ScriptDetail:
        """Return one version with manifest and body; the highest when none is named."""
        async with relay.db.read() as c:
            return await get_script(c, relay, script, version=version)

    @post("/{script:str}/{version:int}/approvals", action="script.approve", status_code=200)
    async def approve(
        self,
        relay: FromRelay,
        actor: FromActor,
        script: FromPath[str],
        version: FromPath[int],
        data: JSONBody[Approval],
    ) -> ScriptDetail:
        """Add signatures over the very same manifest."""
        async with relay.db.write() as c:
            return await add_approval(
                c,
                relay,
                script=script,
                version=version,
                envelope=data.envelope,
                actor=actor.name,
            )

    @post("/{script:str}/{version:int}/published", action="script.publish", status_code=200)
    async def published(
        self, relay: FromRelay, actor: FromActor, script: FromPath[str], version: FromPath[int]
    ) -> Script:
        """Note that the version is among the targets now."""
        async with relay.db.write() as c:
            return await mark_script(
                c, relay, script=script, version=version, state="published", actor=actor.name
            )

    @post("/{script:str}/{version:int}/revoked", action="script.revoke", status_code=200)
    async def revoked(
        self, relay: FromRelay, actor: FromActor, script: FromPath[str], version: FromPath[int]
    ) -> Script:
        """Note that the version was revoked."""
        async with relay.db.write() as c:
            return await mark_script(
                c, relay, script=script, version=version, state="revoked", actor=actor.name
            )


AREA = Area(
    name="scripts",
    controllers=[ScriptController],
    statuses={
        "manifest-invalid": 422,
        "script-changed": 422,
        "script-signature": 422,
        "script-author-unknown": 403,
        "script-exists": 409,
        "script-revoked": 409,
        "already-signed": 409,
    },
)
