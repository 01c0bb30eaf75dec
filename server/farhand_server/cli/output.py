"""How the command line speaks: data on stdout, words on stderr.

Words read `farhand-server: error: CODE: words` and `farhand-server: hint: words`.  What came from
elsewhere is made harmless for a terminal first.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click
import msgspec

from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import from_unix
from farhand_server.clock import stamp

__all__ = ["PROGRAM", "configure_logging", "say", "show_error", "show_json"]

PROGRAM = "farhand-server"


def _harmless(text: str) -> str:
    return "".join(one if one.isprintable() else "�" for one in text)


def say(words: str) -> None:
    """Write a line of words to stderr."""
    click.echo(f"{PROGRAM}: {_harmless(words)}", err=True)


def show_error(error: FarhandError) -> None:
    """Write an error and its hint."""
    say(f"error: {error.code}: {error.message}")
    if error.hint:
        say(f"hint: {error.hint}")


def show_json(value: Any) -> None:
    """Write one JSON object to stdout."""
    click.echo(msgspec.json.encode(value).decode())


class _JsonLines(logging.Formatter):
    """One JSON object per line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": stamp(from_unix(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _PlainLines(logging.Formatter):
    """One readable line; what came from a peer cannot move the cursor.

    A person gets no traceback: an error of ours is named with the place where it was raised, and
    FARHAND_DEBUG=1 shows the rest.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = stamp(from_unix(record.created))[:19]
        words = _harmless(record.getMessage())
        line = f"{at} {record.levelname.lower():<7} {record.name}: {words}"
        if not record.exc_info or record.exc_info[1] is None:
            return line
        if os.environ.get("FARHAND_DEBUG") == "1":
            trace = self.formatException(record.exc_info).splitlines()
            return line + "".join(f"\n    {_harmless(one)}" for one in trace)
        return line + _harmless(f" ({_where(record.exc_info[1])})")


def _where(error: BaseException) -> str:
    """Name an error and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def configure_logging(style: str) -> None:
    """Send the log to stderr: `plain` for people, `json` for machines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if style == "json" else _PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # uvicorn's own lines tell nothing that ours do not.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
