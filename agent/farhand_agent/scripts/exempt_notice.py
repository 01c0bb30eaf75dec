"""What this device says of an order whose script too few people approved, before its body starts.

A trial on a lab device is a line and a record of the device's log.  An emergency order raises the
alarm `break-glass` as well, which `status` shows from then on.  It is journalled first: where that
cannot be written, nothing runs.
"""

from __future__ import annotations

from farhand_agent.alarms import raise_alarm
from farhand_agent.journal import Journal
from farhand_agent.notices import say
from farhand_agent.scripts.check import Plan

__all__ = ["tell_exempt"]


def tell_exempt(journal: Journal, plan: Plan) -> None:
    """Journal and say who has an unapproved script run here, and why; nothing for most orders.

    Raises:
        JournalFull: and then the order must not run.
    """
    order = plan.order
    if order.exemption is None:
        return
    kind = order.exemption.kind
    people, reason = list(plan.people), order.exemption.reason
    journal.log(
        f"{kind}-order",
        order=order.id,
        script=order.script,
        version=order.version,
        digest=order.digest,
        risk=order.risk,
        people=people,
        reason=reason,
    )
    what = "emergency order" if kind == "break-glass" else "trial"
    say(f"{what} of {' and '.join(people)}: {order.script} runs without approval; {reason}")
    if kind == "break-glass" and (words := raise_alarm(journal, kind, journal.now_text())):
        say(words)
