"""What an entry comes to: its time rounded, split between balance and rate, and its price.

Pure.  Rounding is of each entry, never of a sum, so a statement adds up line by line.
"""

from __future__ import annotations

from farhand_server.contracts.terms import Terms

__all__ = ["amount_minor", "billed_seconds", "split_charge"]


def billed_seconds(active_s: int, *, step_s: int, min_s: int = 0) -> int:
    """Return the time of an entry as it is billed: up to the next step, and at least so much.

    Args:
        active_s: time worked, 0 or more; none comes to nothing.
        step_s: 1 or more.
        min_s: 0 or more; rounded up to a step itself.

    Returns:
        A multiple of `step_s`, not below `active_s`.
    """
    if active_s <= 0:
        return 0
    least = max(active_s, min_s)
    return -(-least // step_s) * step_s


def split_charge(terms: Terms, billed_s: int, balance_s: int) -> tuple[int, int]:
    """Return how much of an entry the balance pays for, and how much is charged at the rate.

    Args:
        terms: of the contract.
        billed_s: 0 or more.
        balance_s: what there is before; below nothing after an overage.
    """
    if terms.kind == "tm":
        return 0, billed_s
    if not terms.has_balance:
        return 0, 0
    if terms.overage != "bill":
        return billed_s, 0
    debited = min(billed_s, max(balance_s, 0))
    return debited, billed_s - debited


def amount_minor(seconds: int, rate_minor: int) -> int:
    """Return the price of so much time at a rate for an hour; half a unit counts as one.

    A reversal (seconds below nothing) comes to exactly the opposite.
    """
    if seconds < 0:
        return -amount_minor(-seconds, rate_minor)
    return (2 * seconds * rate_minor + 3600) // 7200
