"""What `farhand-server doctor` looks at: the home and everything that a relay leans on.

Each check ends in ok, warning or failed, with words for a person; none changes anything.
"""

from __future__ import annotations

import asyncio
import shutil
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import func, select

from farhand_protocol.errors import FarhandError
from farhand_server.app import assemble
from farhand_server.bus.local import LocalBus
from farhand_server.certificate import expires_at
from farhand_server.config import KEY_NAME, Settings
from farhand_server.head_sinks import parse_sinks
from farhand_server.home import open_bus, read_signer
from farhand_server.mail.listener import parse_mail_listen
from farhand_server.mail.mailboxes import server_of, servers_of
from farhand_server.store.database import Database
from farhand_server.store.schema import audit
from farhand_server.tasks import Tasks

__all__ = ["Finding", "examine"]

State = Literal["ok", "warning", "failed"]
_DISK_WARNING_BYTES = 1024**3
_DISK_FAILED_BYTES = 100 * 1024**2
_CERTIFICATE_WARNING = timedelta(days=21)
# No relay ran before this was written; a clock below it was never set.
_EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's outcome."""

    check: str
    state: State
    words: str


Check = Callable[[Settings, datetime], Awaitable[Finding]]


async def _key(settings: Settings, _now: datetime) -> Finding:
    path = Path(settings.home) / KEY_NAME
    read_signer(Path(settings.home))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding(check="key", state="warning", words=f"{path} can be read by others")
    return Finding(check="key", state="ok", words="the relay key is there, and private")


async def _database(settings: Settings, _now: datetime) -> Finding:
    db = Database(settings.database_url)
    try:
        await db.require_current()
        return Finding(
            check="database",
            state="ok",
            words=f"{db.dialect} answers, schema {await db.revision()}",
        )
    finally:
        await db.close()


async def _clock(settings: Settings, now: datetime) -> Finding:
    if now < _EARLIEST:
        return Finding(check="clock", state="failed", words="the clock was never set")
    db = Database(settings.database_url)
    try:
        async with db.read() as c:
            last = await c.scalar(select(func.max(audit.c.at)))
    finally:
        await db.close()
    if last is not None and datetime.fromisoformat(last) > now + timedelta(seconds=5):
        return Finding(
            check="clock", state="warning", words=f"the clock is behind the last record ({last})"
        )
    return Finding(check="clock", state="ok", words="the clock runs forward")


async def _disk(settings: Settings, _now: datetime) -> Finding:
    free = shutil.disk_usage(settings.home).free
    state: State = "ok"
    if free < _DISK_WARNING_BYTES:
        state = "failed" if free < _DISK_FAILED_BYTES else "warning"
    return Finding(check="disk", state=state, words=f"{free / 1024**3:.1f} GiB free")


async def _certificate(settings: Settings, now: datetime) -> Finding:
    if not settings.tls_cert:
        words = "TLS ends elsewhere" if settings.proxied else "none needed on loopback"
        return Finding(check="certificate", state="ok", words=words)
    end = expires_at(settings.path(settings.tls_cert))
    state: State = "ok"
    if end < now + _CERTIFICATE_WARNING:
        state = "failed" if end < now else "warning"
    return Finding(check="certificate", state=state, words=f"valid until {end:%Y-%m-%d}")


async def _bus(settings: Settings, _now: datetime) -> Finding:
    if not settings.bus:
        return Finding(check="bus", state="ok", words="in this process")
    tasks = Tasks()
    bus = await open_bus(settings.bus, tasks)
    try:
        await bus.ping()
    finally:
        await bus.close()
        await tasks.aclose()
    return Finding(check="bus", state="ok", words="NATS answers")


async def _audit_heads(settings: Settings, _now: datetime) -> Finding:
    sinks = parse_sinks(settings.audit_heads)
    if not sinks:
        words = (
            "kept here alone; --audit-heads sends them where a thief of this host does not reach"
        )
        return Finding(check="audit-heads", state="ok", words=words)
    for sink in sinks:
        try:
            await asyncio.to_thread(sink.examine)
        except FarhandError as error:
            return Finding(check="audit-heads", state="warning", words=error.message)
    places = ", ".join(sink.text for sink in sinks)
    return Finding(check="audit-heads", state="ok", words=f"sent to {places}")


async def _mail(settings: Settings, _now: datetime) -> Finding:
    if settings.mail_listen:
        parse_mail_listen(settings.mail_listen)
    tasks = Tasks()
    db = Database(settings.database_url)
    try:
        await db.require_current()
        signer = read_signer(Path(settings.home))
        relay = assemble(settings, db=db, bus=LocalBus(tasks), signer=signer, tasks=tasks)
        async with db.read() as c:
            names = sorted(await servers_of(c, relay.tenant))
            for name in names:
                await server_of(c, relay, name)
    finally:
        await db.close()
        await tasks.aclose()
    words = f"{len(names)} servers, each password can be opened" if names else "no server named"
    return Finding(check="mail", state="ok", words=words)


_CHECKS: dict[str, Check] = {
    "key": _key,
    "database": _database,
    "clock": _clock,
    "disk": _disk,
    "certificate": _certificate,
    "bus": _bus,
    "audit-heads": _audit_heads,
    "mail": _mail,
}


async def examine(settings: Settings, *, now: datetime) -> list[Finding]:
    """Run all checks; a check that raises has failed, with its code in the words."""
    findings = []
    for name, check in _CHECKS.items():
        try:
            findings.append(await check(settings, now))
        except FarhandError as error:
            findings.append(Finding(check=name, state="failed", words=str(error)))
    return findings
