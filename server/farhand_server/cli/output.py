"""How the command line speaks: data on stdout, words on stderr.

Words read `farhand-server: error: CODE: words` and `farhand-server: hint: words`.  What came from
elsewhere is made harmless for a terminal first.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import click
import msgspec
import structlog

from farhand_protocol.errors import FarhandError

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


def configure_logging(style: str) -> None:
    """Send the log to stderr: `plain` for people, `json` for machines."""
    render: Any = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if style == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[render, *last])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # uvicorn's own lines tell nothing that ours do not.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
