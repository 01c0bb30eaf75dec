"""Mail that no person wrote: absence notes, lists, loops, bounces, monitoring."""

from __future__ import annotations

from collections.abc import Iterator

from farhand_server.mail.parsed import AutoKind
from tests.server.mail.corpus.speech import SPEECH
from tests.server.mail.corpus.world import ANNA, ANNA_FIRST, BOB, Case, Expected, World
from tests.server.mail.corpus.writing import addressed, mail, multipart, part, words

__all__ = ["automatic"]

_DAEMON = "MAILER-DAEMON@mx.customer.example"


def automatic(world: World) -> Iterator[Case]:
    """Yield all of it."""
    yield from _classes(world)
    yield from _absences(world)
    yield from _standard_bounces(world)
    yield from _other_bounces(world)
    yield from _monitoring(world)


def _classes(world: World) -> Iterator[Case]:
    cases: list[tuple[str, dict[str, str], AutoKind]] = [
        ("submitted-replied", {"Auto-Submitted": "auto-replied"}, "reply"),
        ("submitted-generated", {"Auto-Submitted": "auto-generated"}, "generated"),
        ("submitted-notified", {"Auto-Submitted": "auto-notified; owner=x"}, "generated"),
        ("submitted-comment", {"Auto-Submitted": "(x) auto-replied (vacation)"}, "generated"),
        ("submitted-no", {"Auto-Submitted": "no"}, "person"),
        ("submitted-NO", {"auto-submitted": " NO ; x=y"}, "person"),
        ("precedence-bulk", {"Precedence": "bulk"}, "bulk"),
        ("precedence-junk", {"Precedence": "Junk"}, "bulk"),
        ("precedence-list", {"Precedence": "list"}, "list"),
        ("precedence-auto", {"Precedence": "auto_reply"}, "reply"),
        ("precedence-first-class", {"Precedence": "first-class"}, "person"),
        ("list-id", {"List-Id": "<users.list.example>"}, "list"),
        ("list-unsubscribe", {"List-Unsubscribe": "<mailto:x@list.example>"}, "list"),
        ("x-loop", {"X-Loop": "desk@elsewhere.example"}, "loop"),
        ("x-autoreply", {"X-Autoreply": "yes"}, "reply"),
        ("x-autorespond", {"X-Autorespond": "vacation"}, "reply"),
        ("return-path-empty", {"Return-Path": "<>"}, "generated"),
        ("return-path", {"Return-Path": f"<{ANNA}>"}, "person"),
        ("postmaster", {"From": "Postmaster <postmaster@customer.example>"}, "generated"),
        ("daemon", {"From": "Mailer <mailer-daemon@customer.example>"}, "generated"),
        ("suppress", {"X-Auto-Response-Suppress": "DR, OOF"}, "person"),
        ("all-at-once", {"Precedence": "bulk", "List-Id": "<x>", "X-Loop": "y"}, "loop"),
    ]
    for name, headers, kind in cases:
        given = {"From": ANNA, "To": world.mailbox, "Subject": "note", **headers}
        yield Case(
            f"auto-{name}",
            mail({**given, "Message-ID": f"<auto-{name}@x.example>"}, part("Words.")),
            Expected("new", auto=kind, visible="Words."),
        )
    looped = {
        "loop-own-id": {
            "From": "List <list@list.example>",
            "Message-ID": world.token(world.printer),
        },
        "loop-own-address": {"From": world.mailbox, "Message-ID": "<loop@x.example>"},
    }
    for name, headers in looped.items():
        yield Case(
            name,
            mail({**headers, "To": world.mailbox, "Subject": "again"}, part("Our own words.")),
            Expected("loop"),
        )


def _absences(world: World) -> Iterator[Case]:
    for language, speech in SPEECH.items():
        for name, extra in (
            ("exchange", {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}),
            ("rfc", {"Auto-Submitted": "auto-replied (vacation)", "Precedence": "bulk"}),
        ):
            headers = {
                "From": addressed(speech.name, ANNA),
                "To": world.mailbox,
                "Subject": words(speech.away_subject),
                "Message-ID": f"<away-{name}-{language}@customer.example>",
                "In-Reply-To": world.token(world.printer),
                **extra,
            }
            yield Case(
                f"away-{name}-{language}",
                mail(headers, part(speech.away)),
                Expected(
                    "reply",
                    world.printer,
                    auto="generated" if name == "exchange" else "reply",
                    visible=speech.away,
                ),
            )


def _returned(world: World) -> str:
    return (
        f"From: {world.mailbox}\r\nTo: {BOB}\r\nSubject: [FH-{world.printer}] The printer\r\n"
        f"Message-ID: {world.token(world.printer)}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    )


def _report(text: str, status: str, returned: str, *, kind: str = "message/rfc822") -> bytes:
    return multipart(
        "report",
        part(text),
        b"Content-Type: message/delivery-status\r\n\r\n" + status.encode(),
        f"Content-Type: {kind}\r\n\r\n{returned}\r\nold words".encode(),
        more="; report-type=delivery-status",
    )


def _bounce(world: World, body: bytes, **headers: str) -> bytes:
    given = {
        "Return-Path": "<>",
        "From": f"Mail Delivery System <{_DAEMON}>",
        "To": world.mailbox,
        "Subject": "Undelivered Mail Returned to Sender",
        "Message-ID": "<bounce@mx.customer.example>",
    }
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return mail({**given, **renamed}, body)


def _standard_bounces(world: World) -> Iterator[Case]:
    head = "Reporting-MTA: dns; mx.customer.example\r\nArrival-Date: Sun, 22 Nov 2026 10:00:00\r\n"
    gone = (
        f"{head}\r\nFinal-Recipient: rfc822; {BOB}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n"
    )
    forms: list[tuple[str, str, bool]] = [
        ("unknown", gone, True),
        ("full", gone.replace("5.1.1", "4.2.2").replace("550", "452"), False),
        ("no-status", gone.replace("Status: 5.1.1\r\n", ""), True),
        ("code-only", gone.replace("Status: 5.1.1", "X: y").replace("550 5.1.1", "554"), True),
        ("delayed", gone.replace("failed", "delayed").replace("5.1.1", "4.4.1"), False),
        ("original", gone.replace("Final-", "Original-"), True),
        ("bare-recipient", gone.replace("rfc822; ", ""), True),
        ("brackets", gone.replace(BOB, f"<{BOB}>"), True),
    ]
    for name, status, permanent in forms:
        yield Case(
            f"bounce-{name}",
            _bounce(world, _report("I'm sorry.", status, _returned(world))),
            Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=permanent),
        )
    two = f"{gone}\r\nFinal-Recipient: rfc822; {ANNA}\r\nAction: failed\r\nStatus: 5.7.1\r\n"
    yield Case(
        "bounce-two",
        _bounce(world, _report("I'm sorry.", two, _returned(world))),
        Expected("bounce", world.printer, "bounce", bounced=(BOB, ANNA), permanent=True),
    )
    yield Case(
        "bounce-headers-only",
        _bounce(world, _report("I'm sorry.", gone, _returned(world), kind="text/rfc822-headers")),
        Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=True),
    )
    lost = f"From: a@b.example\r\nSubject: [FH-{world.printer}] The printer\r\n"
    yield Case(
        "bounce-by-tag",
        _bounce(world, _report("I'm sorry.", gone, lost)),
        Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=True),
    )
    yield Case(
        "bounce-of-nothing-of-ours",
        _bounce(world, _report("I'm sorry.", gone, "Message-ID: <x@y.example>\r\n")),
        Expected("bounce", None, "bounce", bounced=(BOB,), permanent=True),
    )
    yield Case(
        "bounce-by-references",
        _bounce(world, _report("I'm sorry.", gone, ""), In_Reply_To=world.token(world.printer)),
        Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=True),
    )
    for language, speech in SPEECH.items():
        yield Case(
            f"bounce-exchange-{language}",
            _bounce(
                world,
                _report(speech.failed.format(mail=BOB), gone, _returned(world)),
                Subject=words(speech.failed_subject),
                From=f"Microsoft Outlook <postmaster@{_DAEMON.partition('@')[2]}>",
            ),
            Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=True),
        )
        yield Case(
            f"bounce-prose-{language}",
            _bounce(
                world,
                part(f"{speech.failed.format(mail=BOB)}\n\n<{BOB}>:\n550 5.1.1\n\n{_prose(world)}"),
                Subject=words(speech.failed_subject),
            ),
            Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=True),
        )
    yield Case(
        "report-delivered",
        _bounce(
            world,
            _report("It arrived.", gone.replace("failed", "delivered"), _returned(world)),
            In_Reply_To=world.token(world.printer),
        ),
        Expected("bounce", world.printer, "bounce"),
    )
    yield Case(
        "report-read",
        mail(
            {
                "From": BOB,
                "To": world.mailbox,
                "Subject": "Read: The printer",
                "Message-ID": "<read@customer.example>",
                "In-Reply-To": world.token(world.printer),
                "Auto-Submitted": "auto-replied",
            },
            multipart(
                "report",
                part("Your message was read."),
                b"Content-Type: message/disposition-notification\r\n\r\nDisposition: x; displayed",
                more="; report-type=disposition-notification",
            ),
        ),
        Expected("reply", world.printer, "reply"),
    )


def _prose(world: World) -> str:
    copy = _returned(world).replace("\r\n", "\n")
    return f"--- Below this line is a copy of the message.\n\n{copy}\nold words"


def _other_bounces(world: World) -> Iterator[Case]:
    qmail = (
        "Hi. This is the qmail-send program at mx.customer.example.\nI'm afraid I wasn't able to "
        f"deliver your message.\n\n<{BOB}>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
    )
    exim = (
        "This message was created automatically by mail delivery software.\n\nA message that you "
        "sent could not be delivered to one or more of its\nrecipients. This is a permanent error."
        f" The following address(es) failed:\n\n  {BOB}\n    Unrouteable address\n\n"
    )
    copy = _returned(world).replace("\r\n", "\n")
    sendmail = (
        "The original message was received at Sun, 22 Nov 2026 10:00:00\n\n"
        "   ----- The following addresses had permanent fatal errors -----\n"
        f"<{BOB}>\n    (reason: 550 5.1.1 User unknown)\n\n"
        f"   ----- Original message follows -----\n{copy}"
    )
    exchange = (
        f"Your message\n\n  To:      Bob\n  Subject: [FH-{world.printer}] The printer\n\ndid not "
        f"reach the following recipient(s):\n\n{BOB} on Sun, 22 Nov 2026 10:00:00\n    The e-mail "
        "account does not exist at the organization.\n"
    )
    waiting = (
        "This message was created automatically by mail delivery software.\nA message that you "
        "sent has not yet been delivered to one or more of its\nrecipients after more than 24 "
        f"hours.\n\n  {BOB}\n\nNo action is required on your part.\n\n{copy}"
    )
    forms: list[tuple[str, bytes, dict[str, str], bool]] = [
        ("qmail", part(qmail + _prose(world)), {"Subject": "failure notice"}, True),
        (
            "exim",
            part(f"{exim}------ This is a copy of the message, with all headers. ------\n\n{copy}"),
            {"Subject": "Mail delivery failed: returning message to sender"},
            True,
        ),
        (
            "exim-header",
            part(f"Something went wrong, permanently.\n\n{copy}"),
            {"X_Failed_Recipients": BOB, "Subject": "Hello", "Return_Path": ""},
            True,
        ),
        ("sendmail", part(sendmail), {"Subject": "Returned mail: see transcript"}, True),
        ("exchange-old", part(exchange), {"Subject": "Undeliverable: The printer"}, True),
        (
            "waiting",
            part(waiting),
            {"Subject": "Warning: message 1abc delayed 24 hours"},
            False,
        ),
    ]
    for name, body, headers, permanent in forms:
        yield Case(
            f"bounce-{name}",
            _bounce(world, body, **headers),
            Expected("bounce", world.printer, "bounce", bounced=(BOB,), permanent=permanent),
        )
    yield Case(
        "no-bounce-person",
        mail(
            {
                "From": ANNA,
                "To": world.mailbox,
                "Subject": "Undelivered mail, what is that?",
                "Message-ID": "<q1@customer.example>",
            },
            part(f"I get this:\n\n<{BOB}>: 550 5.1.1 User unknown"),
        ),
        Expected("new"),
    )


def _monitoring(world: World) -> Iterator[Case]:
    def case(name: str, subject: str, body: str, told: tuple[str, str, str] | None) -> Case:
        headers = {
            "From": "Monitoring <nagios@monitor.example>",
            "To": world.mailbox,
            "Subject": words(subject),
            "Message-ID": f"<{name}@monitor.example>",
        }
        return Case(
            f"monitoring-{name}", mail(headers, part(body)), Expected("new", monitoring=told)
        )

    nagios = (
        "***** Nagios *****\n\nNotification Type: {0}\n\nService: HTTP\nHost: web1\nAddress: "
        "192.0.2.7\nState: {1}\n\nDate/Time: Sun Nov 22 10:00:00\n\nAdditional Info:\n\ntimeout"
    )
    yield case(
        "nagios-service",
        "** PROBLEM Service Alert: web1/HTTP is CRITICAL **",
        nagios.format("PROBLEM", "CRITICAL"),
        ("problem", "web1", "HTTP"),
    )
    yield case(
        "nagios-service-fine",
        "** RECOVERY Service Alert: web1/HTTP is OK **",
        nagios.format("RECOVERY", "OK"),
        ("recovery", "web1", "HTTP"),
    )
    yield case(
        "nagios-acknowledged",
        "** ACKNOWLEDGEMENT Service Alert: web1/HTTP is CRITICAL **",
        nagios.format("ACKNOWLEDGEMENT", "CRITICAL"),
        ("other", "web1", "HTTP"),
    )
    yield case(
        "nagios-host",
        "** PROBLEM Host Alert: web1 is DOWN **",
        nagios.format("PROBLEM", "DOWN").replace("Service: HTTP\n", ""),
        ("problem", "web1", ""),
    )
    yield case(
        "nagios-host-fine",
        "** RECOVERY Host Alert: web1 is UP **",
        nagios.format("RECOVERY", "UP").replace("Service: HTTP\n", ""),
        ("recovery", "web1", ""),
    )
    yield case(
        "icinga1",
        "** PROBLEM Service Alert: web1/HTTP is WARNING **",
        nagios.replace("Nagios", "Icinga").format("PROBLEM", "WARNING"),
        ("problem", "web1", "HTTP"),
    )
    icinga = (
        "***** Service Monitoring on monitor *****\n\nHTTP on web1 is {0}!\n\nInfo:    timeout\n\n"
        "When:    2026-11-22 10:00:00\nService: HTTP\nHost:    web1\nIPv4:    192.0.2.7"
    )
    yield case(
        "icinga2",
        "[PROBLEM] web1 - HTTP is CRITICAL!",
        icinga.format("CRITICAL"),
        ("problem", "web1", "HTTP"),
    )
    yield case(
        "icinga2-fine",
        "[RECOVERY] web1 - HTTP is OK!",
        icinga.format("OK"),
        ("recovery", "web1", "HTTP"),
    )
    yield case(
        "icinga2-host",
        "[PROBLEM] Host web1 is DOWN!",
        "***** Host Monitoring on monitor *****\n\nweb1 is DOWN!\n\nHost: web1",
        ("problem", "web1", ""),
    )
    check = "Host:     web1 (web1)\nService:  CPU load\nEvent:    {0}\nAddress:  192.0.2.7\n"
    yield case(
        "check-mk",
        "Check_MK: web1/CPU load OK -> CRIT",
        check.format("OK -> CRITICAL"),
        ("problem", "web1", "CPU load"),
    )
    yield case(
        "check-mk-fine",
        "Checkmk: web1/CPU load CRIT -> OK",
        check.format("CRITICAL -> OK"),
        ("recovery", "web1", "CPU load"),
    )
    yield case(
        "check-mk-host",
        "Check_MK: web1 UP -> DOWN",
        "Host: web1\nEvent: UP -> DOWN\n",
        ("problem", "web1", ""),
    )
    yield case("subject-only", "** PROBLEM Host Alert: web1 is DOWN **", "Look at this!", None)
    yield case(
        "forwarded",
        "Fwd: ** PROBLEM Host Alert: web1 is DOWN **",
        nagios.format("PROBLEM", "DOWN"),
        None,
    )
    yield Case(
        "monitoring-answered",
        mail(
            {
                "From": ANNA,
                "To": world.mailbox,
                "Subject": "Re: [PROBLEM] web1 - HTTP is CRITICAL!",
                "Message-ID": "<m1@customer.example>",
                "References": ANNA_FIRST,
            },
            part("I am looking."),
        ),
        Expected("reply", world.printer, visible="I am looking."),
    )
