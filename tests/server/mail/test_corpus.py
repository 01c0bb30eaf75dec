"""The corpus: of every message comes what must come of it."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest

from farhand_server.mail.classes import find_loop
from farhand_server.mail.folding import fold
from farhand_server.mail.limits import MAX_FILES, MAX_NAME_CHARS, MAX_TEXT_CHARS
from farhand_server.mail.parsed import ParsedMail
from farhand_server.mail.parsing import parse
from farhand_server.mail.rendering import render_html
from farhand_server.mail.subjects import MAX_SUBJECT_CHARS
from tests.fuzz.mutation import cases
from tests.server.mail.corpus.messages import messages
from tests.server.mail.corpus.speech import SPEECH
from tests.server.mail.corpus.world import Case, Outcome, World

WORLD = World()
CASES = {case.name: case for case in messages(WORLD, big=False)}


def outcome(mail: ParsedMail) -> tuple[Outcome, int | None]:
    if mail.quarantine:
        return "quarantine", None
    if find_loop(mail, own=WORLD.own, addresses={WORLD.mailbox}):
        return "loop", None
    decision = WORLD.decide(mail)
    return decision.kind, decision.ticket


def check(case: Case) -> list[str]:
    """Return what is not as it must be."""
    mail, expected = parse(case.raw), case.expected
    found: dict[str, tuple[object, object]] = {
        "outcome": (outcome(mail), (expected.outcome, expected.ticket)),
        "quarantine": (mail.quarantine, expected.quarantine),
    }
    if expected.outcome != "quarantine":
        found["auto"] = (mail.auto.kind, expected.auto)
    if expected.visible is not None:
        found["visible"] = (case.shown(mail), expected.visible)
    if expected.subject is not None:
        found["subject"] = (mail.subject, expected.subject)
    if expected.files is not None:
        found["files"] = (tuple(one.name for one in mail.files), expected.files)
    event = mail.monitoring
    told = (event.state, event.host, event.service) if event is not None else None
    found["monitoring"] = (told, expected.monitoring)
    if expected.bounced is not None:
        bounce = mail.bounce
        failed = tuple(one.mail for one in bounce.recipients) if bounce is not None else None
        found["bounced"] = (failed, expected.bounced)
        found["permanent"] = (bounce is not None and bounce.permanent, bool(expected.permanent))
    return [
        f"{name}: {got!r} is not {want!r}" for name, (got, want) in found.items() if got != want
    ]


@pytest.mark.parametrize("name", CASES)
def test_of_every_message_comes_what_must(name: str) -> None:
    problems = check(CASES[name])
    assert not problems, "\n".join(problems)


def test_the_figures() -> None:
    # What docs/limits.md says of the corpus.
    assert len(CASES) == 383
    assert len({case.raw for case in CASES.values()}) == len(CASES)
    outcomes = Counter(case.expected.outcome for case in CASES.values())
    assert outcomes == {
        "new": 213, "reply": 126, "bounce": 30, "unverified": 5, "loop": 2, "quarantine": 7
    }  # fmt: skip
    folded = Counter(
        name.rpartition("-")[2]
        for name, case in CASES.items()
        if any(one.kind == "history" for one in fold(parse(case.raw).text))
        and name.rpartition("-")[2] in SPEECH
    )
    assert min(folded[language] for language in SPEECH) >= 17


def test_whatever_happens_to_a_message_on_its_way_it_is_read() -> None:
    seeds = [case.raw[:12_000] for case in CASES.values()]
    counts: Counter[str] = Counter()
    for number, raw in enumerate(itertools.islice(cases(seeds, "mail"), 1500)):
        mail = parse(raw)
        assert mail.quarantine != "not-understood", f"case {number}: {raw[:400].hex()}"
        counts["quarantined" if mail.quarantine else "read"] += 1
        # What is kept and shown of it has a form that every store and screen takes.
        msgspec.json.encode(mail)
        assert max(map(len, (mail.subject, mail.thread_topic))) <= MAX_SUBJECT_CHARS
        assert mail.subject == "" or mail.subject.isprintable()
        assert len(mail.text) <= MAX_TEXT_CHARS
        assert not set(mail.text) & set("\0\r\x1b\x07")
        assert len(mail.files) <= MAX_FILES
        assert all(one.name.isprintable() and len(one.name) <= MAX_NAME_CHARS for one in mail.files)
        WORLD.decide(mail)
        fold(mail.text, subject=mail.subject)
        assert "<script" not in render_html(mail.html)
    assert min(counts["read"], counts["quarantined"]) > 50, counts
