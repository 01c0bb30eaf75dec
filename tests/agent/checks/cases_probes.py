"""Other machines, made up, for the checks that look at them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from farhand_agent.probes.certificates import Shown
from farhand_agent.probes.names import Records
from farhand_agent.probes.pages import Answered
from farhand_agent.probes.printers import Printer
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import from_unix
from tests.agent.checks.systems import NOW, Case

HERE = "farhand_agent.checks.builtin.probes"
TARGET = {"target": "a.example"}


def probe(check: str, state: str, function: str, answer: Any, **changes: Any) -> Case:
    """Return a case in which one function of the probes gives an answer, or raises one."""
    return Case(
        check=f"probe.{check}",
        state=state,
        parameters=TARGET | changes.pop("parameters", {}),
        patches={f"{HERE}.{function}": _giving(answer)},
        **changes,
    )


def _giving(answer: Any) -> Callable[..., Any]:
    def give(*_: Any, **__: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return give


def _zone(*, spf: str = "v=spf1 mx -all", dmarc: str = "v=DMARC1; p=reject") -> Any:
    texts = {
        ("a.example", "MX"): ["10 mail.a.example."],
        ("a.example", "TXT"): ["something else", spf],
        ("_dmarc.a.example", "TXT"): [dmarc],
        ("k1._domainkey.a.example", "TXT"): ["v=DKIM1; k=ed25519; p=abc"],
    }
    return lambda name, kind: Records(texts.get((name, kind), []), 1.0)


def mail(state: str, zone: Any, value: float, **parameters: str) -> Case:
    return Case(
        check="probe.mail",
        state=state,
        value=value,
        parameters=TARGET | parameters,
        patches={f"{HERE}.records_of": zone},
    )


def until(days: float, distrust: str = "") -> Shown:
    return Shown(from_unix(NOW) + timedelta(days=days), distrust)


NO_NAME = FarhandError("probe-no-name", "a.example: no such name")
FAILED = FarhandError("probe-failed", "a.example: TimeoutError")
IDLE = Printer("idle", True, [], {"black": 80})

CASES = [
    probe("dns", "ok", "records_of", Records(["192.0.2.1"], 20.0), value=20.0),
    probe("dns", "warning", "records_of", Records(["192.0.2.1"], 900.0), value=900.0),
    probe("dns", "critical", "records_of", Records([], 20.0)),
    probe("dns", "critical", "records_of", FAILED),
    Case(check="probe.dns", state="unsupported"),
    probe("tls", "ok", "shown_certificate", until(60), value=60.0),
    probe("tls", "warning", "shown_certificate", until(20), value=20.0),
    probe("tls", "critical", "shown_certificate", until(-1, "certificate has expired"), value=-1.0),
    probe("tls", "critical", "shown_certificate", until(60, "self-signed"), said="untrusted"),
    probe("tls", "critical", "shown_certificate", FAILED),
    Case(check="probe.tls", state="unsupported"),
    probe("http", "ok", "ask_page", Answered(200, 50.0), value=50.0),
    probe("http", "warning", "ask_page", Answered(302, 4000.0), value=4000.0),
    probe("http", "warning", "ask_page", Answered(404, 50.0), said="page"),
    probe("http", "critical", "ask_page", Answered(503, 50.0), value=50.0),
    probe("http", "critical", "ask_page", NO_NAME),
    Case(check="probe.http", state="unsupported"),
    mail("ok", _zone(), 0),
    mail("ok", _zone(), 0, selectors="k1"),
    mail("warning", _zone(), 1, selectors="k1,k2"),
    mail("warning", _zone(spf="v=spf1 +all", dmarc="v=DMARC1; p=none"), 2),
    mail("critical", lambda name, kind: Records([], 1.0), 3),
    probe("mail", "critical", "records_of", FAILED),
    Case(check="probe.mail", state="unsupported"),
    probe("ping", "ok", "ping_ms", (1.5, "icmp"), value=1.5),
    probe("ping", "warning", "ping_ms", (200.0, "tcp 443"), value=200.0),
    probe("ping", "critical", "ping_ms", None),
    probe("ping", "critical", "ping_ms", NO_NAME),
    Case(check="probe.ping", state="unsupported"),
    probe("printer", "ok", "ask_printer", IDLE, value=80),
    probe("printer", "warning", "ask_printer", IDLE._replace(levels={"black": 5}), value=5),
    probe("printer", "warning", "ask_printer", IDLE._replace(reasons=["toner-low-warning"])),
    probe("printer", "critical", "ask_printer", IDLE._replace(reasons=["media-jam-error"])),
    probe("printer", "critical", "ask_printer", IDLE._replace(state="stopped", levels={})),
    probe("printer", "critical", "ask_printer", FAILED),
    Case(check="probe.printer", state="unsupported"),
]
