"""Orders to run a script on one device, and the device's signed results.

An order is sealed by one operator for one device; the device checks it alone (the check order is in
`farhand_agent.scripts`).  The relay stores and forwards both and can make neither.

An order with an `exemption` carries a script that too few people approved, whole; who may sign such
a one, and where it runs, stands in `farhand_protocol.exemptions`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from farhand_protocol.envelopes import Statement
from farhand_protocol.terms import Terms
from farhand_protocol.trust import Risk

__all__ = [
    "CLOCK_DIFFERENCE_S",
    "FINAL_STATES",
    "MAX_ORDER_LIFETIME_S",
    "ORDER_STATES",
    "Exemption",
    "Order",
    "OrderState",
    "Result",
]

MAX_ORDER_LIFETIME_S = 7 * 86_400
# An order begins at most this long before it was signed, for devices whose clocks are behind.
# More would let a signer write a time of signing that is yet to come, and so a longer life.
CLOCK_DIFFERENCE_S = 60

OrderState = Literal[
    "planned",
    "eligible",
    "offered",
    "accepted",
    "running",
    "succeeded",
    "no_change",
    "failed",
    "timeout",
    "refused",
    "interrupted",
    "cancelled",
    "expired",
    "gone",
]
ORDER_STATES: tuple[OrderState, ...] = OrderState.__args__  # type: ignore[attr-defined]
FINAL_STATES: frozenset[str] = frozenset(
    {
        "succeeded",
        "no_change",
        "failed",
        "timeout",
        "refused",
        "interrupted",
        "cancelled",
        "expired",
        "gone",
    }
)


class Exemption(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A script that is no signed target, as it comes along with its order, and why.

    `manifest` is sealed by its author and `body` is what it describes; both set by the console.
    `reason` is shown at the device, on the relay and in both logs.
    """

    kind: Literal["trial", "break-glass"]
    manifest: bytes
    body: bytes
    reason: str


# Without its default the field is not written, so an ordinary order reads as it always has.
class Order(Statement, frozen=True, kw_only=True, omit_defaults=True):
    """Run this script version with these parameters on this device, within this time.

    `device`, `host_name` and `group` are as the signer saw them; the device refuses a mismatch.
    `digest` is the manifest digest; `targets_version` the TUF targets version the signer saw.
    `ticket` or `campaign` and `ring` say why.  Times are RFC 3339.  `terms` are a campaign's: when
    the device begins, what a person there may put off, and whether it restarts.
    """

    tenant: str
    id: str
    device: str
    host_name: str
    group: str
    script: str
    version: int
    risk: Risk
    digest: str
    parameters: dict[str, Any]
    operator: str
    ticket: str | None
    campaign: str | None
    ring: int | None
    targets_version: int
    issued_at: str
    not_before: str
    expires: str
    terms: Terms | None = None
    exemption: Exemption | None = None


class Result(Statement, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an order, sealed by the device key.

    `stdout` and `stderr` keep the head and the tail when longer than the manifest allows;
    `*_bytes` is the length produced and `*_truncated` says so.  `exit_code` is None when the body
    never ended by itself; `signal` names the signal that ended it.  `refusal` is the stable code
    of a refused order, or of what its runner found wrong, and `words` one sentence.  For a
    sensitive script both outputs are empty, their lengths 0, and `sealed_output` holds them
    (`outputs.SealedOutput`), readable by the ordering operator only.  `before` and `after` are the
    states that the scripts of the manifest's `detect` and `verify` found; None where none ran.
    `offered_sha256` is set where an offer was refused or came early: the SHA-256 of exactly those
    bytes, because it was the relay that named `order` and another offer of it may well run.
    """

    tenant: str
    device: str
    order: str
    script: str
    version: int
    digest: str
    state: OrderState
    exit_code: int | None
    signal: str | None
    stdout: bytes
    stdout_bytes: int
    stdout_truncated: bool
    stderr: bytes
    stderr_bytes: int
    stderr_truncated: bool
    sealed_output: bytes | None
    refusal: str | None
    words: str | None
    started_at: str | None
    ended_at: str
    before: str | None = None
    after: str | None = None
    offered_sha256: str | None = None
