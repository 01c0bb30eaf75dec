"""Check of the agent itself: its trust metadata, its queue, its clock, what it has told of late."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    Thresholds,
    check,
    unknown,
    unsupported,
    worst,
)
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import parse_instant

__all__ = ["agent_health"]

_MAX_TRUST_BYTES: Final = 16 * 1024 * 1024


@check(
    "agent.health",
    "The agent itself",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(7, 0, rising=False), "queue": Thresholds(100, 1000)},
    advice="refresh the organisation's trust metadata; see that the agent reaches its relay",
    risk="R1",
    plain={
        "ok": "The program that looks after this device works.",
        "warning": "The program that looks after this device needs attention from your "
        "organisation soon.",
        "critical": "The program that looks after this device can do nothing at the moment. "
        "Please tell your organisation.",
        "unsupported": "No organisation looks after this device.",
    },
)
def agent_health(context: CheckContext) -> Finding:
    """Days until the trust metadata expires, results that wait to be sent, a revoked device."""
    home = context.home
    if home is None or not (home / "config.toml").exists():
        return unsupported("this device is not enrolled, or its home is not known")
    try:
        expires, revoked = _trust(home)
        waiting = _waiting(home)
    except (OSError, ValueError, sqlite3.Error, FarhandError) as error:
        return unknown(f"the agent's own files cannot be read: {type(error).__name__}")
    if revoked:
        return Finding(state="critical", summary="the organisation revoked this device")
    if expires is None:
        return unknown("no trust metadata has been verified here yet")
    days = (expires.timestamp() - context.now()) / 86400
    state = worst(context.limit("days").state(days), context.limit("queue").state(waiting))
    return Finding(
        state=state,
        summary=f"trust metadata valid for {days:.1f} days; {waiting} messages wait",
        value=round(days, 1),
        metrics=(
            context.metric("trust", round(days, 1), "days", "days"),
            context.metric("queue", waiting, "count", "queue"),
        ),
    )


def _trust(home: Path) -> tuple[datetime | None, bool]:
    """Return when the offline metadata expires (None without any), and whether it revokes us."""
    try:
        with (home / "trust" / "verified.json").open("rb") as file:
            document = json.loads(file.read(_MAX_TRUST_BYTES))
    except FileNotFoundError:
        return None, False
    times = [parse_instant(str(document.get(key))) for key in ("root_expires", "targets_expires")]
    listed = document.get("revocations", {}).get("revoked", [])
    device = _own_id(home)
    revoked = any(
        isinstance(one, dict) and one.get("kind") == "device" and one.get("subject") == device
        for one in listed
    )
    return min(times), revoked


def _own_id(home: Path) -> str:
    for line in (home / "config.toml").read_text("utf-8").split("\n"):
        key, equals, value = line.partition(" = ")
        if key == "device" and equals:
            return value.strip().strip('"')
    return ""


def _waiting(home: Path) -> int:
    journal = home / "journal.db"
    if not journal.exists():
        return 0
    with_uri = f"{journal.as_uri()}?mode=ro"
    connection = sqlite3.connect(with_uri, uri=True, timeout=5.0)
    try:
        row = connection.execute(
            "select count(*) from outbox where kind not like 'aside-%'"
        ).fetchone()
    finally:
        connection.close()
    return int(row[0])
