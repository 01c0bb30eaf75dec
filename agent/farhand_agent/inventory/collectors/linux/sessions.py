"""Section `sessions`: who is logged in right now."""

from __future__ import annotations

from typing import Any, Final

from farhand_agent.inventory.context import Context, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.moments import instant
from farhand_agent.inventory.registry import section
from farhand_agent.inventory.wtmp import LOGIN, parse_utmp

__all__ = ["collect", "parse_sessions", "parse_show"]

_UTMP: Final = ("/run/utmp", "/var/run/utmp")
_MAX_SESSIONS: Final = 100
_FIELDS: Final = "Name,Type,TTY,Display,RemoteHost,Remote,State,TimestampUSec,Timestamp,Class"


def parse_sessions(document: Any) -> list[str]:
    """Return the ids in what `loginctl list-sessions -o json` printed.

    Raises:
        Malformed: it is not what loginctl prints.
    """
    if not isinstance(document, list):
        raise Malformed("loginctl")
    found = [text(one.get("session")) for one in rows(document)]
    return [one for one in found if one and one.isalnum()][:_MAX_SESSIONS]


def parse_show(output: str) -> dict[str, Any] | None:
    """Return the item of what `loginctl show-session` printed; None for no person's session."""
    fields = dict(line.split("=", 1) for line in output.split("\n") if "=" in line)
    if not fields.get("Name") or fields.get("Class", "user") not in ("user", "user-early"):
        return None
    return {
        "user": fields["Name"],
        "kind": fields.get("Type") or None,
        "terminal": fields.get("TTY") or fields.get("Display") or None,
        "origin": fields.get("RemoteHost") or None,
        "since": None,
        "state": fields.get("State") or None,
        "remote": fields.get("Remote") == "yes",
    }


@section("sessions", platform="linux", personal=("user", "origin"), volatile=True)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per session, from systemd-logind, else from utmp.

    Raises:
        Unsupported: neither of them is here.
    """
    if context.files.path("/run/systemd/sessions").is_dir():
        listed = context.run(["loginctl", "list-sessions", "-o", "json"], ok=None)
        if listed.exit_code == 0 and listed.stdout.strip():
            document = context.parse_json(listed.stdout, "loginctl")
            return _of_logind(context, parse_sessions(document))
    for name in _UTMP:
        path = context.files.path(name)
        if path.is_file():
            context.note("systemd-logind does not answer here")
            return [
                {
                    "user": one.user,
                    "kind": "x11" if one.line.startswith(":") else "tty",
                    "terminal": one.line or None,
                    "origin": one.detail or None,
                    "since": instant(one.at),
                    "state": "online",
                    "remote": bool(one.detail) and not one.detail.startswith(":"),
                }
                for one in parse_utmp(path.read_bytes())
                if one.kind == LOGIN
            ][:_MAX_SESSIONS]
    raise Unsupported("neither systemd-logind nor utmp answers here")


def _of_logind(context: Context, ids: list[str]) -> list[dict[str, Any]]:
    items = []
    for one in ids:
        # It ends with 1 for a session that has ended since.
        argv = ["loginctl", "show-session", one, "-p", _FIELDS]
        item = parse_show(context.run(argv, ok=(0, 1)).text)
        if item:
            # logind prints local time; its own file was written when the session began.
            began = context.files.text(f"/run/systemd/sessions/{one}") or ""
            item["since"] = instant(_realtime(began))
            items.append(item)
    return items


def _realtime(text_of_session: str) -> float | None:
    for line in text_of_session.split("\n"):
        key, _, value = line.partition("=")
        if key == "REALTIME" and value.isdigit() and len(value) < 18:
            return int(value) / 1e6
    return None
