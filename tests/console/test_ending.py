"""The receipt: the device signs, the console checks what it is about and countersigns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import asyncssh
import click
import msgspec
import pytest
from click.testing import CliRunner

from farhand_console.cli import session as session_cli
from farhand_console.cli.base import Context
from farhand_console.cli.entry import farhand
from farhand_console.home import Home
from farhand_console.relay.answers import Session
from farhand_console.session.ending import countersign, end_on_device, kept_receipt
from farhand_console.session.opening import make_session_key
from farhand_console.session.record import SessionRecord, save
from farhand_protocol.envelopes import Envelope, encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Grant, Receipt
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.receipts import verify_receipt
from tests.console.organisation import TENANT, signer
from tests.console.test_record import SESSION, record

AT = "2026-11-22T12:00:00Z"


class Case:
    """One session from both ends, as far as a receipt needs it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.device, self.operator = signer(), signer()
        console_key, key_file = make_session_key(SESSION)
        self.grant = seal(
            Grant(
                tenant=TENANT,
                id=SESSION,
                device=device_id(self.device.public_key),
                host_name="vm",
                group="office",
                operator="tess",
                operator_key=self.operator.public_key,
                organisation="Example",
                ticket="FH-1",
                reason="",
                scopes=["terminal"],
                forward=[],
                minutes=30,
                console_key=console_key,
                transcript=None,
                targets_version=1,
                issued_at=AT,
                not_before=AT,
                expires=AT,
            ),
            self.operator,
        )
        self.record: SessionRecord = record(
            device=device_id(self.device.public_key),
            device_key=self.device.public_key,
            grant=encode_envelope(self.grant),
        )
        save(home, self.record, key_file)

    def receipt(self, by: SeedSigner | None = None, **changes: Any) -> Envelope:
        made = Receipt(
            tenant=TENANT,
            id="r-1",
            session=SESSION,
            device=device_id(self.device.public_key),
            device_key=self.device.public_key,
            host_name="vm",
            guest=False,
            operator="tess",
            organisation="Example",
            ticket="FH-1",
            scopes=["terminal"],
            started_at=AT,
            ended_at=AT,
            active_s=5,
            reason="closed",
            note="done",
            actions=[],
            actions_omitted=0,
            grant=self.grant,
        )
        return seal(msgspec.structs.replace(made, **changes), by or self.device)


class Ends:
    """The device's `farhand-end`, over the part of an SSH connection that is used here."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = list(lines)
        self.written: list[dict[str, Any]] = []

    async def open_session(self, **words: Any) -> tuple[Ends, Ends, None]:
        assert words == {"subsystem": "farhand-end", "encoding": None}
        return self, self, None

    def write(self, data: bytes) -> None:
        self.written.append(msgspec.json.decode(data))

    async def read(self, _size: int) -> bytes:
        return self.lines.pop(0) if self.lines else b""


async def ended(case: Case, ends: Ends) -> tuple[Receipt, str]:
    connection: Any = ends
    return await end_on_device(case.home, case.record, connection, "done")


def line(envelope: Envelope) -> bytes:
    return b'{"receipt":' + encode_envelope(envelope) + b"}\n"


async def test_a_receipt_of_both_sides_is_kept(home: Home) -> None:
    case = Case(home)
    text = line(case.receipt())
    ends = Ends(text[:100], text[100:], b'{"ok":true}\n')
    receipt, digest = await ended(case, ends)
    assert receipt.note == "done"
    assert ends.written[0] == {"note": "done"}
    data = (home.folder / "receipts" / f"{SESSION}.json").read_bytes()
    checked = verify_receipt(data, device_key=case.device.public_key)
    assert not checked.one_sided
    kept = kept_receipt(home, SESSION)
    assert kept is not None
    assert (kept[0].active_s, kept[1]) == (5, digest)
    assert kept_receipt(home, "s-bbbbbbbbbbbbbbbb") is None


async def test_receipts_about_something_else_are_not_countersigned(home: Home) -> None:
    case, stranger = Case(home), signer()
    other_grant = seal(
        msgspec.structs.replace(
            msgspec.json.decode(case.grant.payload, type=Grant), operator_key=stranger.public_key
        ),
        stranger,
    )
    for envelope in (
        case.receipt(session="s-bbbbbbbbbbbbbbbb"),
        case.receipt(device="d-other"),
        case.receipt(stranger, device_key=stranger.public_key),
        case.receipt(grant=other_grant),
        case.receipt(stranger),
        case.receipt(operator="mallory"),
        case.receipt(scopes=["terminal", "control"]),
    ):
        ends = Ends(line(envelope), b'{"ok":true}\n')
        with pytest.raises(FarhandError, match="receipt-"):
            await ended(case, ends)
        assert len(ends.written) == 1  # nothing of ours beyond the note
        assert kept_receipt(home, SESSION) is None


@pytest.mark.parametrize(
    "text", [b"", b"{}\n", b"[]\n", b'{"receipt":3}\n', b"\xff\n", b'{"receipt":{}', b"[" * 9_000]
)
async def test_what_is_no_receipt(home: Home, text: bytes) -> None:
    with pytest.raises(FarhandError, match=r"receipt-|envelope-malformed"):
        await ended(Case(home), Ends(text))


async def test_a_flood_is_cut_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farhand_console.session.ending._MAX_LINE", 1000)
    with pytest.raises(FarhandError, match="receipt-missing"):
        await ended(Case(home), Ends(*[b"x" * 600] * 5))


async def test_a_lost_connection(home: Home) -> None:
    class Lost(Ends):
        async def read(self, _size: int) -> bytes:
            raise asyncssh.ConnectionLost("gone")

    with pytest.raises(FarhandError, match="receipt-missing"):
        await ended(Case(home), Lost())


def test_a_key_that_is_gone_is_an_error(home: Home) -> None:
    case = Case(home)
    (home.folder / "sessions" / SESSION / "key").unlink()
    with pytest.raises(FarhandError, match="home-unreadable"):
        countersign(home, case.record, case.receipt())


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("admin", "an admin ended the session first"),
        ("operator", "its technician ended the session first, from a console"),
        ("stopped", "the person at the device ended the session first"),
        ("expired", "the session's time was over first"),
        ("odd\x1b[2J", "the session had ended already (odd\\x1b[2J)"),
    ],
)
def test_who_ended_a_session_first_is_said(
    home: Home, monkeypatch: pytest.MonkeyPatch, reason: str, words: str
) -> None:
    told = Session(
        session=SESSION,
        device="d-1",
        operator="tess",
        state="ended",
        reason=reason,
        scopes=["terminal"],
        active_s=5,
        receipt_sha256="0" * 64,
    )

    class Ended:
        def get(self, _path: str, _kind: Any, **_: Any) -> Session:
            return told

        def post(self, _path: str, _kind: Any, _body: Any, **_: Any) -> Session:
            return told

    monkeypatch.setattr(Context, "relay", Ended())
    done = CliRunner().invoke(farhand, ["--home", str(home.folder), "session", "end", SESSION])
    assert done.exit_code == 0, done.output
    assert f"{words}; the device keeps the receipt" in done.stderr


@pytest.mark.parametrize(
    ("state", "is_held", "typed", "note", "asked"),
    [
        ("active", True, "swapped the disk\n", "swapped the disk", True),
        ("active", True, "\n", "", True),  # once, not until something is said
        ("active", True, "", "", True),  # Ctrl-D
        ("active", False, "", "", False),  # nobody worked there from here
        ("waiting", True, "", "", False),
        ("ended", True, "", "", False),
    ],
)
def test_what_was_done_is_asked_once_and_nobody_has_to_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, state: str, is_held: bool, typed: str, note: str,
    asked: bool,
) -> None:  # fmt: skip
    if is_held:
        Case(home)
    now = Session(
        session=SESSION, device="d-1", operator="tess", state=state, reason="", scopes=[],
        active_s=5,
    )  # fmt: skip
    notes: list[str] = []

    class Known:
        def get(self, _path: str, _kind: Any, **_: Any) -> Session:
            return now

        def post(self, _path: str, _kind: Any, body: Any, **_: Any) -> Session:
            notes.append(body["note"])
            return msgspec.structs.replace(now, state="ended", reason="operator")

    async def gone(*_: Any) -> None:
        raise FarhandError("receipt-missing", "the device did not sign a receipt")

    monkeypatch.setattr(Context, "relay", Known())
    monkeypatch.setattr(session_cli, "_end_on_device", gone)
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(session_cli, "sys", terminal)
    done = CliRunner().invoke(
        farhand, ["--home", str(home.folder), "session", "end", SESSION], input=typed
    )
    assert done.exit_code == 0, done.output
    assert notes == [note]
    assert done.stderr.count("what was done") == asked


def test_who_stops_at_the_question_has_ended_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    Case(home)
    now = Session(
        session=SESSION, device="d-1", operator="tess", state="active", reason="", scopes=[],
        active_s=5,
    )  # fmt: skip

    posted: list[str] = []

    def stopped(*_: Any, **__: Any) -> str:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None  # as click does

    relay = SimpleNamespace(get=lambda *_, **__: now, post=lambda path, *_: posted.append(path))
    monkeypatch.setattr(Context, "relay", relay)
    monkeypatch.setattr(
        session_cli, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    )
    monkeypatch.setattr(click, "prompt", stopped)
    done = CliRunner().invoke(farhand, ["--home", str(home.folder), "session", "end", SESSION])
    assert done.exit_code == 1
    assert not posted
    assert (home.folder / "sessions" / SESSION).is_dir()
