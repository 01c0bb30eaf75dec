"""The desk's pure parts: states, priorities, and files that leave it."""

from __future__ import annotations

import contextlib
import mailbox
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_protocol.errors import FarhandError
from farhand_server.desk.export import export_html, export_mbox
from farhand_server.desk.priorities import (
    LEVELS,
    PRIORITIES,
    name_priority,
    priority_of,
    rank_priority,
)
from farhand_server.desk.ticket_states import STATES, TicketEvent, next_state
from farhand_server.desk.tickets import Ticket
from farhand_server.desk.timeline import Message

AT = "2026-11-22T12:00:00.000000Z"
TICKET = Ticket(
    id="1",
    number="FH-1",
    title="t",
    state="open",
    state_reason="",
    waiting_until=None,
    kind="incident",
    queue="desk",
    impact="medium",
    urgency="medium",
    priority="normal",
    priority_reason="",
    tier=1,
    security=False,
    requester="mia",
    owner=None,
    device=None,
    external_key=None,
    steps_tried="",
    reproducible=None,
    repro_steps="",
    complained_about=None,
    identity_check="",
    person=None,
    organisation=None,
    contract=None,
    language="",
    category="",
    down_from=None,
    down_to=None,
    merged_into=None,
    reopen_count=0,
    created_by="mia",
    created_at=AT,
    updated_at=AT,
    resolved_at=None,
    closed_at=None,
    policy=None,
    due_at=None,
    late=False,
    revision=1,
)


def _message(body: str, seq: int = 1) -> Message:
    return Message(seq=seq, ticket="FH-1", kind="reply", author="mia", body=body, at=AT)


def test_every_state_can_be_left_but_a_merged_one() -> None:
    steps = get_args(TicketEvent)
    for state in STATES:
        after = set()
        for step in steps:
            with contextlib.suppress(FarhandError):  # refused: it stays where it is
                after.add(next_state(state, step))
        assert after <= set(STATES)
        assert (after - {state} == set()) is (state == "merged")


@pytest.mark.parametrize("step", get_args(TicketEvent))
def test_a_merged_ticket_takes_no_step(step: TicketEvent) -> None:
    with pytest.raises(FarhandError, match="merged"):
        next_state("merged", step)


def test_priorities_follow_the_matrix() -> None:
    table = [[priority_of(impact, urgency) for urgency in LEVELS] for impact in LEVELS]
    assert table == [
        ["urgent", "high", "normal"],
        ["high", "normal", "low"],
        ["normal", "low", "low"],
    ]
    assert [name_priority(rank_priority(one)) for one in PRIORITIES] == list(PRIORITIES)
    assert rank_priority("normal") == 3  # what older databases hold


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=4))
def test_an_mbox_reads_back(tmp_path_factory: pytest.TempPathFactory, bodies: list[str]) -> None:
    messages = [_message(body, n) for n, body in enumerate(bodies)]
    path: Path = tmp_path_factory.mktemp("mbox") / "FH-1.mbox"
    path.write_bytes(export_mbox(TICKET, messages))
    mails = mailbox.mbox(path, create=False)
    try:
        read = [bytes(mail.get_payload(decode=True)).decode() for mail in mails]
    finally:
        mails.close()
    assert len(read) == len(bodies)
    for there, body in zip(read, bodies, strict=True):
        assert there.strip("\n") == body.strip("\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_page_holds_foreign_text_as_text(body: str) -> None:
    page = export_html(TICKET, [_message(body)]).decode()
    assert page.count("<") == export_html(TICKET, [_message("x")]).decode().count("<")
