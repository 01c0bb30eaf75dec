"""Orders that carry their script: who may sign them, for how long, and that the parts fit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError
from farhand_protocol.exemptions import (
    MAX_EXEMPT_BODY_BYTES,
    carried_script,
    check_exempt_signers,
    exempt_signers,
)
from farhand_protocol.manifest import manifest_digest
from farhand_protocol.orders import Exemption, Order
from farhand_protocol.trust import Roster
from tests.protocol.samples import BODY, manifest, operator, order, roster, signer

PEOPLE = roster(
    operator("alice", "author", "order", "break-glass", keys=["alice", "alice-2"]),
    operator("carol", "order", "break-glass"),
    operator("dave", "order"),
)
HOUR = {"issued_at": "2026-11-22T08:00:00Z", "expires": "2026-11-22T09:00:00Z"}


def exempt(
    kind: str = "break-glass", *, by: str = "alice", body: bytes = BODY, **changes: Any
) -> Order:
    """Return an order that carries its script, by alice unless said otherwise."""
    described = manifest(author="alice")
    sealed = seal(described, signer(by))
    carried = Exemption(
        kind=kind,  # type: ignore[arg-type]
        manifest=encode_envelope(sealed),
        body=body,
        reason="the till is down",
    )
    exemption = msgspec.structs.replace(carried, **changes.pop("exemption", {}))
    fields = {"ticket": None, "operator": "alice", "digest": manifest_digest(sealed), **HOUR}
    return order(**fields | {"exemption": exemption} | changes)


def check(made: Order, *by: str, people: Roster = PEOPLE) -> None:
    check_exempt_signers(made, seal(made, *map(signer, by)), people)


def test_two_people_with_the_permission_sign_an_emergency() -> None:
    check(exempt(), "alice", "carol")
    check(exempt(operator="carol"), "alice", "carol")
    for by, who in (
        (("alice",), "alice"),
        (("alice", "alice-2"), "alice"),  # one person, two keys
        (("alice", "dave"), "alice"),
        (("alice", "stranger"), "alice"),
        (("alice", "carol"), "dave"),  # the operator is neither
    ):
        with pytest.raises(FarhandError, match="exemption-unsigned"):
            check(exempt(operator=who), *by)
    both = seal(exempt(), signer("carol"), signer("alice"))
    exemption = exempt().exemption
    assert exemption is not None
    assert exempt_signers(both, exemption, PEOPLE) == ["alice", "carol"]


def test_the_author_alone_signs_a_trial() -> None:
    check(exempt("trial"), "alice")
    with pytest.raises(FarhandError, match="exemption-unsigned"):
        check(exempt("trial", operator="carol"), "carol")
    with pytest.raises(FarhandError, match="exemption-unsigned"):
        check(exempt("trial"), "dave")


@pytest.mark.parametrize(
    "changes",
    [
        {"exemption": {"reason": " "}},
        {"exemption": {"reason": "x" * 201}},
        {"exemption": {"reason": "clear\x1b[2J"}},
        {"campaign": "c-aaaaaaaaaaaaaaaa"},
        {"ring": 0},
        {"expires": "2026-11-22T09:00:01Z"},
        {"issued_at": "2026-11-22T08:01:01Z"},  # it begins at eight
    ],
)
def test_what_is_no_exemption(changes: dict[str, Any]) -> None:
    with pytest.raises(FarhandError, match="exemption-invalid"):
        check(exempt(**changes), "alice", "carol")


def test_a_minute_is_left_to_clocks_that_are_behind() -> None:
    check(exempt(issued_at="2026-11-22T08:01:00Z"), "alice", "carol")


def test_times_that_cannot_be_read() -> None:
    with pytest.raises(FarhandError, match="time-malformed"):
        check(exempt(issued_at="0001-01-01T00:00:00+23:00"), "alice", "carol")


def test_an_ordinary_order_carries_none() -> None:
    for judge in (lambda: check(order(), "carol"), lambda: carried_script(order(), PEOPLE)):
        with pytest.raises(FarhandError, match="exemption-invalid"):
            judge()


def test_what_is_carried_is_what_was_ordered() -> None:
    found = carried_script(exempt(), PEOPLE)
    assert (found.body, found.manifest.id) == (BODY, "remedy.greet")
    with pytest.raises(FarhandError, match="exemption-invalid"):
        carried_script(exempt(body=b"x" * (MAX_EXEMPT_BODY_BYTES + 1)), PEOPLE)
    with pytest.raises(FarhandError, match="script-changed"):
        carried_script(exempt(body=BODY + b"#"), PEOPLE)
    for changes in (
        {"version": 2},
        {"risk": "R3"},
        {"script": "remedy.other"},
        {"digest": "0" * 64},
    ):
        with pytest.raises(FarhandError, match="script-changed"):
            carried_script(exempt(**changes), PEOPLE)
    with pytest.raises(FarhandError, match="envelope-malformed"):
        carried_script(exempt(exemption={"manifest": b"{"}), PEOPLE)


def test_an_author_of_the_roster_signed_what_is_carried() -> None:
    strangers = roster(operator("carol", "order"))
    readers = roster(operator("alice", "order"))
    for made, people in ((exempt(by="carol"), PEOPLE), (exempt(), strangers), (exempt(), readers)):
        with pytest.raises(FarhandError, match="script-author-unknown"):
            carried_script(made, people)
