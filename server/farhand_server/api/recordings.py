"""Routes of recordings: what there is, and its sealed chunks."""

from __future__ import annotations

from typing import Any

from litestar import Controller, get
from litestar.params import FromPath, FromQuery

from farhand_server.api.area import Area
from farhand_server.api.guard import FromActor, FromRelay
from farhand_server.api.paging import Cursor, Limit, Page, decode_cursor, page_of
from farhand_server.sessions.recordings import (
    PAGE_CHUNKS,
    Recording,
    StoredChunk,
    make_recordings,
)

__all__ = ["AREA"]


class RecordingController(Controller):
    """Recordings of sessions, sealed by the devices."""

    path = "/recordings"

    @get("/", action="recording.read")
    async def list_recordings(
        self,
        relay: FromRelay,
        actor: FromActor,
        device: FromQuery[str | None] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Page[Recording]:
        """Return recordings, newest first."""
        before: Any = decode_cursor(cursor, str, str)
        listed = await relay.service(make_recordings).list_recordings(
            actor, device=device, before=before, limit=limit + 1
        )
        return page_of(listed, limit, lambda row: row, lambda row: (row.started_at, row.session))

    @get("/{session:str}", action="recording.read")
    async def show(self, relay: FromRelay, actor: FromActor, session: FromPath[str]) -> Recording:
        """Return one recording, without its chunks."""
        return await relay.service(make_recordings).get(actor, session)

    @get("/{session:str}/chunks", action="recording.read")
    async def chunks(
        self, relay: FromRelay, actor: FromActor, session: FromPath[str], cursor: Cursor = None
    ) -> Page[StoredChunk]:
        """Return sealed chunks in their order; the page's length is the relay's."""
        after: Any = decode_cursor(cursor, int)
        found = await relay.service(make_recordings).chunks(
            actor, session, after=-1 if after is None else max(0, after[0])
        )
        return page_of(found, PAGE_CHUNKS, lambda row: row, lambda row: (row.number,))


AREA = Area(
    name="recordings",
    controllers=[RecordingController],
    statuses={"recording-erased": 410},
)
