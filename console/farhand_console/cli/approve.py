"""session waiting, session approve: what others want to open, and one's own yes to it."""

from __future__ import annotations

import hashlib
import sys

import click

from farhand_console.cli.base import Context, command, paged
from farhand_console.output import printable, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page, WaitingGrant
from farhand_console.session.approvals import (
    ToApprove,
    approve,
    check_may_approve,
    check_waiting,
)
from farhand_console.session.scopes import scope_names
from farhand_protocol.errors import RefusedError, UsageError
from farhand_protocol.identity import is_session_id

__all__ = ["register_approve"]


def register_approve(sessions: click.Group) -> None:
    """Add `waiting` and `approve` to the group `session`."""

    @command(sessions)
    @paged
    def waiting(context: Context, limit: int, cursor: str | None) -> None:
        """List sessions that wait for somebody's approval."""
        page = context.relay.get(
            "/sessions/waiting", Page[WaitingGrant], limit=limit, cursor=cursor
        )
        context.show(
            page,
            lambda: show_table(
                ("session", "device", "operator", "ticket", "needed", "approved by", "until"),
                [
                    (
                        one.session,
                        one.device,
                        one.operator,
                        one.ticket,
                        one.needed,
                        ", ".join(one.approvers),
                        one.expires_at,
                    )
                    for one in page.items
                ],
            ),
        )

    @command(sessions, "approve")
    @click.argument("session")
    @click.option("--show", is_flag=True, help="Verify it and show it with its digest, no more.")
    @click.option("--digest", help="Of what --show showed; nothing else is signed.")
    @click.option("--yes", is_flag=True, help="Sign without asking once more.")
    def approve_session(
        context: Context, session: str, show: bool, digest: str | None, yes: bool
    ) -> None:
        """Approve a session of another operator, on a device whose policy asks for it."""
        if not is_session_id(session):
            raise UsageError("usage", f"{session[:60]!r} is not a session's id")
        answer = context.relay.get(segments("sessions", session, "approvals"), WaitingGrant)
        trust = context.trust()
        wanted = check_waiting(context.home, trust, context.relay, answer, asked=session)
        check_may_approve(context.settings, trust, wanted)
        found = hashlib.sha256(wanted.envelope).hexdigest()
        if show:
            shown = [*_words(wanted), ("digest", found)]
            read = {"session": session, "digest": found, "shown": shown}
            context.show(read, lambda: show_fields({"session": session} | dict(shown)))
            return
        if digest is not None and digest != found:
            raise RefusedError("grant-mismatch", "this is not the grant that was read")
        for label, words in _words(wanted):
            say(f"{label:<12} {printable(words, 4000)}")
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    "usage", "there is no terminal to ask on", hint="read it, then add --yes"
                )
            if not click.confirm("Approve this?", err=True):
                raise RefusedError("approval-refused", "nothing was signed")
        after = approve(context.settings, trust, context.relay, wanted, context.signer())
        result = {
            "session": session,
            "approved_by": after.approvers,
            "needed": after.needed,
        }
        context.show(result, lambda: show_fields(result))


def _words(wanted: ToApprove) -> list[tuple[str, str]]:
    """Return the verified grant as people read it."""
    grant = wanted.grant
    return [
        ("who", f"{grant.operator} of {grant.organisation}"),
        ("device", f"{wanted.device.name} ({wanted.device.id}), group {grant.group}"),
        ("ticket", grant.ticket or "-"),
        ("reason", grant.reason or "-"),
        ("scopes", scope_names(grant.scopes)),
        ("forward to", ", ".join(grant.forward) or "-"),
        ("files", "reading only" if grant.read_only else "reading and writing"),
        ("joins", f"{grant.joins} as {grant.mode}" if grant.joins else "-"),
        ("minutes", str(grant.minutes)),
        ("opens until", grant.expires),
    ]
