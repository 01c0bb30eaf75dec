"""Checks of other machines from this one: a name, a certificate, a page, mail, a ping, a printer.

Each needs `target`.  Whom a device may look at is policy's to say (`probe_to`), in schedules and in
orders alike; the person at the device may look at anything.  They read, and send nothing of this
device.
"""

from __future__ import annotations

from typing import Final

from farhand_agent.checks.registry import (
    EVERYWHERE,
    CheckContext,
    Finding,
    State,
    Thresholds,
    Word,
    check,
    unsupported,
    worst,
)
from farhand_agent.probes.certificates import shown_certificate
from farhand_agent.probes.mail import judge_mail
from farhand_agent.probes.names import records_of
from farhand_agent.probes.pages import ask_page
from farhand_agent.probes.printers import ask_printer
from farhand_agent.probes.reaching import is_target, ping_ms
from farhand_protocol.errors import FarhandError

__all__ = ["certificate", "mail", "name", "page", "ping", "printer"]

_HOST: Final = "^[A-Za-z0-9_:][A-Za-z0-9_:.-]{0,252}$"
_TARGET: Final = Word("", _HOST, "Host name or address to look at, one that policy allows.")
_PORT: Final = "^[0-9]{1,5}$"
_NOBODY: Final = unsupported("no target is named")
_PINGS: Final = 3
# What keeps a printer from printing, of the keywords of RFC 8011 section 5.4.12.
_STOPS: Final = ("-error", "media-empty", "media-jam", "media-needed", "cover-open", "door-open",
                 "marker-supply-empty", "toner-empty", "paused", "shutdown", "offline")  # fmt: skip


def _allowed(context: CheckContext, word: str = "target") -> str:
    """Return a target that may be looked at; empty where none is named.

    Raises:
        FarhandError: `check-parameters`, `probe-refused`.
    """
    target = context.word(word).lower()
    if target and not is_target(target):
        raise FarhandError("check-parameters", f"{word} is no host name and no address")
    if target and not context.may_probe(target):
        raise FarhandError("probe-refused", f"policy does not allow to look at {target[:80]}")
    return target


def _port(context: CheckContext) -> int:
    port = int(context.word("port"))
    if not 0 <= port <= 65_535:
        raise FarhandError("check-parameters", "port lies within 0 and 65535")
    return port


def _failed(target: str, error: FarhandError) -> Finding:
    if not error.code.startswith("probe-"):
        raise error
    return Finding(state="critical", summary=error.message, fill={"target": target})


@check(
    "probe.dns",
    "A name is found on the network",
    unit="milliseconds",
    platforms=EVERYWHERE,
    limits={"ms": Thresholds(500, 3000)},
    words={
        "target": Word("", _HOST, "Name to look up, one that policy allows."),
        "server": Word("", _HOST, "Name server to ask, one that policy allows."),
    },
    advice="look at the zone and its name servers; wait for what was changed to spread",
    risk="R0",
    plain={
        "ok": "The name {target} is found on the network.",
        "warning": "Finding the name {target} on the network takes long.",
        "critical": "The name {target} is not found on the network, so what is behind it cannot be "
        "reached.",
    },
)
def name(context: CheckContext) -> Finding:
    """How long a name server takes to find the addresses of a name."""
    target, server = _allowed(context), _allowed(context, "server")
    if not target:
        return _NOBODY
    try:
        found = records_of(target, "A", server=server)
        if not found.texts:
            found = records_of(target, "AAAA", server=server)
    except FarhandError as error:
        return _failed(target, error)
    if not found.texts:
        return Finding(state="critical", summary=f"{target}: no address", fill={"target": target})
    return Finding(
        state=context.limit("ms").state(found.elapsed_ms),
        summary=f"{target}: {', '.join(found.texts[:3])} in {found.elapsed_ms:.0f} ms",
        value=round(found.elapsed_ms, 1),
        fill={"target": target},
    )


@check(
    "probe.tls",
    "A server's certificate",
    unit="days",
    platforms=EVERYWHERE,
    limits={"days": Thresholds(30, 7, rising=False)},
    words={"target": _TARGET, "port": Word("443", _PORT, "Port that speaks TLS.")},
    advice="renew the certificate; install the whole chain and the name that is asked for",
    risk="R0",
    plain={
        "ok": "The security certificate of {target} is in order.",
        "warning": "The security certificate of {target} must be renewed soon.",
        "critical": "The security certificate of {target} is about to end, has ended or cannot be "
        "seen.",
        "untrusted": "This device does not trust the security certificate of {target}; programs "
        "will refuse to connect.",
    },
)
def certificate(context: CheckContext) -> Finding:
    """Days until the certificate that a server shows ends, and whether it is trusted here."""
    target = _allowed(context)
    if not target:
        return _NOBODY
    try:
        shown = shown_certificate(target, _port(context))
    except FarhandError as error:
        return _failed(target, error)
    days = round((shown.ends.timestamp() - context.now()) / 86_400, 1)
    state = context.limit("days").state(days)
    until = f"{target}: until {shown.ends:%Y-%m-%d}"
    if shown.distrust and days > 0:
        return Finding(
            state="critical",
            summary=f"{until}, {shown.distrust}",
            value=days,
            sentence="untrusted",
            fill={"target": target},
        )
    return Finding(state=state, summary=until, value=days, fill={"target": target})


@check(
    "probe.http",
    "A web page answers",
    unit="milliseconds",
    platforms=EVERYWHERE,
    limits={"ms": Thresholds(3000, 8000)},
    words={
        "target": _TARGET,
        "scheme": Word("https", "^https?$", "http or https."),
        "port": Word("0", _PORT, "Port, where it is not the usual one."),
        "path": Word("/", "^/[A-Za-z0-9/._~%?=&+-]{0,200}$", "Page to ask for."),
    },
    advice="look at the web server and what is in front of it",
    risk="R0",
    plain={
        "ok": "The web page of {target} opens.",
        "warning": "The web page of {target} opens slowly.",
        "critical": "The web page of {target} does not open.",
        "page": "{target} answers, but not with the page that was asked for.",
    },
)
def page(context: CheckContext) -> Finding:
    """How long a web page takes to answer, and with which status."""
    target = _allowed(context)
    if not target:
        return _NOBODY
    try:
        answered = ask_page(
            target, scheme=context.word("scheme"), port=_port(context), path=context.word("path")
        )
    except FarhandError as error:
        return _failed(target, error)
    state = context.limit("ms").state(answered.elapsed_ms)
    sentence = None
    if answered.status >= 500:
        state = "critical"
    elif answered.status >= 400:
        state, sentence = worst(state, "warning"), "page"
    return Finding(
        state=state,
        summary=f"{target}: HTTP {answered.status} in {answered.elapsed_ms:.0f} ms",
        value=round(answered.elapsed_ms, 1),
        sentence=sentence,
        fill={"target": target},
    )


@check(
    "probe.mail",
    "A domain's mail settings",
    unit="count",
    platforms=EVERYWHERE,
    words={
        "target": Word("", _HOST, "Domain behind the @, one that policy allows."),
        "selectors": Word("", "^[A-Za-z0-9][A-Za-z0-9,._-]{0,200}$", "DKIM selectors, by commas."),
    },
    advice="publish MX, SPF, DKIM and DMARC records as the domain's mail provider says",
    risk="R0",
    timeout_s=40,
    plain={
        "ok": "Mail of {target} arrives and can be told from forged mail.",
        "warning": "Mail of {target} may be taken for spam, because its settings are incomplete.",
        "critical": "Mail to {target} cannot arrive.",
    },
)
def mail(context: CheckContext) -> Finding:
    """How many of MX, SPF, DKIM (of the selectors named) and DMARC are missing or weak."""
    target = _allowed(context)
    if not target:
        return _NOBODY
    try:
        bad, weak = judge_mail(target, context.words("selectors")[:5], records_of)
    except FarhandError as error:
        return _failed(target, error)
    state: State = "critical" if bad else "warning" if weak else "ok"
    return Finding(
        state=state,
        summary=f"{target}: " + ("; ".join([*bad, *weak]) or "MX, SPF and DMARC are set"),
        value=len(bad) + len(weak),
        fill={"target": target},
    )


@check(
    "probe.ping",
    "A machine answers",
    unit="milliseconds",
    platforms=EVERYWHERE,
    limits={"ms": Thresholds(150, 500)},
    words={"target": _TARGET},
    advice="see that it is switched on and connected; look at cables, switch and router",
    risk="R0",
    timeout_s=45,
    plain={
        "ok": "{target} answers.",
        "warning": "{target} answers slowly.",
        "critical": "{target} does not answer.",
    },
)
def ping(context: CheckContext) -> Finding:
    """Shortest of three round trips, by ICMP where that is allowed, else by TCP."""
    target = _allowed(context)
    if not target:
        return _NOBODY
    try:
        answers = [one for one in (ping_ms(target) for _ in range(_PINGS)) if one is not None]
    except FarhandError as error:
        return _failed(target, error)
    if not answers:
        return Finding(state="critical", summary=f"{target}: no answer", fill={"target": target})
    shortest, how = min(answers)
    return Finding(
        state=context.limit("ms").state(shortest),
        summary=f"{target}: {shortest:.1f} ms by {how}, {len(answers)} of {_PINGS} answered",
        value=round(shortest, 1),
        fill={"target": target},
    )


@check(
    "probe.printer",
    "A printer on the network",
    unit="percent",
    platforms=EVERYWHERE,
    limits={"percent": Thresholds(10, 1, rising=False)},
    words={"target": _TARGET, "port": Word("631", _PORT, "Port of IPP.")},
    advice="look at its panel: paper, jam, cover, ink or toner; switch it off and on",
    risk="R0",
    plain={
        "ok": "The printer {target} is ready.",
        "warning": "The printer {target} will soon need somebody: paper, ink or toner run low.",
        "critical": "The printer {target} does not print. Somebody has to look at it.",
    },
)
def printer(context: CheckContext) -> Finding:
    """What a printer says by IPP: state, reasons for it, and the lowest of its supplies."""
    target = _allowed(context)
    if not target:
        return _NOBODY
    try:
        told = ask_printer(target, port=_port(context))
    except FarhandError as error:
        return _failed(target, error)
    stops = [one for one in told.reasons if any(word in one for word in _STOPS)]
    lowest = min(told.levels.values(), default=None)
    state: State = "critical" if told.state == "stopped" or not told.accepts or stops else "ok"
    if state == "ok" and told.reasons:
        state = "warning"
    if lowest is not None and state == "ok":
        state = context.limit("percent").state(lowest)
    words = [told.state, *told.reasons[:5]]
    words += [f"{name} {level} %" for name, level in sorted(told.levels.items())[:6]]
    return Finding(
        state=state,
        summary=f"{target}: {', '.join(words)}",
        value=lowest,
        fill={"target": target},
    )
