"""What every table is made of: where it is registered, and the columns that many have."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

__all__ = ["NUMBER", "metadata", "tenant"]

metadata = MetaData()

# SQLite numbers rows by itself only when the column is exactly INTEGER PRIMARY KEY.
NUMBER = BigInteger().with_variant(Integer, "sqlite")


def tenant() -> Column[str]:
    """Return the column that every row, and nearly every key, begins with."""
    return Column("tenant", Text, nullable=False)
