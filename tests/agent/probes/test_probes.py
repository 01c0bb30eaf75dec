"""Looks at other machines: real servers on loopback, and what no server may do to a device."""

from __future__ import annotations

import ssl
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_agent.checks.context import CheckContext
from farhand_agent.checks.runner import run_check
from farhand_agent.probes.certificates import shown_certificate
from farhand_agent.probes.mail import judge_mail
from farhand_agent.probes.names import Records, records_of
from farhand_agent.probes.pages import ask_page
from farhand_agent.probes.printers import ask_printer, read_answer, request_for
from farhand_agent.probes.reaching import address_of, connected_ms, is_target, ping_ms
from farhand_protocol.errors import FarhandError
from tests.agent.probes.servers import free_port, name_server, secured, web_server
from tests.support.certificates import self_signed


def ok(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    return 200, b"fine"


def test_a_certificate_is_seen_whether_it_is_trusted_or_not(tmp_path: Path) -> None:
    good = self_signed(tmp_path, days=20)
    with web_server(ok, tls=secured(good)) as port:
        shown = shown_certificate("127.0.0.1", port)
        assert "self" in shown.distrust
        trusting = ssl.create_default_context(cafile=str(good))
        trusted = shown_certificate("127.0.0.1", port, trusted=trusting)
    assert trusted.distrust == ""
    left = trusted.ends - datetime.now(UTC)
    assert timedelta(days=19) < left < timedelta(days=21)
    assert shown.ends == trusted.ends


def test_a_certificate_that_has_ended_is_told_apart_from_one_of_another_name(
    tmp_path: Path,
) -> None:
    ended = self_signed(tmp_path, days=-1)
    with web_server(ok, tls=secured(ended)) as port:
        trusting = ssl.create_default_context(cafile=str(ended))
        shown = shown_certificate("127.0.0.1", port, trusted=trusting)
    assert "expired" in shown.distrust
    assert shown.ends < datetime.now(UTC)


def test_what_speaks_no_tls_has_no_certificate() -> None:
    with web_server(ok) as port, pytest.raises(FarhandError, match="probe-failed"):
        shown_certificate("127.0.0.1", port, timeout_s=2)
    with pytest.raises(FarhandError, match="probe-failed"):
        shown_certificate("127.0.0.1", free_port(), timeout_s=2)


def test_a_page_answers_and_redirects_are_not_followed() -> None:
    asked = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append((method, path))
        return (302, b"") if path == "/a" else (500, b"x" * 300_000)

    with web_server(answer) as port:
        moved = ask_page("127.0.0.1", scheme="http", port=port, path="/a")
        failed = ask_page("127.0.0.1", scheme="http", port=port, path="/b")
    assert (moved.status, failed.status) == (302, 500)
    assert asked == [("GET", "/a"), ("GET", "/b")]
    with pytest.raises(FarhandError, match="probe-failed"):
        ask_page("127.0.0.1", scheme="http", port=free_port())


def test_a_page_behind_a_certificate_that_is_not_trusted_does_not_open(tmp_path: Path) -> None:
    good = self_signed(tmp_path, days=20)
    trusting = ssl.create_default_context(cafile=str(good))
    with web_server(ok, tls=secured(good)) as port:
        assert ask_page("127.0.0.1", port=port, trusted=trusting).status == 200
        with pytest.raises(FarhandError, match="probe-failed"):
            ask_page("127.0.0.1", port=port)


def zone(data: bytes) -> bytes:
    """Answer a query for the zone a.example."""
    query = dns.message.from_wire(data)
    reply = dns.message.make_response(query)
    question = query.question[0]
    found = {
        "a.example. A": ["192.0.2.7"],
        "a.example. MX": ["10 mail.a.example."],
        "a.example. TXT": ['"v=spf1 " "mx -all"'],
        "_dmarc.a.example. TXT": ['"v=DMARC1; p=quarantine"'],
    }.get(f"{question.name} {dns.rdatatype.to_text(question.rdtype)}", [])
    if found:
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *found))
    elif str(question.name) == "gone.example.":
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif str(question.name) == "broken.example.":
        reply.set_rcode(dns.rcode.SERVFAIL)
    return reply.to_wire()


def test_names_are_asked_of_a_name_server() -> None:
    with name_server(zone) as port:

        def ask(name: str, kind: str) -> Records:
            return records_of(name, kind, server="127.0.0.1", port=port, timeout_s=2)

        assert ask("a.example", "A").texts == ["192.0.2.7"]
        assert ask("a.example", "TXT").texts == ["v=spf1 mx -all"]
        assert ask("a.example", "AAAA").texts == []
        assert ask("gone.example", "A").texts == []
        assert judge_mail("a.example", [], ask) == ([], [])
        assert judge_mail("a.example", ["k"], ask) == ([], ["no DKIM key k"])
        for name in ("broken.example", "x" * 80 + ".example"):
            with pytest.raises(FarhandError, match="probe-failed"):
                ask(name, "A")


@pytest.mark.parametrize(
    ("records", "bad", "weak"),
    [
        ({}, ["no MX"], ["no SPF", "no DMARC"]),
        ({"MX": ["0 ."]}, ["MX says that it takes no mail"], ["no SPF", "no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 a", "v=spf1 b"]}, [], ["several SPF", "no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 a"]}, [], ["SPF without an end", "no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 redirect=b.example"]}, [], ["no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 all"]}, [], ["SPF lets everybody", "no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf10 -all"]}, [], ["no SPF", "no DMARC"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 -all"], "D": ["v=DMARC1; p=x"]}, [], ["DMARC without"]),
        ({"MX": ["1 m."], "TXT": ["v=spf1 -all"], "D": ["v=DMARC1"] * 2}, [], ["several DMARC"]),
    ],
)
def test_mail_is_judged(records: dict[str, list[str]], bad: list[str], weak: list[str]) -> None:
    def ask(name: str, kind: str) -> Records:
        return Records(records.get("D" if name.startswith("_dmarc") else kind, []), 1.0)

    found_bad, found_weak = judge_mail("a.example", [], ask)
    assert found_bad == bad
    assert len(found_weak) == len(weak)
    assert all(found.startswith(start) for found, start in zip(found_weak, weak, strict=True))


def test_a_revoked_dkim_key_counts_as_none() -> None:
    def ask(name: str, kind: str) -> Records:
        return Records(["v=DKIM1; p="] if "_domainkey" in name else [], 1.0)

    assert "DKIM key k is revoked" in judge_mail("a.example", ["k"], ask)[1]


def attribute(tag: int, name: str, value: bytes) -> bytes:
    return (
        bytes([tag]) + struct.pack(">H", len(name)) + name.encode()
        + struct.pack(">H", len(value)) + value
    )  # fmt: skip


def answer_of(*attributes: bytes, status: int = 0) -> bytes:
    return struct.pack(">BBHI", 1, 1, status, 1) + b"\x01\x04" + b"".join(attributes) + b"\x03"


STATE = attribute(0x23, "printer-state", struct.pack(">i", 3))
SUPPLIES = (
    attribute(0x42, "marker-names", b"black") + attribute(0x42, "", b"cyan")
    + attribute(0x21, "marker-levels", struct.pack(">i", 40))
    + attribute(0x21, "", struct.pack(">i", -2))
)  # fmt: skip


def test_a_printer_says_how_it_is() -> None:
    asked = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append((method, path, body))
        accepts = attribute(0x22, "printer-is-accepting-jobs", b"\x01")
        reasons = attribute(0x44, "printer-state-reasons", b"media-low-warning")
        return 200, answer_of(STATE, accepts, reasons, SUPPLIES)

    with web_server(answer) as port:
        told = ask_printer("127.0.0.1", port=port)
    assert told == ("idle", True, ["media-low-warning"], {"black": 40})
    assert asked == [("POST", "/ipp/print", request_for("ipp://127.0.0.1/ipp/print"))]
    # A request as RFC 8010 appendix A writes them.
    assert asked[0][2][:9] == b"\x01\x01\x00\x0b\x00\x00\x00\x01\x01"
    with web_server(lambda method, path, body: (404, b"")) as port:
        with pytest.raises(FarhandError, match="HTTP 404"):
            ask_printer("127.0.0.1", port=port)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",
        answer_of(),
        answer_of(STATE, status=0x0400),
        answer_of(STATE)[:-1],
        answer_of(attribute(0x23, "printer-state", b"\x03")),
        answer_of(attribute(0x23, "printer-state", struct.pack(">i", 9))),
        answer_of(STATE)[:-1] + b"\x44\xff\xff",
        answer_of(*[attribute(0x44, "", b"x")] * 3000, STATE),
        answer_of(attribute(0x44, "\u00e4", b"x"), STATE),
    ],
)
def test_an_answer_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(FarhandError, match="probe-failed"):
        read_answer(data)


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_answer_does_anything_but_be_read_or_refused(data: bytes, more: bytes) -> None:
    cut = answer_of(STATE + SUPPLIES)[:-1] + more
    for one in (data, answer_of(data), answer_of(STATE, data), cut):
        try:
            told = read_answer(one)
        except FarhandError as error:
            code = error.code
        else:
            code = told.state
        assert code in ("probe-failed", "idle", "processing", "stopped")


def test_a_machine_answers_by_whatever_it_lets_through() -> None:
    with web_server(ok) as port:
        assert connected_ms(address_of("127.0.0.1", port)) < 60_000
    answered = ping_ms("127.0.0.1")
    assert answered is not None
    with pytest.raises(FarhandError, match="probe-no-name"):
        ping_ms("no-such-name.invalid")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a.example", True),
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("_dmarc.a.example", True),
        ("fe80::1%eth0", False),
        ("-rf", False),
        ("a b", False),
        ("a.example/x", False),
        ("a.example:80", False),
        ("user@a.example", False),
        ("a..example", False),
        ("\u0430.example", False),
        ("", False),
    ],
)
def test_a_target_is_a_host_and_nothing_else(text: str, is_one: bool) -> None:
    assert is_target(text) == is_one


@pytest.mark.parametrize("check", ["dns", "tls", "http", "mail", "ping", "printer"])
def test_policy_says_whom_a_device_may_look_at(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*_: object, **__: object) -> None:
        raise AssertionError("it looked at a machine that policy does not name")

    for name in ("records_of", "shown_certificate", "ask_page", "ping_ms", "ask_printer"):
        monkeypatch.setattr(f"farhand_agent.checks.builtin.probes.{name}", reached)
    context = CheckContext(may_probe=lambda target: target == "b.example")
    result = run_check(f"probe.{check}", {"target": "A.example"}, context=context)
    assert (result.state, "policy" in result.summary) == ("unknown", True)
    if check == "dns":
        also = {"target": "b.example", "server": "a.example"}
        assert run_check("probe.dns", also, context=context).state == "unknown"
