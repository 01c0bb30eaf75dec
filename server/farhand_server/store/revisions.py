"""The schema's revisions: which one a database is at, which is the newest, and the steps between.

The revisions are Alembic's, one numbered file each under `migrations/versions/`; Alembic makes the
steps and keeps their number in its own table.  It is imported only where a step is to be made: a
relay mostly starts on a schema that is as it should be, and with Alembic it would start a fifth
slower.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from farhand_protocol.errors import FarhandError

__all__ = ["current_revision", "newest_revision", "upgrade"]

_MIGRATIONS = Path(__file__).parent / "migrations"
_TABLE = "alembic_version"


def current_revision(connection: Connection) -> str | None:
    """Return the revision that a database is at; None when it is empty."""
    if not inspect(connection).has_table(_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {_TABLE}"))  # noqa: S608
    return found


@cache
def newest_revision() -> str:
    """Return the newest revision that this program knows.

    Raises:
        FarhandError: `store-schema` when the installation has none.
    """
    numbered = sorted((_MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))
    if not numbered:
        raise FarhandError("store-schema", "this installation has no migrations")
    return numbered[-1].name[:4]


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, within the caller's transaction."""
    if current_revision(connection) == newest_revision():
        return
    # Late, as said above.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
