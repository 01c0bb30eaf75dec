"""Message-IDs: ours are signed, everybody else's are read out of anything."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farhand_server.mail.message_ids import (
    MAX_REFERENCES,
    MAX_REFERENCES_BYTES,
    OwnId,
    build_references,
    find_ids,
    make_message_id,
    read_message_id,
)

KEY = b"k" * 32
NONCE = bytes(range(6))


def make(ticket: int = 12, message: int = 345, key: bytes = KEY) -> str:
    return make_message_id(key, ticket=ticket, message=message, nonce=NONCE, domain="desk.example")


def test_what_is_made_is_read() -> None:
    made = make()
    assert re.fullmatch(r"<fh\.[a-z2-7]{39}@desk\.example>", made)
    assert read_message_id(KEY, made) == OwnId(12, 345)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1), st.binary(min_size=6, max_size=6))
def test_every_ticket_fits(ticket: int, message: int, nonce: bytes) -> None:
    made = make_message_id(KEY, ticket=ticket, message=message, nonce=nonce, domain="d.example")
    assert read_message_id(KEY, made) == OwnId(ticket, message)


def test_case_and_domain_may_change_on_the_way() -> None:
    assert read_message_id(KEY, make().upper()) == OwnId(12, 345)
    assert read_message_id(KEY, make().replace("desk.example", "old.name")) == OwnId(12, 345)


def test_no_changed_token_is_ours() -> None:
    made = make()
    start, end = made.index(".") + 1, made.index("@")
    for place in range(start, end):
        for letter in "abcdefghijklmnopqrstuvwxyz234567":
            changed = made[:place] + letter + made[place + 1 :]
            # The last symbol holds bits beyond the last byte, which nobody reads.
            if changed != made and place < end - 1:
                assert read_message_id(KEY, changed) is None


@pytest.mark.parametrize(
    "other",
    ["", "<>", "<[abc]@x>", "<fh.@x>", "<fh." + "a" * 39 + "@x>", "fh.aaaa@x", "<fh.\u0130@x>"],
)
def test_what_is_not_ours_is_nobodys(other: str) -> None:
    assert read_message_id(KEY, other) is None


def test_another_relays_key_makes_a_stranger() -> None:
    assert read_message_id(b"x" * 32, make()) is None


def test_what_does_not_fit_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError):
        make(ticket=2**32)
    with pytest.raises(ValueError):
        make_message_id(KEY, ticket=1, message=1, nonce=b"", domain="d.example")
    with pytest.raises(ValueError):
        make_message_id(KEY, ticket=1, message=1, nonce=NONCE, domain="a b>\r\nX: y")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("<a@b>", ("<a@b>",)),
        ("<a@b> <c@d>", ("<a@b>", "<c@d>")),
        ("<a@b>,<c@d>;junk (comment) <e@f>", ("<a@b>", "<c@d>", "<e@f>")),
        ("<a@b><a@b>", ("<a@b>",)),
        ("<>", ()),
        ("<[abc]@x>", ("<[abc]@x>",)),
        ("a@b, c@d", ("<a@b>", "<c@d>")),
        ("Your mail of Monday from anna@example.com", ("<anna@example.com>",)),
        ("", ()),
        ("<a b@c> <ok@c>", ("<ok@c>",)),
        ("<noat>", ("<noat>",)),
    ],
)
def test_ids_are_found_in_whatever_stands_there(header: str, found: tuple[str, ...]) -> None:
    assert find_ids(header) == found


def test_of_too_many_the_root_and_the_newest_stay() -> None:
    found = find_ids(" ".join(f"<{n}@x>" for n in range(500)))
    assert len(found) == MAX_REFERENCES
    assert found[0] == "<0@x>"
    assert found[-1] == "<499@x>"
    assert found[1] == "<301@x>"


def test_references_keep_root_and_last_and_the_newest_between() -> None:
    ids = [f"<{n:040}@example.com>" for n in range(200)]
    built = build_references(ids[:-1], ids[-1])
    kept = built.split(" ")
    assert len(built) <= MAX_REFERENCES_BYTES
    assert kept[0] == ids[0]
    assert kept[1:] == ids[-(len(kept) - 1) :]
    assert len(built) > MAX_REFERENCES_BYTES - 60


def test_references_of_little_are_short() -> None:
    assert build_references([], "") == ""
    assert build_references([], "<a@b>") == "<a@b>"
    assert build_references(["<a@b>"], "") == "<a@b>"
    assert build_references(["<a@b>", "<c@d>"], "<a@b>") == "<c@d> <a@b>"
    assert build_references(["<caf\u00e9@b>", "<x\r\nBcc: y@z>"], "<a@b>") == "<a@b>"
    long = f"<{'a' * 900}@b>"
    assert build_references([long, "<c@d>"], f"<{'b' * 900}@b>") == f"<{'b' * 900}@b>"


@given(st.text(max_size=200))
def test_any_text_is_searched(text: str) -> None:
    for one in find_ids(text):
        assert one.startswith("<")
        assert one.endswith(">")
        assert "\n" not in one
        read_message_id(KEY, one)
