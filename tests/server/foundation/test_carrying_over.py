"""What a relay that stood before has after a migration that fills in something new."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from farhand_server.fleet.networks import networks_of
from farhand_server.store import revisions

AT = "2026-11-22T12:00:00.000000Z"


@pytest.fixture
def stood(tmp_path: Path) -> Iterator[Connection]:
    """A database at revision 0031."""
    engine = create_engine(f"sqlite:///{tmp_path / 'relay.db'}")
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", "farhand_server:store/migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "0031")
            yield connection
    finally:
        engine.dispose()


def put(connection: Connection, table: str, **values: Any) -> None:
    """Insert a row; what must be there and is not named is empty."""
    columns = connection.execute(text(f"PRAGMA table_info({table})")).mappings().all()
    row = {one["name"]: 0 if "INT" in one["type"] else "" for one in columns if one["notnull"]}
    row |= values
    names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)


def test_networks_come_from_the_sections_that_stand(stood: Connection) -> None:
    items: list[dict[str, Any]] = [
        {"record": "interface", "addresses": ["192.0.2.7/24", "2001:db8::7/64", "127.0.0.1/8", 7]},
        {"record": "interface", "addresses": [f"10.{n}.0.1/16" for n in range(40)]},
        {"record": "route", "addresses": ["198.51.100.0/24"]},
        {"record": "interface", "addresses": None},
    ]
    body = zlib.compress(json.dumps({"items": items}).encode())
    for number in range(250):  # more than are read at once
        put(stood, "sections", tenant="t", device=f"d{number:03}", name="network",
            status="ok", body=body)  # fmt: skip
    put(stood, "sections", tenant="t", device="e", name="network", status="failed", body=b"no")
    put(stood, "sections", tenant="t", device="e", name="system", status="ok", body=b"no")
    revisions.upgrade(stood)
    rows = stood.execute(text("SELECT device, value FROM device_hints WHERE kind = 'network'"))
    found: dict[str, set[str]] = {}
    for device, value in rows:
        found.setdefault(device, set()).add(value)
    assert sorted(found) == [f"d{number:03}" for number in range(250)]
    assert all(one == networks_of(items) for one in found.values())


def test_a_number_that_two_have_is_the_one_s_in_use(stood: Connection) -> None:
    for name, retired_at in (("a", AT), ("b", None), ("c", None)):
        put(stood, "devices", tenant="t", id=name, name=name, retired_at=retired_at)
        put(stood, "device_products", tenant="t", device=name, make="Ärzte", serial=f"ж-{'Ж'}")
    put(stood, "devices", tenant="t", id="d", name="d")
    put(stood, "device_products", tenant="t", device="d", make="HP", serial=None)
    revisions.upgrade(stood)
    rows = stood.execute(text("SELECT device, folded FROM device_products ORDER BY device"))
    assert [tuple(row) for row in rows] == [
        ("a", None), ("b", "ärzte\nж-ж"), ("c", None), ("d", None)
    ]  # fmt: skip
