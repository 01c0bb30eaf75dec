"""What a person reads in her language: catalogues, dates, numbers, the question, the receipt."""

from __future__ import annotations

import importlib.util
import json
import re
import string
from datetime import UTC, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import farhand_agent
from farhand_agent import deeds
from farhand_agent.consent import (
    consent_lines,
    is_yes,
    reason_words,
    scope_names,
    scope_words,
)
from farhand_agent.deeds import action_words
from farhand_agent.receipts import receipt_text
from farhand_agent.session.events import Asked
from farhand_agent.session.tools.desk import sentence_of
from farhand_agent.session.tools.requests import decode_request
from farhand_agent.wording import LANGUAGES, chosen_language, wording_in
from farhand_protocol.envelopes import seal
from farhand_protocol.grants import Action, RecordingMark
from farhand_protocol.trust import SCOPES
from tests.agent.words_said import texts_said
from tests.protocol.samples import grant, grant_approval, receipt, signer

MADE = Path(farhand_agent.__file__).parent / "words"
SOURCES = MADE.parents[1] / "words"
OTHERS = [language for language in LANGUAGES if language != "en"]
EVIL = "\x1b]0;x\x07{name}\u202e%s"


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_words", SOURCES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def catalogue(language: str) -> dict[str, str]:
    found: dict[str, str] = builder().read_po((SOURCES / f"{language}.po").read_text("utf-8"))
    return found


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", OTHERS)
def test_the_made_catalogue_is_that_of_the_source(language: str) -> None:
    assert (MADE / f"{language}.mo").read_bytes() == builder().make_mo(catalogue(language))


def test_there_is_no_catalogue_of_an_unknown_language() -> None:
    assert {path.stem for path in MADE.iterdir()} == set(OTHERS)
    assert {path.stem for path in SOURCES.glob("*.po")} == set(OTHERS)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_there_and_fills_in_the_same(language: str) -> None:
    texts = catalogue(language)
    header = texts.pop("")
    assert set(texts) == texts_said()
    forms = 3 if "nplurals=3" in header else 2
    for english, said in texts.items():
        wanted = fields(english.partition("\0")[0])
        every = said.split("\0")
        assert len(every) == (forms if "\0" in english else 1), english
        assert all(one and fields(one) == wanted for one in every), english


def test_what_is_no_catalogue_is_refused() -> None:
    read = builder().read_po
    for text in ('msgctxt "x"\n', 'msgid "a"\nmsgstr "b"\nmsgid "a"\nmsgstr "c"\n'):
        with pytest.raises(ValueError, match=r"not understood|twice"):
            read(text)
    assert read('# c\nmsgid "a"\n"\\n"\nmsgstr ""\n"b"\n') == {"a\n": "b"}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["1 second", "2 seconds", "5 seconds", "21 seconds", "1,234,567 seconds"]),
        ("pt", ["1 segundo", "2 segundos", "5 segundos", "21 segundos", "1.234.567 segundos"]),
        ("de", ["1 Sekunde", "2 Sekunden", "5 Sekunden", "21 Sekunden", "1.234.567 Sekunden"]),
        ("ro", ["1 secundă", "2 secunde", "5 secunde", "21 de secunde", "1.234.567 de secunde"]),
        (
            "ru",
            ["1 секунда", "2 секунды", "5 секунд", "21 секунда", "1\u00a0234\u00a0567 секунд"],
        ),
    ],
)
def test_numbers_take_the_form_that_they_ask_for(language: str, said: list[str]) -> None:
    w = wording_in(language)
    numbers = (1, 2, 5, 21, 1_234_567)
    assert [w.count("{n} second", "{n} seconds", number) for number in numbers] == said


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "2026-11-22 10:01:00 UTC+02:00"),
        ("pt", "22/11/2026 10:01:00 UTC+02:00"),
        ("de", "22.11.2026 10:01:00 UTC+02:00"),
        ("ro", "22.11.2026 10:01:00 UTC+02:00"),
        ("ru", "22.11.2026 10:01:00 UTC+02:00"),
    ],
)
def test_instants_are_written_as_the_wall_clock_shows_them(language: str, said: str) -> None:
    w = wording_in(language)
    assert w.instant("2026-11-22T08:01:00Z", timezone(timedelta(hours=2))) == said
    assert w.instant("2026-11-22T08:01:00Z", UTC).endswith("08:01:00 UTC")
    assert w.instant("soon") == "soon"
    assert w.instant("0001-01-01T00:00:00Z", timezone(timedelta(hours=-2)))


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_AT.UTF-8"}, "de"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR"}, "en"),
        ({"LC_ALL": "ro_RO.UTF-8", "LANG": "de_DE"}, "ro"),
        ({"FARHAND_LANG": "ru", "LC_ALL": "C"}, "ru"),
        ({"FARHAND_LANG": "pt-BR"}, "pt"),
        ({"FARHAND_LANG": "../../etc"}, "en"),
    ],
)
def test_the_language_is_that_of_the_environment(
    environment: dict[str, str], language: str
) -> None:
    assert chosen_language(environment) == language


def test_only_yes_in_ones_own_language_or_english_is_yes() -> None:
    words = {"pt": "sim", "de": "ja", "ro": "da", "ru": "ДА"}
    for language, yes in words.items():
        w = wording_in(language)
        assert is_yes(yes, w)
        assert is_yes("yes", w)
        assert not any(is_yes(no, w) for no in ("", "n", "no", "nein", "не", "não", "nu", "x"))
    assert not is_yes("da", wording_in("de"))


def question(**changes: Any) -> Asked:
    said: dict[str, Any] = {
        "session": "s-aaaaaaaaaaaaaaaa",
        "operator": "bob",
        "organisation": "Acme",
        "ticket": "FH-1",
        "reason": "printer",
        "scopes": list(SCOPES),
        "minutes": 22,
        "words": ["acorn", "banana", "cactus", "delta"],
        "guest": False,
        "host_name": "desk",
        "recorded": True,
        "files": [],
        "files_read_only": True,
        "forward": ["10.0.0.1:80"],
        "shortened": ["control"],
        "answer_within_s": 60,
    }
    return Asked(**{**said, **changes})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("guest", [True, False])
def test_the_question_is_whole_in_every_language(language: str, guest: bool) -> None:
    w = wording_in(language)
    text = "\n".join(consent_lines(question(guest=guest, operator=EVIL), w))
    english = "\n".join(consent_lines(question(guest=guest, operator=EVIL), wording_in("en")))
    assert (text == english) == (language == "en")
    assert "\x1b" not in text
    assert "\u202e" not in text
    for part in ("{name}", "Acme", "FH-1", "printer", "22", "acorn", "10.0.0.1:80"):
        assert part in text
    assert all(scope_words(scope, w) in text for scope in SCOPES)
    assert scope_names(["control"], w) in text
    assert text.count("\n") == english.count("\n")


@pytest.mark.parametrize("language", OTHERS)
def test_what_we_note_of_a_session_is_said_in_her_language(language: str) -> None:
    w = wording_in(language)
    for kind, detail in (
        ("scope", "view was closed: the person at the device withdrew it"),
        ("scope", "files was closed: the device's policy does not allow it any more"),
        ("scope", "terminal was added: the person at the device agreed"),
        ("view", "processes sort=memory"),
    ):
        said = action_words(kind, detail, w)
        english = action_words(kind, detail, wording_in("en"))
        ours = ("was closed", "was added", "withdrew", "processes", "policy", "device")
        assert not any(word in said for word in (*ours, english)), said
    to = "forward to printer:631 was added: the policy allows it"
    assert "(printer:631)" in action_words("scope", to, w)
    assert "x was closed: odd" in action_words("scope", "x was closed: odd", w)
    assert "\x1b" not in action_words("scope", f"forward to {EVIL} was added: x", w)


def facts_of(message: str) -> dict[str, str | int]:
    numbers = {"sent": 6, "received": 1, "seconds": 21, "minutes": 5, "pid": 4711}
    words = {"scope": "files", "reason": "policy-refused"}
    names = fields(deeds._SAID[message])
    return {name: numbers.get(name) or words.get(name, f"{EVIL}-{name}") for name in names}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_device_is_said_in_her_language(language: str) -> None:
    w, english = wording_in(language), wording_in("en")
    for message in deeds._SAID:
        facts = facts_of(message)
        said = action_words("denied", "as it was", w, message=message, facts=facts)
        plain = action_words("denied", "as it was", english, message=message, facts=facts)
        assert (said == plain) == (language == "en"), message
        assert "as it was" not in said
        assert "\x1b" not in said
        assert all(f"%s-{name}" in said for name, fact in facts.items() if EVIL in str(fact))
        # What this version cannot say is told as it was when it happened.
        if facts:
            assert "as it was" in action_words("denied", "as it was", w, message=message)
    assert "as it was" in action_words("denied", "as it was", w, message="x", facts={"to": "y"})


def test_what_sessions_note_are_sentences_that_there_are() -> None:
    folder = Path(farhand_agent.__file__).parent / "session"
    named = re.compile(r'"((?:link|join|chat|step|scope|forward|denied|tool|recording)-[a-z-]+)"')
    found = {
        name
        for path in folder.rglob("*.py")
        for call in re.findall(r"(?:message=|denied\(|_note\(|_stall\()[^\n]*", path.read_text())
        for name in named.findall(call)
    }
    assert len(found) > 12
    assert found <= set(deeds._SAID)


@pytest.mark.parametrize(
    "line",
    [
        b'{"tool":"processes"}',
        b'{"tool":"process-kill","pid":7}',
        b'{"tool":"process-kill","pid":7,"name":"cupsd"}',
        b'{"tool":"services"}',
        b'{"tool":"service-start","name":"cups"}',
        b'{"tool":"service-stop","name":"cups"}',
        b'{"tool":"service-restart","name":"cups"}',
        b'{"tool":"logs"}',
        b'{"tool":"logs","file":"/var/log/cups"}',
        b'{"tool":"disk-usage"}',
        b'{"tool":"disk-usage","path":"/srv"}',
        b'{"tool":"lock"}',
        b'{"tool":"logout","user":"eve"}',
        b'{"tool":"restart"}',
        b'{"tool":"restart","delay_min":5}',
        b'{"tool":"shutdown","delay_min":0}',
        b'{"tool":"shutdown"}',
        b'{"tool":"power-cancel"}',
        b'{"tool":"wake","mac":"00:11:22:33:44:55"}',
    ],
)
def test_every_tool_is_a_sentence_that_is_filled_in(line: bytes) -> None:
    request = decode_request(line)
    message, facts = sentence_of(request)
    said = action_words("tool", "as it was", wording_in("en"), message=message, facts=facts)
    assert "as it was" not in said
    given = [value for value in json.loads(line).values() if value][1:]
    assert all(str(value) in said for value in given)


@pytest.mark.parametrize("language", OTHERS)
def test_the_log_of_sessions_is_said_in_her_language(language: str) -> None:
    w, english = wording_in(language), wording_in("en")
    for kind in deeds._LOGGED:
        said = deeds.logged_words(kind, w)
        assert said.endswith(f" ({kind})")
        assert said != deeds.logged_words(kind, english)
    assert deeds.logged_words("order-final", w) == "order-final"


def test_facts_are_written_as_the_language_writes_them() -> None:
    w = wording_in("ru")
    facts: dict[str, str | int] = {"to": "printer:631", "sent": 1_234_567, "received": 2}
    said = action_words("forward", "x", w, message="forward-closed", facts=facts)
    assert "1\u00a0234\u00a0567 байт" in said
    assert "2 байта" in said
    facts = {"scope": "forward", "to": "printer:631"}
    said = action_words("scope", "x", wording_in("de"), message="scope-agreed", facts=facts)
    assert scope_names(["forward"], wording_in("de")) + " (printer:631)" in said
    facts = {"path": "/srv/x", "read_only": 1}
    said = action_words("denied", "x", wording_in("en"), message="files-remove", facts=facts)
    assert said == "was refused: remove /srv/x (this session may read files only)"
    said = action_words("chat", "by the person", wording_in("en"), message="chat-person")
    assert said == "a message was written at this computer"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mode", ["observer", "peer"])
def test_the_question_of_somebody_who_joins_too(language: str, mode: str) -> None:
    asked = question(asks="join", mode=mode, beside="carol", operator=EVIL)
    text = "\n".join(consent_lines(asked, wording_in(language)))
    english = "\n".join(consent_lines(asked, wording_in("en")))
    assert (text == english) == (language == "en")
    assert "\x1b" not in text
    assert all(part in text for part in ("{name}", "Acme", "FH-1", "printer", "carol"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_receipt_is_whole_in_every_language(language: str) -> None:
    w = wording_in(language)
    joined = grant(id="s-bbbbbbbbbbbbbbbb", operator="bo", joins="s-aaaaaaaaaaaaaaaa", mode="peer")
    made = receipt(
        reason="closed",
        note=EVIL,
        guest=True,
        actions_omitted=3,
        approvals=[seal(grant_approval(), signer("bob"))],
        joined=[seal(joined, signer("bob"))],
        recording=RecordingMark(id="x", head_sha256="a" * 64, chunks=3, complete=False),
        actions=[
            Action(
                at="2026-11-22T08:02:00Z",
                kind="file-read",
                detail=f"/tmp/{EVIL}",
                size_bytes=12_345,
                sha256="ab" * 32,
            )
        ],
    )
    text = receipt_text(made, one_sided=True, w=w)
    assert "\x1b" not in text
    assert "\u202e" not in text
    wanted = ("carol", "Acme", "FH-1", "desk-7", "bob", "bo", "ab" * 32, w.number(12_345))
    for part in (*wanted, reason_words("closed", w), scope_words("view", w)):
        assert part in text
    assert w.instant(made.started_at) in text
    assert (w("What was done:") == "What was done:") == (language == "en")
    assert w("What was done:") in text
