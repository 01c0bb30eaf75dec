"""Section `databases`: database servers, by their services."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.collectors.windows.listening_ports import listening
from farhand_agent.inventory.collectors.windows.source import Told, windows_section
from farhand_agent.inventory.collectors.windows.values import said
from farhand_protocol.errors import FarhandError

__all__ = ["parse"]

# By how the service's name begins: engine and the program that listens.
_SERVICES: Final = (
    ("mssqlserver", "mssql", "sqlservr"), ("mssql$", "mssql", "sqlservr"),
    ("postgresql", "postgresql", "postgres"), ("mysql", "mysql", "mysqld"),
    ("mariadb", "mariadb", "mysqld"), ("mongodb", "mongodb", "mongod"),
    ("redis", "redis", "redis-server"), ("oracleservice", "oracle", "oracle"),
    ("db2", "db2", "db2syscs"), ("influxdb", "influxdb", "influxd"),
    ("firebirdserver", "firebird", "firebird"), ("elasticsearch", "elasticsearch", "java"),
)  # fmt: skip


@windows_section("databases", parts=("services", "tcp", "udp", "processes"))
def parse(told: Told) -> list[dict[str, Any]]:
    """Return one item per service."""
    try:
        sockets = listening(told)
    except FarhandError as error:
        sockets = []
        told.note(f"without their ports: {error.message}")
    items = []
    for one in told.rows("services"):
        name = (said(one.get("Name")) or "").lower()
        known = next((known for known in _SERVICES if name.startswith(known[0])), None)
        if known is None:
            continue
        running = said(one.get("State")) == "Running"
        ports = {
            f"{s['address']}:{s['port']}"
            for s in sockets
            if running and s["protocol"] == "tcp" and (s["program"] or "").lower() == known[2]
        }
        items.append(
            {"engine": known[1], "version": None, "running": running, "listening": sorted(ports)}
        )
    return items
