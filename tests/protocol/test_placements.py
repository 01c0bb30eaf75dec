"""Moves of devices between groups: what the document says, and what it may not."""

from __future__ import annotations

import pytest

from farhand_protocol.errors import FarhandError
from farhand_protocol.placements import Placements, check_placements, is_group
from farhand_protocol.trust import decode_document, encode_document
from tests.protocol.samples import DEVICE, TENANT


def test_a_device_is_where_it_was_moved_last_or_where_it_enrolled() -> None:
    moved = Placements(tenant=TENANT, groups={DEVICE: "servers"})
    assert check_placements(decode_document(encode_document(moved), Placements)) == moved
    assert moved.group_of(DEVICE, "office") == "servers"
    assert moved.group_of("d-another", "office") == "office"


@pytest.mark.parametrize(
    ("device", "group"),
    [(DEVICE, ""), (DEVICE, "Servers"), (DEVICE, "a" * 65), (DEVICE, "a b"), ("desk-7", "servers")],
)
def test_an_entry_that_names_no_device_or_no_group(device: str, group: str) -> None:
    with pytest.raises(FarhandError) as caught:
        check_placements(Placements(tenant=TENANT, groups={device: group}))
    assert caught.value.code == "trust-malformed"


@pytest.mark.parametrize(("text", "good"), [("a", True), ("a.b_c-9", True), ("-a", False)])
def test_names_of_groups(text: str, good: bool) -> None:
    assert is_group(text) is good
