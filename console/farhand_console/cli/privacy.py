"""person export, erase: what is kept about somebody, and that it is kept no more."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from farhand_console.cli.base import Context, command
from farhand_console.output import json_bytes, line, own_name, say, show_fields
from farhand_console.relay import read_as, segments
from farhand_console.relay.privacy import Dossier, DossierPage, Erased
from farhand_protocol.errors import FarhandError

__all__ = ["register"]


def register(people: click.Group) -> None:
    """Add the commands of this file to `person`."""

    @command(people)
    @click.argument("person")
    @click.option("-o", "--output", type=click.Path(path_type=Path), help="PERSON.json by default.")
    @click.option("--force", is_flag=True, help="Replace a file that is there.")
    def export(context: Context, person: str, output: Path | None, force: bool) -> None:
        """Write everything that is kept about somebody to one JSON file, files included."""
        whole = _dossier(context, person)
        known = read_as(whole, Dossier)
        named = known.person[0].id if known.person else ""
        target = output or Path(f"{own_name(named, 'person')}.json")
        data = json_bytes(whole)
        try:
            with target.open("wb" if force else "xb") as file:
                file.write(data)
        except FileExistsError as error:
            words = f"{target} is there"
            raise FarhandError("file-exists", words, hint="--force replaces it") from error
        except OSError as error:
            words = f"cannot write {target}: {error.strerror}"
            raise FarhandError("file-unwritable", words) from error
        shown = {
            "path": str(target),
            "size_bytes": len(data),
            "tickets": len(known.tickets),
            "files": len(whole["contents"]),
        }
        context.show(shown, lambda: say(f"{target}: {len(data)} bytes"))

    @command(people)
    @click.argument("person")
    @click.option("--reason", required=True, help="Why; it is kept, so name nobody.")
    @click.option("--force", is_flag=True, help="Also where a ticket of hers is open.")
    @click.option("--whole-tickets", is_flag=True, help="Also what others said on her tickets.")
    @click.option("--yes", is_flag=True, help="Ask nothing.")
    def erase(
        context: Context, person: str, reason: str, force: bool, whole_tickets: bool, yes: bool
    ) -> None:
        """Erase somebody's name, addresses and words; numbers, times and the ledger stay."""
        if not yes:
            click.confirm(f"Erase {person}? There is no way back", abort=True, err=True)
        body = {"reason": reason, "force": force, "whole_tickets": whole_tickets}
        path = segments("people", person, "erase")
        erased = context.relay.post(path, Erased, body)
        context.show(erased, lambda: _show_erased(erased))


def _dossier(context: Context, person: str) -> dict[str, Any]:
    """Fetch all pages and all files; contents stand under their digests, in base64."""
    path = segments("people", person, "dossier")
    whole = context.relay.get(path, dict[str, Any])
    page = read_as(whole, DossierPage)
    whole["tickets"], after = page.tickets, page.next
    while after is not None:
        page = context.relay.get(path, DossierPage, after=after)
        # Tickets come by their number: who goes back, or on with nothing, would never end.
        if not page.tickets or (page.next is not None and page.next <= after):
            raise FarhandError("relay-answer", "the relay's list does not come to an end")
        whole["tickets"] += page.tickets
        after = page.next
    whole.pop("next")
    known = read_as(whole, Dossier)
    named = {file.sha256 for ticket in known.tickets for file in ticket.files}
    named |= {mail.raw for mail in known.mails if mail.raw}
    whole["contents"] = {
        digest: base64.b64encode(
            context.relay.get_bytes(segments("people", person, "files", digest))
        ).decode()
        for digest in sorted(named)
    }
    return whole


def _show_erased(erased: Erased) -> None:
    show_fields({"person": erased.person, "at": erased.erased_at})
    for name, count in sorted(erased.counts.items()):
        line(f"{name}  {count}")
