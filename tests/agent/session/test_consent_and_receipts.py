"""What a person reads: the question and the receipt.  Foreign text cannot play tricks in either."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from farhand_agent import consent
from farhand_agent.config import Home
from farhand_agent.consent import consent_lines, is_yes, scope_words
from farhand_agent.deeds import action_words
from farhand_agent.receipts import list_receipts, receipt_text, store_receipt
from farhand_agent.session.actions import (
    MAX_ACTIONS,
    MAX_ACTIONS_BYTES,
    MAX_DETAIL_CHARS,
    ActionLog,
)
from farhand_agent.session.ending import ReceiptFacts, seal_receipt
from farhand_agent.session.events import Asked
from farhand_agent.wording import wording_in
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, encode_envelope, seal, sign_again
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import ActionKind
from farhand_protocol.identity import device_id
from farhand_protocol.keys import SeedSigner
from farhand_protocol.receipts import verify_receipt
from farhand_protocol.trust import SCOPES
from tests.agent.session.code_console import CONSOLE_SEED, OPERATOR, SESSION, make_grant

DEVICE = SeedSigner(b"d" * 32)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVIL = "\x1b]0;x\x07\x1b[2J\r\n\u202eevil\u200b"


def question(**changes: Any) -> Asked:
    fields: dict[str, Any] = {
        "session": SESSION,
        "operator": "bob",
        "organisation": "Acme",
        "ticket": "FH-1",
        "reason": "printer",
        "scopes": ["view", "terminal"],
        "minutes": 30,
        "words": ["acorn", "banana", "cactus", "delta"],
        "guest": False,
        "host_name": "desk",
        "recorded": False,
        "files": [],
        "files_read_only": False,
        "forward": [],
        "shortened": [],
        "answer_within_s": 60,
    }
    return Asked(**{**fields, **changes})


def test_the_name_is_called_what_it_is() -> None:
    assert "checked by this computer" in "\n".join(consent_lines(question()))
    guest = "\n".join(consent_lines(question(guest=True)))
    assert "The relay says: bob of Acme" in guest
    assert "cannot check that name" in guest
    assert "acorn  banana  cactus  delta" in guest


def test_every_scope_has_words_of_its_own() -> None:
    words = [scope_words(scope) for scope in SCOPES]
    assert len(set(words)) == len(SCOPES)
    assert all(len(line) > 10 for line in words)


@pytest.mark.parametrize("asks", ["session", "join"])
def test_with_whose_rights_commands_run_is_said(asks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "own_user", lambda: "ann")
    asked = question(scopes=["terminal", "files"], asks=asks, mode="peer")
    expected = {
        "": ("with everything that you may do yourself", "everywhere you may"),
        "ann": ("with everything that you may do yourself", "everywhere you may"),
        "root": ("as its administrator, who may do everything", "everywhere on this computer"),
        "farhand\x1b": (
            "with everything that farhand\\x1b may do",
            "everywhere that farhand\\x1b may",
        ),
    }
    for user, (rights, where) in expected.items():
        lines = "\n".join(consent_lines(msgspec.structs.replace(asked, user=user)))
        assert f"type commands on this computer{'' if user == 'root' else ','} {rights}" in lines
        assert (where in lines) is (asks == "session")


def test_what_was_cut_and_where_files_are_is_said() -> None:
    text = "\n".join(
        consent_lines(
            question(
                scopes=["files", "forward"],
                files=["/srv/data"],
                files_read_only=True,
                forward=["10.0.0.1:80"],
                shortened=["control"],
            )
        )
    )
    assert "/srv/data; reading only" in text
    assert "10.0.0.1:80" in text
    assert "Not allowed here, though asked for: mouse and keyboard" in text


@pytest.mark.parametrize("field", ["operator", "organisation", "ticket", "reason"])
@pytest.mark.parametrize("guest", [True, False])
def test_foreign_text_is_escaped(field: str, guest: bool) -> None:
    text = "\n".join(consent_lines(question(**{field: EVIL, "guest": guest})))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\u202e" not in text
    assert "\\x1b" in text


def test_every_action_is_a_sentence_and_cannot_steer_the_terminal() -> None:
    for kind in get_args(ActionKind):
        words = action_words(kind, EVIL + " {0} {}")
        assert "\x1b" not in words
        assert not words.startswith(f"{kind}:"), kind
    assert action_words("exec", "id {}") == "ran the command  id {}"
    assert action_words("\x1bnew", "x") == "\\x1bnew: x"


def test_a_wider_session_is_asked_for_as_what_it_is() -> None:
    asked = question(
        asks="scopes", scopes=["forward", "files"], forward=["10.0.0.1:80"], cooling=["forward"],
        cool_down_s=10, file_bytes_max=1000,
    )  # fmt: skip
    text = "\n".join(consent_lines(asked))
    assert "bob, who is working here now, asks for more." in text
    assert "the session goes on as it is" in text
    assert "they could also" in text
    assert "only 10 seconds after your yes" in text
    assert "no file larger than 1,000 bytes" in text
    assert "hurries you" in text
    assert "recorded" not in text


def test_only_yes_is_yes() -> None:
    assert all(is_yes(one) for one in ("y", "Y\n", " yes ", "YES"))
    assert not any(is_yes(one) for one in ("", "\n", "n", "no", "ye", "yy", "y y", "1", "ja"))


def receipt_bytes(*, console: bool = True, note: str = "done", actions: int = 1) -> bytes:
    grant = make_grant(device=device_id(DEVICE.public_key), operator="bob")
    log = ActionLog(lambda: NOW)
    for number in range(actions):
        log.add("exec", f"{EVIL} {number}")
    facts = ReceiptFacts(
        grant=grant,
        grant_envelope=seal(grant, OPERATOR),
        host_name="desk",
        guest=False,
        scopes=("terminal",),
        started_at=NOW,
    )
    envelope = seal_receipt(
        facts, log, DEVICE, ended_at=NOW + timedelta(seconds=90), reason="closed", note=note
    )
    if console:
        envelope = sign_again(envelope, SeedSigner(CONSOLE_SEED))
    return encode_envelope(envelope)


def test_a_stored_receipt_has_a_readable_twin_and_is_listed(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    path = store_receipt(home, receipt_bytes(note=EVIL))
    text = path.with_suffix(".txt").read_text()
    assert "bob of Acme" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert path.stat().st_mode & 0o077 == 0
    (item,) = list_receipts(home)
    assert (item["session"], item["problem"], item["one_sided"]) == (SESSION, None, False)
    assert verify_receipt(path.read_bytes()).receipt.active_s == 90


def test_a_changed_receipt_is_listed_and_not_believed(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    path = store_receipt(home, receipt_bytes())
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    (item,) = list_receipts(home)
    assert item["problem"].startswith("receipt-")
    assert (item["operator"], item["scopes"]) == (None, [])


def test_a_receipt_that_does_not_verify_is_not_stored(tmp_path: Path) -> None:
    data = receipt_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1)
    with pytest.raises(FarhandError):
        store_receipt(Home.at(tmp_path), data)
    assert not list(tmp_path.rglob("*.json"))


def test_the_list_of_actions_is_bounded_and_counts_the_rest() -> None:
    log = ActionLog(lambda: NOW)
    for _ in range(MAX_ACTIONS + 7):
        log.add("denied", "x")
    assert (len(log.actions), log.omitted) == (MAX_ACTIONS, 7)
    big = ActionLog(lambda: NOW)
    for _ in range(3000):
        big.add("exec", "\U0001f600" * 5000)
    assert all(len(one.detail) <= MAX_DETAIL_CHARS for one in big.actions)
    assert big.omitted > 0
    assert sum(len(one.detail.encode()) for one in big.actions) <= MAX_ACTIONS_BYTES


def test_bytes_that_are_no_text_do_not_break_a_receipt() -> None:
    log = ActionLog(lambda: NOW)
    log.add("file-read", "/tmp/\udcff\udcfe")
    assert log.actions[0].detail == "/tmp/\\udcff\\udcfe"


def test_the_largest_receipt_still_fits() -> None:
    data = receipt_bytes(actions=MAX_ACTIONS)
    assert len(verify_receipt(data).receipt.actions) == MAX_ACTIONS


def test_what_swells_in_json_counts_as_what_it_is_there() -> None:
    """A refused command of control characters is six times as long in the receipt."""
    log = ActionLog(lambda: NOW)
    for _ in range(600):
        words = "\x01" * MAX_DETAIL_CHARS
        log.add("denied", words, message="\x01" * 9, facts={"\x01" * 9: words}, by="\x01" * 9)
    assert log.actions
    assert log.omitted == 600 - len(log.actions) > 0
    receipt = msgspec.structs.replace(
        verify_receipt(receipt_bytes()).receipt, actions=list(log.actions)
    )
    data = encode_envelope(sign_again(seal(receipt, DEVICE), SeedSigner(CONSOLE_SEED)))
    assert verify_receipt(data).receipt.actions == log.actions


def test_facts_count_against_the_bound_and_are_cut_as_details_are() -> None:
    log = ActionLog(lambda: NOW)
    for _ in range(3000):
        log.add("denied", "x", message="files-open", facts={"path": "\udcff" + "\u00e9" * 5000})
    assert log.omitted > 0
    assert all(len(str((one.facts or {})["path"])) < MAX_DETAIL_CHARS + 6 for one in log.actions)
    receipt = msgspec.structs.replace(
        verify_receipt(receipt_bytes()).receipt, actions=list(log.actions)
    )
    assert len(encode_envelope(seal(receipt, DEVICE))) < MAX_ENVELOPE_BYTES


def test_an_action_without_a_sentence_is_written_as_it_always_was() -> None:
    """Receipts of before have neither `message` nor `facts`; they verify and are shown."""
    log = ActionLog(lambda: NOW)
    log.add("scope", "view was closed: the person at the device withdrew it")
    log.add("join", "eve joined and watches", message="join-watches", facts={"operator": "eve"})
    old, new = (msgspec.json.decode(msgspec.json.encode(one)) for one in log.actions)
    assert sorted(old) == ["at", "by", "detail", "kind", "sha256", "size_bytes"]
    assert (new["message"], new["facts"]) == ("join-watches", {"operator": "eve"})
    receipt = msgspec.structs.replace(
        verify_receipt(receipt_bytes()).receipt, actions=list(log.actions)
    )
    data = encode_envelope(sign_again(seal(receipt, DEVICE), SeedSigner(CONSOLE_SEED)))
    read = verify_receipt(data).receipt
    text = receipt_text(read, one_sided=False, w=wording_in("de"))
    assert "an diesem Computer zurückgenommen" in text
    assert "eve kam hinzu und sieht zu" in text
