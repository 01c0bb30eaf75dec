"""A whole Farhand whose parts are killed: the programs as processes, the console's library here.

What a technician's commands would do (sign an order, open a session, use its pipe) is done in this
process with the console's own library, because hundreds of commands would take hours.  Everything
that is killed is a process of its own (tests/support/stage.py).

`laws` holds what must be true whatever was killed in between.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from sqlalchemy import select

from farhand_agent.audit import verify_chain
from farhand_agent.config import Home as AgentFolder
from farhand_agent.journal import Journal
from farhand_console.cli.base import Context
from farhand_console.cli.run import published_script
from farhand_console.home import Home
from farhand_console.orders import OrderDraft, sign_order
from farhand_console.relay import segments
from farhand_console.session.opening import Wish, open_by_grant
from farhand_console.session.record import SessionRecord
from farhand_console.trust.devices import VerifiedDevice, verify_device
from farhand_protocol.orders import FINAL_STATES
from farhand_server.audit import AuditRecord, check_chain
from farhand_server.store.database import Database, sqlite_url
from farhand_server.store.schema import (
    audit,
    order_events,
    orders,
    session_events,
    sessions,
    time_entries,
)
from tests.support.stage import AgentHome, ConsoleHome, Stage

__all__ = ["FaultHouse", "fault_house"]

GROUP = "default"
SCRIPT = "check.trace"
_MANIFEST = f"""id = "{SCRIPT}"
version = 1
title = "Leaves one line"
description = "Appends a line to a file named after its order."
platforms = ["linux"]
interpreter = "sh"
risk = "R0"
timeout_s = 60
run_as = "agent"
sensitive = false

[parameters]
type = "object"
additionalProperties = false

[parameters.properties]
"""


class FaultHouse:
    """One relay, one agent whose group lets technicians in, one admin; made by `fault_house`."""

    def __init__(self, stage: Stage, admin: ConsoleHome, agent: AgentHome, place: Path) -> None:
        self.stage = stage
        self.admin = admin
        self.agent = agent
        self.place = place
        self.context = Context(Home(admin.home), as_json=True)
        self.store = "postgresql" if stage.database else "sqlite"
        self.accepted: set[str] = set()  # orders that the relay said it has
        now = datetime.now(UTC).replace(microsecond=0)
        self.draft = OrderDraft(
            self.context.trust(),
            published_script(self.context, SCRIPT, None),
            {},
            operator=self.context.settings.account,
            now=now,
        )
        told = self.context.relay.get(segments("devices", agent.device), dict)
        self.device: VerifiedDevice = verify_device(
            self.context.home, self.context.trust(), told, asked=agent.device
        )
        # Without the console's one retry: a test sends again by itself.
        self.http = httpx.Client(
            base_url=f"{stage.url}/api/v1",
            headers={"authorization": f"Bearer {self.context.settings.api_token}"},
            trust_env=False,
            timeout=60,
        )

    def close(self) -> None:
        """Close the connections of this process."""
        self.http.close()
        self.context.close()

    # What a technician does.

    def sign(self) -> tuple[str, bytes]:
        """Sign an order for the script that leaves one line; returns (id, envelope)."""
        now = datetime.now(UTC).replace(microsecond=0)
        return sign_order(self.draft, self.device, self.context.signer(), now=now, ttl_s=3600)

    def post(self, path: str, body: object, *, key: str = "") -> httpx.Response | None:
        """POST once; None where the relay died before it answered."""
        headers = {"idempotency-key": key or secrets.token_hex(16)}
        headers["content-type"] = "application/json"
        try:
            return self.http.post(path, content=msgspec.json.encode(body), headers=headers)
        except httpx.TransportError:
            return None

    def order(self, sealed: bytes, *, key: str = "") -> httpx.Response | None:
        """Hand an order over; what the relay said yes to must never be lost."""
        answer = self.post("/orders", {"items": [{"envelope": sealed}]}, key=key)
        if answer is not None and answer.status_code == 201:
            self.accepted.update(one["order"] for one in answer.json()["items"])
        return answer

    def open_session(self, *, ticket: str | None = None) -> SessionRecord:
        """Open a session by grant alone, as `session open --device` does."""
        return open_by_grant(
            self.context.home,
            self.context.settings,
            self.context.relay,
            self.agent.device,
            Wish(ticket=ticket, scopes=["terminal", "files"], forward=[], minutes=30, reason=""),
            signer=self.context.signer,
            trust=self.context.trust(),
            say=lambda _: None,
        )

    # What is on the disks.

    def journal(self, agent: AgentHome | None = None) -> Journal:
        """Open an agent's journal; the caller closes it."""
        return Journal(AgentFolder.at((agent or self.agent).home).journal)

    async def rows(self, query: Any) -> list[Any]:
        """Read from the relay's database."""
        db = Database(self.stage.database or sqlite_url(self.stage.relay_home / "farhand.db"))
        try:
            async with db.read() as c:
                return list((await c.execute(query)).mappings())
        finally:
            await db.close()

    def look(self, query: Any) -> list[Any]:
        """Do `rows` from a test that is not async."""
        return asyncio.run(self.rows(query))

    def order_states(self) -> dict[str, str]:
        """Return the state of every order that the relay has."""
        return {one["id"]: one["state"] for one in self.look(select(orders.c.id, orders.c.state))}

    def check(self) -> None:
        """Do `laws` from a test that is not async."""
        asyncio.run(self.laws())

    async def laws(self) -> None:
        """Hold what must be true at any moment when nothing is under way.

        Raises:
            AssertionError: an accepted order was lost, ended twice or ran twice; a session ended
                twice, or was charged twice; the audit or the device's log does not chain.
        """
        tenant = self.context.settings.tenant
        columns = [audit.c[name] for name in AuditRecord.__struct_fields__]
        chain = await self.rows(select(*columns).order_by(audit.c.seq))
        check_chain(tenant, [AuditRecord(**one) for one in chain])
        assert [one["seq"] for one in chain] == list(range(1, len(chain) + 1))
        await self._order_laws()
        await self._session_laws()
        journal = self.journal()
        try:
            verify_chain(journal.log_records(limit=100_000))
        finally:
            journal.close()

    async def _order_laws(self) -> None:
        states = {one["id"]: one for one in await self.rows(select(orders))}
        assert self.accepted <= states.keys(), "an accepted order is lost"
        ends = Counter(
            one["order_id"]
            for one in await self.rows(select(order_events))
            if one["state"] in FINAL_STATES
        )
        for order, row in states.items():
            trace = self.place / order
            starts = trace.read_text().count("start") if trace.exists() else 0
            assert starts <= 1, f"{order} started {starts} times"
            assert starts == 1 or row["state"] != "succeeded", order
            is_final = row["state"] in FINAL_STATES
            assert ends[order] == int(is_final), (order, row["state"], ends[order])

    async def _session_laws(self) -> None:
        rows = await self.rows(select(sessions))
        events = await self.rows(select(session_events).order_by(session_events.c.seq))
        charged = Counter(one["session"] for one in await self.rows(select(time_entries)))
        for row in rows:
            kinds = [one["kind"] for one in events if one["session"] == row["id"]]
            over = next((n for n, one in enumerate(kinds) if one in ("ended", "refused")), None)
            assert (over is not None) == (row["state"] in ("ended", "refused")), (row["id"], kinds)
            # Afterwards a late word may add its note and receipt; nothing begins again.
            later = kinds[over:] if over is not None else []
            assert set(later) <= {"ended", "refused", "late-report"}, (row["id"], kinds)
            assert charged[row["id"]] <= 1
        journal = self.journal()
        try:
            records = journal.log_records(limit=100_000)
        finally:
            journal.close()
        for kind in ("session-granted", "session-ended"):
            said = Counter(json.loads(one.detail)["session"] for one in records if one.kind == kind)
            assert all(count == 1 for count in said.values()), (kind, said)


class _PlacedStage(Stage):
    """A stage whose relay lives on a disk of its own."""

    def __init__(self, disk: Path | None, database: str | None) -> None:
        super().__init__(database=database)
        self._disk = disk or self.folder

    @property
    def relay_home(self) -> Path:
        """Return the relay's home."""
        return self._disk / "relay"


@contextmanager
def fault_house(
    place: Path,
    *,
    database: str | None = None,
    disk: Path | None = None,
    work: str = "",
    env: dict[str, str] | None = None,
) -> Iterator[FaultHouse]:
    """Run a house.

    Args:
        place: a folder of the test; the bodies leave their lines in `traces` below it.
        database: the relay's, SQLite in its home without one.
        disk: where the relay's home is made, in the stage's folder without it.
        work: what the body does after it left its line.
        env: added to every process's environment.
    """
    traces = place / "traces"
    traces.mkdir()
    with _PlacedStage(disk, database) as stage:
        stage.env |= env or {}
        admin, tess = stage.settle(library=False)
        stage.start_relay()
        folder = place / "script"
        folder.mkdir()
        (folder / "manifest.toml").write_text(_MANIFEST)
        body = f'echo start >> "{traces}/$FARHAND_ORDER"\n{work}\n'
        (folder / "script.sh").write_text(body)
        tess.json("script", "submit", str(folder))
        admin.json("script", "approve", SCRIPT, "--yes")
        admin.json("trust", "policy", GROUP, "--unattended", "--consent", "notify")
        agent = stage.agent("alpha")
        agent.enrol(admin.json("token", "create")["token"])
        agent.start()
        house = FaultHouse(stage, admin, agent, traces)
        try:
            yield house
        finally:
            house.close()
