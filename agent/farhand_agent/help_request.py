"""`farhand-agent help`: ask the desk for help, in words and with a picture, also without a line.

What is asked waits in the journal's outbox until the relay has stored it, and becomes one ticket
however often it is sent.  It starts nothing on this device and gives nobody access: that is what
codes and grants are for.  Answers come by mail or on the desk's pages.

Who is another user than the agent's asks through its door (farhand_agent.door); the journal then
says who it was, and how many calls of others may wait is bounded before the agent's own are.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from farhand_agent import local
from farhand_agent.audit import append_log
from farhand_agent.config import Home, load_settings
from farhand_agent.door import ERRAND_TIMEOUT_S, Door
from farhand_agent.door_option import door_of, person_home_option
from farhand_agent.journal import Journal
from farhand_agent.journal_tables import post_report
from farhand_agent.terminal import table
from farhand_agent.wording import chosen_language, own_wording
from farhand_agent.write_points import LOG_WRITTEN
from farhand_protocol.errors import FarhandError, UsageError
from farhand_protocol.identity import make_id
from farhand_protocol.messages import MAX_HELP_IMAGE_BYTES
from farhand_protocol.pictures import PART_BYTES

__all__ = [
    "MAX_HELP_CHARS",
    "MAX_HELP_WAITING",
    "Asker",
    "ask_for_help",
    "asked_for_help",
    "help_command",
    "is_image",
]

MAX_HELP_CHARS: Final = 8000
# Each may hold an image, and the resident agent reads them together.
MAX_HELP_WAITING: Final = 5
_SHOWN_CHARS: Final = 80
_LISTED: Final = 1000
_MAGIC: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True)
class Asker:
    """Another user of this computer who asks.

    `waiting_max`: so many calls may wait for a line, whoever made them, for hers to be added.
    """

    uid: int
    name: str
    waiting_max: int = MAX_HELP_WAITING


def is_image(data: bytes) -> bool:
    """Tell whether this begins as a PNG or a JPEG does."""
    return data.startswith(_MAGIC)


@click.command("help", short_help="Ask the people who look after this device for help.")
@click.argument("words", nargs=-1)
@click.option("--tried", default="", help="What you have tried already.")
@click.option(
    "--image",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A picture of what you see: PNG or JPEG, at most 700 KiB.",
)
@click.option("--list", "listing", is_flag=True, help="Show what was asked, and its ticket.")
@person_home_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def help_command(
    words: tuple[str, ...],
    tried: str,
    image: Path | None,
    listing: bool,
    home: Home,
    as_json: bool,
) -> None:
    """Ask for help in your own WORDS; without any you are asked for them.

    It works without a line, too: what you ask goes out as soon as there is one.
    """
    w = own_wording()
    door = door_of(home)
    if door is None:
        load_settings(home)
    if listing:
        _show(_asked(home) if door is None else door_requests(door), as_json=as_json)
        return
    text = " ".join(words).strip()
    if not text:
        text, tried = _ask(tried)
    picture = b"" if image is None else _read(image)
    language = chosen_language(os.environ)
    ask = partial(ask_for_help, home) if door is None else partial(ask_at_door, door)
    request = ask(text, tried=tried, picture=picture, language=language)
    if as_json:
        click.echo(json.dumps({"request": request, "state": "waiting"}))
    else:
        click.echo(w("Your request is noted. It goes out as soon as there is a line."))
        if door is None or _may_list(door):
            click.echo(w("farhand-agent help --list shows what becomes of it."))


def _may_list(door: Door) -> bool:
    """Tell whether this user counts as a person there, who sees what became of her calls."""
    try:
        return door.ask({"do": "who"}).get("person") is True
    except FarhandError:
        return False  # the call is noted all the same


def ask_for_help(
    home: Home,
    text: str,
    *,
    tried: str = "",
    picture: bytes = b"",
    language: str = "en",
    asker: Asker | None = None,
) -> str:
    """Note a call for help, which goes out as soon as there is a line; blocks.

    Args:
        home: of an enrolled agent.
        text: what is wrong, 1 to `MAX_HELP_CHARS` characters.
        tried: what was tried already.
        picture: PNG or JPEG within `MAX_HELP_IMAGE_BYTES`, or empty.
        language: that of the answer.
        asker: who asks, where that is another user than the agent's.

    Returns:
        The request's id.

    Raises:
        FarhandError: `help-malformed`, `help-queue-full`, `image-malformed`, `image-too-large`.
    """
    load_settings(home)
    if picture:
        _check_image(picture, "the picture")
    journal = Journal(home.journal)
    try:
        request = _request(
            journal, text, tried=tried, picture=picture, language=language, asker=asker
        )
    finally:
        journal.close()
    # Where none runs, it sends what waits when it starts.
    local.notify(home, "orders-changed")
    return request


def ask_at_door(
    door: Door, text: str, *, tried: str = "", picture: bytes = b"", language: str = "en"
) -> str:
    """Ask as `ask_for_help` does, at an agent that is another user's; blocks.

    Raises:
        FarhandError: what `ask_for_help` says; `people-...`, `agent-not-running`.
    """
    if picture:
        _check_image(picture, "the picture")
    parts = [picture[at : at + PART_BYTES] for at in range(0, len(picture), PART_BYTES)]
    request = {
        "do": "help",
        "text": _checked(text),
        "tried": _checked(tried) if tried.strip() else "",
        "language": language,
        "parts": len(parts),
    }
    lines: Iterator[dict[str, Any]] = (
        {"data": base64.b64encode(one).decode("ascii")} for one in parts
    )
    answer = door.ask(request, more=lines, timeout_s=ERRAND_TIMEOUT_S)
    return str(answer.get("request"))


def door_requests(door: Door) -> list[dict[str, Any]]:
    """Return what this user asked through a door; blocks.

    Raises:
        FarhandError: `people-stranger`, `agent-not-running`.
    """
    facts = door.ask({"do": "facts"}, timeout_s=ERRAND_TIMEOUT_S).get("facts")
    return list(facts.get("requests", []))[::-1] if isinstance(facts, dict) else []


def _asked(home: Home) -> list[dict[str, Any]]:
    journal = Journal(home.journal)
    try:
        return asked_for_help(journal)
    finally:
        journal.close()


def _request(
    journal: Journal,
    text: str,
    *,
    tried: str,
    picture: bytes,
    language: str,
    asker: Asker | None = None,
) -> str:
    request = make_id("h", secrets.token_bytes(10))
    fields = {
        "id": request,
        "text": _checked(text),
        "steps_tried": _checked(tried) if tried.strip() else "",
        "at": journal.now_text(),
        "language": language,
        "image": picture,
    }
    body = msgspec.msgpack.encode(fields)
    _post(journal, request, words=text.strip()[:_SHOWN_CHARS], body=body, asker=asker)
    return request


def _post(journal: Journal, request: str, *, words: str, body: bytes, asker: Asker | None) -> None:
    """Put what somebody asks into the outbox, and its beginning into the log.

    Raises:
        FarhandError: `help-queue-full` where the relay has not taken the earlier ones yet.
    """
    at = journal.now_text()
    most = MAX_HELP_WAITING if asker is None else asker.waiting_max
    who = {} if asker is None else {"user": asker.name, "uid": asker.uid}

    def act(c: sqlite3.Connection) -> None:
        (waiting,) = c.execute("SELECT count(*) FROM outbox WHERE kind = 'help'").fetchone()
        if waiting >= most:
            raise FarhandError(
                "help-queue-full",
                f"{waiting} calls for help wait on this device for a line",
                hint="they go out by themselves; or call the desk",
            )
        post_report(c, at, "help", request, body)
        append_log(c, at, "help-asked", {"id": request, "text": words, **who})

    journal.commit(LOG_WRITTEN, act)


def _ask(tried: str) -> tuple[str, str]:
    """Ask a person for her words."""
    w = own_wording()
    if not sys.stdin.isatty():
        raise UsageError("help-empty", w("say in a few words what is wrong"))
    text = click.prompt(w("What is wrong?"), type=str, prompt_suffix=" ")
    if not tried:
        tried = click.prompt(
            w("What have you tried already? (Enter for nothing)"),
            type=str, default="", show_default=False, prompt_suffix=" ",
        )  # fmt: skip
    return str(text), str(tried)


def _checked(text: str) -> str:
    """Return a text that the relay will store.

    Raises:
        UsageError: `help-malformed`.
    """
    kept = text.strip()
    if not 0 < len(kept) <= MAX_HELP_CHARS or any(
        (ord(one) < 32 and one not in "\n\t") or one == "\x7f" or "\ud800" <= one <= "\udfff"
        for one in kept
    ):
        raise UsageError(
            "help-malformed",
            f"the text must have 1 to {MAX_HELP_CHARS} characters, and no control characters",
        )
    return kept


def _read(path: Path) -> bytes:
    """Return a picture.

    Raises:
        FarhandError: `image-unreadable`, `image-too-large`, `image-malformed`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_HELP_IMAGE_BYTES + 1)
    except OSError as error:
        raise FarhandError("image-unreadable", f"cannot read {path}: {error.strerror}") from error
    _check_image(data, str(path))
    return data


def _check_image(data: bytes, name: str) -> None:
    if len(data) > MAX_HELP_IMAGE_BYTES:
        limit = MAX_HELP_IMAGE_BYTES // 1024
        raise FarhandError("image-too-large", f"a picture may have {limit} KiB at most")
    if not is_image(data):
        raise FarhandError("image-malformed", f"{name} is neither a PNG nor a JPEG")


def asked_for_help(journal: Journal, *, uid: int | None = None) -> list[dict[str, Any]]:
    """Return what was asked lately, oldest first, and what became of it.

    Args:
        journal: of the home.
        uid: only what that other user asked.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in journal.latest_log_records(_LISTED):
        if record.kind not in ("help-asked", "help-taken", "report-refused"):
            continue
        detail = json.loads(record.detail)
        name = str(detail.get("id", detail.get("subject", "")))
        if record.kind == "help-asked":
            if uid is not None and detail.get("uid") != uid:
                continue
            found[name] = {
                "request": name,
                "at": record.at,
                "text": detail["text"],
                "state": "waiting",
                "ticket": None,
            }
        elif name in found:
            taken = record.kind == "help-taken"
            found[name]["state"] = "taken" if taken else "refused"
            found[name]["ticket"] = (detail["ticket"] or None) if taken else None
    return list(found.values())


def _show(items: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"items": items, "next": None}))
        return
    w = own_wording()
    states = {"waiting": w("waiting"), "taken": w("taken"), "refused": w("refused")}
    rows = [
        (one["at"][:16], states[one["state"]], one["ticket"] or "", one["text"]) for one in items
    ]
    click.echo(table((w("asked"), w("state"), w("ticket"), w("what")), rows))
