"""`farhand-agent say` and `step`: talking with the technician from any terminal of this computer.

For sessions that no terminal shows, and for whoever sits at another one.  Both speak to the
session's process over its owner-only socket (session/live_help.py).
"""

from __future__ import annotations

import json
from typing import Any

import click

from farhand_agent import local
from farhand_agent.config import Home
from farhand_agent.home_option import home_option
from farhand_agent.journal import Journal
from farhand_agent.terminal import printable
from farhand_protocol.errors import FarhandError, UsageError

__all__ = ["say", "step"]

_MAX_SHOWN = 2000


def _session(home: Home, named: str | None) -> str:
    """Return the open session that is meant.

    Raises:
        FarhandError: `session-none`; `session-several` when none is named and more are open.
    """
    rows = []
    if home.journal.exists():
        journal = Journal(home.journal, read_only=True)
        try:
            rows = [row.id for row in journal.live_sessions() if named in (None, row.id)]
        finally:
            journal.close()
    if not rows:
        raise FarhandError("session-none", "there is no such session open on this computer")
    if len(rows) > 1:
        raise UsageError(
            "session-several",
            "more than one session is open",
            hint=f"name one with --session: {', '.join(rows)}",
        )
    return rows[0]


@click.command("say", short_help="Write to the technician, or show what was said.")
@click.argument("text", required=False)
@click.option("--session", help="Which one, where several are open.")
@home_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def say(text: str | None, session: str | None, home: Home, as_json: bool) -> None:
    """Write TEXT to the technician; without it, show what was said and what is asked."""
    chosen = _session(home, session)
    if text is not None:
        answer = local.ask(home, {"do": "say", "text": text}, session=chosen)
        if as_json:
            click.echo(json.dumps({"session": chosen, "said": answer["said"]}))
        return
    talk = local.ask(home, {"do": "talk"}, session=chosen)
    if as_json:
        items, standing = talk["lines"], talk["step"]
        click.echo(json.dumps({"session": chosen, "items": items, "step": standing, "next": None}))
        return
    _show(talk)


def _show(talk: dict[str, Any]) -> None:
    for line in talk["lines"]:
        who = "you" if line["who"] == "person" else printable(talk["operator"], 40)
        for words in line["text"].splitlines():
            click.echo(f"{line['at'][11:16]}  {who}: {printable(words, _MAX_SHOWN)}")
    if (asked := talk["step"]) is not None:
        click.echo(f"asked of you ({asked['number']} of {asked['of']}):")
        for words in asked["text"].splitlines():
            click.echo(f"    {printable(words, _MAX_SHOWN)}")
        click.echo("answer: farhand-agent step done, or farhand-agent step cannot --why WORDS")


@click.command("step", short_help="Answer what the technician asked you to do.")
@click.argument("answer", type=click.Choice(["done", "cannot"]))
@click.option("--why", default="", help="Why it cannot be done.")
@click.option("--session", help="Which one, where several are open.")
@home_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def step(answer: str, why: str, session: str | None, home: Home, as_json: bool) -> None:
    """Answer the instruction that stands."""
    chosen = _session(home, session)
    request = {"do": "step", "answer": answer, "why": why}
    taken = local.ask(home, request, session=chosen)["taken"]
    if not taken:
        raise FarhandError("step-none", "nothing is asked of you just now")
    if as_json:
        click.echo(json.dumps({"session": chosen, "answer": answer, "taken": True}))
