"""What a device signs about offers: never a word against what became of an order it knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from farhand_agent.config import Home, load_settings
from farhand_agent.journal import Journal
from farhand_agent.scripts.runner import Desk
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.orders import Result

ORDER = "o-aaaaaaaaaaaaaaaa"


@pytest.fixture
def journal(enrolled: Home) -> Iterator[Journal]:
    journal = Journal(enrolled.journal)
    yield journal
    journal.close()


@pytest.fixture
def desk(enrolled: Home, journal: Journal) -> Desk:
    return Desk(enrolled, load_settings(enrolled), journal)


def results(journal: Journal) -> list[tuple[str, bytes]]:
    return [(one.subject, one.body) for one in journal.outbox() if one.kind == "result"]


def test_rubbish_under_the_id_of_an_order_that_ran_changes_nothing(
    desk: Desk, journal: Journal
) -> None:
    journal.accept_order(
        ORDER, envelope=b"e", payload_sha256="p", operator="bo", script="check.x", version=1
    )
    assert desk.offer(ORDER, b"rubbish", retried=False) == {"state": "accepted"}
    assert results(journal) == [], "it has not ended, so nothing final is said"
    journal.start_order(ORDER, pid=1)
    journal.finish_order(ORDER, state="succeeded", result=b"genuine")
    for offered in (b"rubbish", b"more"):
        assert desk.offer(ORDER, offered, retried=False) == {"state": "succeeded"}
    assert results(journal) == [(ORDER, b"genuine")]
    # The bytes were refused all the same, and an order of another id is none the wiser.
    assert [one.kind for one in journal.latest_log_records(9)].count("order-refused") == 3
    assert journal.refusal(hashlib.sha256(b"rubbish").hexdigest()) is None


def test_rubbish_refused_before_an_order_ran_is_not_brought_up_afterwards(
    desk: Desk, journal: Journal
) -> None:
    desk.offer(ORDER, b"rubbish", retried=False)
    journal.accept_order(
        ORDER, envelope=b"e", payload_sha256="p", operator="bo", script="check.x", version=1
    )
    journal.start_order(ORDER, pid=1)
    journal.finish_order(ORDER, state="succeeded", result=b"genuine")
    desk.offer(ORDER, b"rubbish", retried=False)
    assert results(journal)[-1] == (ORDER, b"genuine")


def test_a_refusal_says_which_bytes_were_refused(desk: Desk, journal: Journal) -> None:
    answer = desk.offer(ORDER, b"rubbish", retried=False)
    assert answer == {"state": "refused", "code": "order-malformed"}
    ((subject, body),) = results(journal)
    result = open_payload(decode_envelope(body), Result)
    assert (subject, result.order, result.state) == (ORDER, ORDER, "refused")
    assert result.offered_sha256 == hashlib.sha256(b"rubbish").hexdigest()
