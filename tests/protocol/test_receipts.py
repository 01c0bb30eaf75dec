"""Receipts: what one file can show by itself, and what it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from farhand_protocol.envelopes import Envelope, encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.receipts import open_grant, verify_receipt
from tests.protocol.samples import (
    DEVICE_KEY,
    grant,
    grant_approval,
    order,
    receipt,
    signer,
    widening,
)


def stored(*names: str, **changes: Any) -> bytes:
    """Return the bytes of a receipt sealed by these."""
    return encode_envelope(seal(receipt(**changes), *(signer(name) for name in names)))


def test_a_receipt_by_both_sides() -> None:
    verified = verify_receipt(stored("device", "console"))
    assert verified.receipt == receipt()
    assert not verified.one_sided
    assert not verified.pinned
    assert verify_receipt(stored("device", "console"), DEVICE_KEY).pinned


def test_a_receipt_by_the_device_alone_is_one_sided() -> None:
    assert verify_receipt(stored("device")).one_sided


def test_a_receipt_by_another_device_than_the_known_one_is_refused() -> None:
    with pytest.raises(FarhandError, match="receipt-device-key"):
        verify_receipt(stored("device", "console"), signer("other").public_key)


@pytest.mark.parametrize(
    "names", [(), ("console",), ("device", "stranger"), ("device", "console", "stranger")]
)
def test_only_the_two_sides_sign(names: tuple[str, ...]) -> None:
    with pytest.raises(FarhandError, match="receipt-signature"):
        verify_receipt(stored(*names))


@pytest.mark.parametrize("data", [b"", b"{}", encode_envelope(seal(order(), signer("device")))])
def test_anything_else_is_no_receipt(data: bytes) -> None:
    with pytest.raises(FarhandError, match="receipt-malformed"):
        verify_receipt(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "other"},
        {"session": "s-bbbbbbbbbbbbbbbb"},
        {"device": "d-" + "a" * 26},
        {"device_key": b"short"},
        {"operator": "dave"},
        {"organisation": "Other"},
        {"ticket": "FH-2"},
        {"scopes": ["view", "files"]},
    ],
)
def test_receipt_and_grant_speak_of_the_same_session(changes: dict[str, Any]) -> None:
    with pytest.raises(FarhandError, match="receipt-inconsistent"):
        verify_receipt(stored("device", "console", **changes))


def test_the_device_cannot_sign_for_the_console() -> None:
    own = seal(grant(console_key=DEVICE_KEY), signer("carol"))
    with pytest.raises(FarhandError, match="receipt-inconsistent"):
        verify_receipt(stored("device", grant=own))


@pytest.mark.parametrize("names", [(), ("dave",), ("carol", "dave")])
def test_a_grant_is_signed_by_the_key_it_names_and_no_other(names: tuple[str, ...]) -> None:
    forged = seal(grant(), *(signer(name) for name in names))
    with pytest.raises(FarhandError, match="grant-signature"):
        open_grant(forged)
    with pytest.raises(FarhandError, match="receipt-signature"):
        verify_receipt(stored("device", "console", grant=forged))


def test_a_widening_accounts_for_the_scopes_it_added() -> None:
    added = seal(widening(), signer("carol"))
    verified = verify_receipt(stored("device", widened=[added], scopes=["view", "forward"]))
    assert verified.receipt.scopes == ["view", "forward"]
    with pytest.raises(FarhandError, match="receipt-inconsistent"):
        verify_receipt(stored("device", scopes=["view", "forward"]))


@pytest.mark.parametrize(
    ("by", "changes", "code"),
    [
        ("eve", {}, "receipt-signature"),
        ("carol", {"session": "s-bbbbbbbbbbbbbbbb"}, "receipt-inconsistent"),
        ("carol", {"grant_sha256": "0" * 64}, "receipt-inconsistent"),
    ],
)
def test_a_widening_of_something_else_spoils_the_receipt(
    by: str, changes: dict[str, Any], code: str
) -> None:
    foreign = seal(widening(**changes), signer(by))
    with pytest.raises(FarhandError, match=code):
        verify_receipt(stored("device", widened=[foreign], scopes=["view", "forward"]))


def _approval(by: str = "bob", **changes: Any) -> Envelope:
    return seal(grant_approval(**changes), signer(by))


def _joined(by: str = "bob", **changes: Any) -> Envelope:
    theirs = {
        "id": "s-bbbbbbbbbbbbbbbb",
        "operator": "bob",
        "operator_key": signer("bob").public_key,
        "joins": "s-aaaaaaaaaaaaaaaa",
        "mode": "peer",
    }
    return seal(grant(**{**theirs, **changes}), signer(by))


def test_approvals_and_joined_grants_are_held_with_the_receipt() -> None:
    data = stored("device", approvals=[_approval()], joined=[_joined()])
    receipt = verify_receipt(data).receipt
    assert (len(receipt.approvals), len(receipt.joined)) == (1, 1)


@pytest.mark.parametrize("mark", ["17", f"17:{'E' * 64}", f"01:{'e' * 64}", f"1:{'e' * 64}\n"])
def test_a_head_that_cannot_be_read_spoils_the_receipt(mark: str) -> None:
    assert verify_receipt(stored("device", audit_head=f"17:{'e' * 64}"))
    with pytest.raises(FarhandError, match="receipt-inconsistent"):
        verify_receipt(stored("device", audit_head=mark))


@pytest.mark.parametrize(
    ("field", "foreign", "code"),
    [
        ("approvals", _approval("eve"), "receipt-signature"),
        ("approvals", _approval(grant_sha256="0" * 64), "receipt-inconsistent"),
        ("approvals", _approval(id="s-bbbbbbbbbbbbbbbb"), "receipt-inconsistent"),
        ("joined", _joined("eve"), "receipt-signature"),
        ("joined", _joined(joins="s-cccccccccccccccc"), "receipt-inconsistent"),
        ("joined", _joined(device="d-aaaaaaaaaaaaaaaaaaaaaaaaaa"), "receipt-inconsistent"),
    ],
)
def test_an_approval_or_a_joined_grant_of_something_else_spoils_the_receipt(
    field: str, foreign: Envelope, code: str
) -> None:
    with pytest.raises(FarhandError, match=code):
        verify_receipt(stored("device", **{field: [foreign]}))


def joining(**changes: Any) -> Any:
    """Return the sealed grant of dave, who joined the sample session."""
    fields: dict[str, Any] = {
        "id": "j-aaaaaaaaaaaaaaaa",
        "joins": "s-aaaaaaaaaaaaaaaa",
        "mode": "peer",
        "operator": "dave",
        "operator_key": signer("dave").public_key,
        "console_key": signer("other console").public_key,
        "transcript": None,
        **changes,
    }
    return seal(grant(**fields), signer("dave"))


def test_a_peer_who_joined_may_close_the_session() -> None:
    assert not verify_receipt(stored("device", "other console", joined=[joining()])).one_sided
    assert not verify_receipt(stored("device", "console", joined=[joining()])).one_sided
    with pytest.raises(FarhandError, match="receipt-signature"):
        verify_receipt(stored("device", "other console"))
    with pytest.raises(FarhandError, match="receipt-signature"):
        verify_receipt(stored("device", "other console", joined=[joining(mode="observer")]))
    with pytest.raises(FarhandError, match="receipt-signature"):
        verify_receipt(stored("device", "console", "other console", joined=[joining()]))
    with pytest.raises(FarhandError, match="receipt-inconsistent"):
        verify_receipt(stored("device", joined=[joining(console_key=DEVICE_KEY)]))
