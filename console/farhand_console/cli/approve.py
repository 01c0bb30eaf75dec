"""session waiting, session approve: what others want to open, and one's own yes to it."""

from __future__ import annotations

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
    @click.option("--yes", is_flag=True, help="Sign without asking once more.")
    def approve_session(context: Context, session: str, yes: bool) -> None:
        """Approve a session of another operator, on a device whose policy asks for it."""
        if not is_session_id(session):
            raise UsageError("usage", f"{session[:60]!r} is not a session's id")
        answer = context.relay.get(segments("sessions", session, "approvals"), WaitingGrant)
        trust = context.trust()
        wanted = check_waiting(context.home, trust, context.relay, answer, asked=session)
        check_may_approve(context.settings, trust, wanted)
        _show(wanted)
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


def _show(wanted: ToApprove) -> None:
    grant = wanted.grant
    for label, text in (
        ("who", f"{grant.operator} of {grant.organisation}"),
        ("device", f"{wanted.device.name} ({wanted.device.id}), group {grant.group}"),
        ("ticket", grant.ticket),
        ("reason", grant.reason or "-"),
        ("scopes", scope_names(grant.scopes)),
        ("forward to", ", ".join(grant.forward) or "-"),
        ("files", "reading only" if grant.read_only else "reading and writing"),
        ("minutes", str(grant.minutes)),
        ("opens until", grant.expires),
    ):
        say(f"{label:<12} {printable(text, 300)}")
