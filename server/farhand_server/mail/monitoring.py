"""Mails of monitoring programs: Nagios, Icinga 1 and 2, Checkmk.

Subject and body must both look like theirs, and the subject from its first letter: what a person
forwards or answers is a person's mail.  Mails with one fingerprint are about one trouble: the
sender's address, the host and the service.  The sender is part of it, so that a stranger's mail
cannot end somebody else's alarm by naming her host (as far as a `From` can be believed; who may
monitor is for the mailbox's settings).
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

from farhand_server.mail.headers import clean_line
from farhand_server.mail.parsed import Address, MonitoringEvent

__all__ = ["read_monitoring"]

_MAX_NAME: Final = 120
_MAX_BODY: Final = 20_000
_FINGERPRINT_CHARS: Final = 32

# ** PROBLEM Service Alert: web1/HTTP is CRITICAL **
_NAGIOS = re.compile(
    r"\*\* ?(?P<type>[A-Z]+) (?:(?:Host|Service) Alert:|alert -) (?P<what>.{1,240}?) is "
    r"(?P<state>[A-Z]+) ?\*\*\Z"
)
# [PROBLEM] web1 - HTTP is CRITICAL!        [RECOVERY] Host web1 is UP!
_ICINGA = re.compile(
    r"\[(?P<type>[A-Z]+)\] (?:Host )?(?P<host>\S{1,120})(?: - (?P<service>.{1,120}?))? is "
    r"(?P<state>[A-Z]+)!?\Z"
)
# Check_MK: web1/HTTP OK -> CRIT            Checkmk: web1 UP -> DOWN
_CHECK_MK = re.compile(
    r"Check_?MK: (?P<host>[^\s/]{1,120})(?:/(?P<service>.{1,120}?))? "
    r"(?P<before>[A-Za-z]{2,12}) ?(?:->|\u2192) ?(?P<after>[A-Za-z]{2,12})\Z",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"^[ \t]*(notification type|host|service|state|event|info|additional info|output|summary)"
    r"(?: ?name)?[ \t]*:[ \t]*(\S.{0,300})$",
    re.IGNORECASE | re.MULTILINE,
)
_BANNER = re.compile(r"^[* ]{2,12}(nagios|icinga|service monitoring|host monitoring)", re.I | re.M)
_FINE: Final = frozenset(("OK", "UP"))
_WRONG: Final = frozenset(
    ("WARN", "WARNING", "CRIT", "CRITICAL", "UNKN", "UNKNOWN", "DOWN", "UNREACHABLE", "UNREACH")
)

_State = Literal["problem", "recovery", "other"]


def read_monitoring(*, sender: Address | None, subject: str, text: str) -> MonitoringEvent | None:
    """Return what a monitoring program says; None for any other mail."""
    if sender is None:
        return None
    fields = _fields(text[:_MAX_BODY])
    banner = _BANNER.search(text[:_MAX_BODY])
    if (match := _CHECK_MK.match(subject)) is not None and "host" in fields:
        return _event(
            "check_mk", match["host"], match["service"], _by_state(match["after"]), sender, fields
        )
    if (match := _NAGIOS.match(subject)) is not None and (
        banner is not None or "notification type" in fields
    ):
        host, _, service = match["what"].partition("/")
        program: Literal["nagios", "icinga"] = "nagios"
        if banner is not None and banner[1].lower() != "nagios":
            program = "icinga"
        return _event(program, host, service, _by_type(match["type"]), sender, fields)
    if (match := _ICINGA.match(subject)) is not None and (banner is not None or "host" in fields):
        return _event(
            "icinga", match["host"], match["service"], _by_type(match["type"]), sender, fields
        )
    return None


def _fields(text: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        named.setdefault(name.lower(), value)
    return named


def _by_type(word: str) -> _State:
    match word:
        case "PROBLEM":
            return "problem"
        case "RECOVERY" | "OK":
            return "recovery"
        case _:
            # Acknowledged, flapping, down for a while: said, but neither of both.
            return "other"


def _by_state(word: str) -> _State:
    if word.upper() in _FINE:
        return "recovery"
    return "problem" if word.upper() in _WRONG else "other"


def _event(
    program: Literal["nagios", "icinga", "check_mk"],
    host: str,
    service: str | None,
    state: _State,
    sender: Address,
    fields: dict[str, str],
) -> MonitoringEvent:
    host = clean_line(host, max_chars=_MAX_NAME)
    service = clean_line(service or "", max_chars=_MAX_NAME)
    about = "\0".join((sender.mail, host.lower(), service.lower()))
    said = ("additional info", "info", "output", "summary")
    summary = next((fields[name] for name in said if name in fields), "")
    return MonitoringEvent(
        program=program,
        state=state,
        fingerprint=hashlib.sha256(about.encode()).hexdigest()[:_FINGERPRINT_CHARS],
        host=host,
        service=service,
        summary=clean_line(summary, max_chars=200),
    )
