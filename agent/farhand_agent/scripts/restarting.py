"""What follows where a campaign's order leaves the device in need of a restart.

    policy    then
    never     nothing; the need is said by inventory and checks
    idle      once nobody is signed in and no session is open, looked at every five minutes
    window    once one of the order's windows is open
    prompt    at once, with the system's own warning to everybody, `notice_s` ahead

What is to come is journalled with the order that asked for it, one for the whole device, and stays
until the device has started anew: a runner that is started for it looks again, and whoever restarts
the device by hand meanwhile has done its work.  Nothing is ever restarted where it cannot be known
that a restart is required; that is looked at again later.  A restart is dropped, with a record that
says why, once its order has expired or the script was revoked.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from farhand_agent.journal import Journal
from farhand_agent.notices import say
from farhand_agent.scripts.check import read_order
from farhand_agent.scripts.holding import Hold, release
from farhand_agent.zones import zone_of
from farhand_protocol.errors import FarhandError
from farhand_protocol.instants import format_instant, from_unix, parse_instant
from farhand_protocol.orders import Order
from farhand_protocol.windows import next_open

__all__ = ["RESTART_KEY", "Machine", "after_run", "plan_restart", "restart_when_due"]

# Its value is `UNTIL ORDER NOTED`: when to look again, why, and since when.
RESTART_KEY: Final = "restart"
_IDLE_POLL: Final = timedelta(minutes=5)
_LEAST_NOTICE_S: Final = 300
_COMMAND_S: Final = 30.0
_WORDS: Final = "Updates were installed; this computer restarts. Please save your work."


class Machine:
    """What is asked of the computer itself; tests bring their own."""

    def is_required(self) -> bool | None:
        """Tell whether the system waits for a restart; None where that cannot be known."""
        if sys.platform != "linux":
            return None
        # Late: of all orders only a campaign's with a policy for restarts asks.
        from farhand_agent.patches.reboot import linux_reboot
        from farhand_agent.platforms.commands import run
        from farhand_agent.platforms.files import SystemFiles

        return linux_reboot(run, SystemFiles()).required

    def is_used(self) -> bool:
        """Tell whether somebody is signed in."""
        import psutil  # late, as above

        return bool(psutil.users())

    def started_at(self) -> datetime:
        """Return when the computer started."""
        import psutil  # late, as above

        return from_unix(int(psutil.boot_time()))

    def restart(self, delay_min: int) -> None:
        """Have the system restart in so many minutes, and tell everybody.

        Raises:
            FarhandError: `reboot-failed`.
        """
        # Late: it brings what serves a session with it.
        from farhand_agent.session.restart import restart_command

        words = [*restart_command(delay_min), *([_WORDS] if delay_min else [])]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FarhandError("reboot-failed", "the restart could not be ordered") from error
        if done.returncode != 0:
            raise FarhandError("reboot-failed", "the system refused to restart")


def after_run(journal: Journal, order: str, machine: Machine) -> None:
    """Forget what held an order that has ended, and see to what follows it."""
    row = journal.order(order)
    if row is None or row.ended_at is None:
        return
    release(journal, order)
    if row.state == "succeeded":
        plan_restart(journal, read_order(row.envelope)[1], machine)


def plan_restart(journal: Journal, order: Order, machine: Machine) -> bool:
    """Journal that a restart is to follow, where the order says so and one is required."""
    if order.terms is None or order.terms.reboot == "never":
        return False
    if not machine.is_required() or journal.meta(RESTART_KEY):
        return False
    at = journal.now_text()
    journal.set_meta(
        RESTART_KEY,
        f"{at} {order.id} {at}",
        kind="restart-due",
        order=order.id,
        policy=order.terms.reboot,
    )
    return True


def restart_when_due(
    journal: Journal,
    order: Order,
    machine: Machine,
    *,
    is_revoked: bool = False,
    tell: Callable[[str], None] = say,
) -> bool:
    """Restart the device if its time has come, else journal when to look again.

    Args:
        journal: of the device.
        order: the one that asked for it.
        machine: the computer.
        is_revoked: whether the order's script was revoked since.
        tell: takes words for whoever runs the agent.

    Returns:
        Whether the system was told to restart.
    """
    value = journal.meta(RESTART_KEY)
    if not value or order.terms is None:
        return False
    noted = value.split(" ")[2]
    if parse_instant(noted) < machine.started_at():
        journal.set_meta(RESTART_KEY, "", kind="restart-done", order=order.id)
        return False
    is_expired = journal.now() >= parse_instant(order.expires)
    if is_revoked or is_expired:
        why = "script-revoked" if is_revoked else "order-expired"
        journal.set_meta(RESTART_KEY, "", kind="restart-dropped", order=order.id, code=why)
        return False
    is_required = machine.is_required()
    if is_required is False:
        journal.set_meta(RESTART_KEY, "", kind="restart-done", order=order.id)
        return False
    hold = _hold(journal, order, machine)
    if is_required is None:
        hold = Hold(journal.now() + _IDLE_POLL, "window")
    if hold is not None:
        until = format_instant(hold.until)
        journal.set_meta(RESTART_KEY, f"{until} {order.id} {noted}")
        return False
    notice_s = order.terms.notice_s if order.terms.reboot == "prompt" else 0
    delay_min = math.ceil(max(notice_s, _LEAST_NOTICE_S) / 60)
    # Written first: a computer that goes down at once has said why.  Should it not go down, it is
    # asked again an hour after the time that was told.
    again = format_instant(journal.now() + timedelta(minutes=delay_min + 60))
    journal.set_meta(
        RESTART_KEY,
        f"{again} {order.id} {noted}",
        kind="restart-ordered",
        order=order.id,
        minutes=delay_min,
    )
    machine.restart(delay_min)
    tell(f"this computer restarts in {delay_min} minutes, after {order.script}")
    return True


def _hold(journal: Journal, order: Order, machine: Machine) -> Hold | None:
    assert order.terms is not None
    now = journal.now()
    if order.terms.reboot == "idle" and (machine.is_used() or journal.live_sessions()):
        return Hold(now + _IDLE_POLL, "window")
    if order.terms.reboot == "window":
        opens = next_open(order.terms.windows, now, zone_of)
        if opens is None or opens > now:
            return Hold(opens or now + timedelta(days=1), "window")
    return None
