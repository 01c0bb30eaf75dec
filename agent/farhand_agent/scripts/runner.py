"""The runner: a child process that takes in, runs or closes one order.

    offer      frames on stdin; check the order, journal it as accepted or refused
    run        check again, journal `running`, run the body, seal and journal the result
    cancel     close an accepted order whose body has not started
    interrupt  close a running order whose runner died: what became of it cannot be known
    restart    restart the device for a campaign's order that asked for it, if its time has come

The device key is held only here, for the seal.  The process that runs an order holds its lock
(`home.order_lock`) from before `running` until after the final state, so a lock that is free and a
state `running` together mean a dead runner.  `Journal.start_order` lets one caller pass, ever.

Run as `python -m farhand_agent.scripts.runner MODE HOME ORDER`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from farhand_agent import local
from farhand_agent.config import Home, Settings, load_settings
from farhand_agent.errors import JournalFull
from farhand_agent.frames import serve_frames
from farhand_agent.hostname import host_name
from farhand_agent.journal import Journal, OrderRow
from farhand_agent.keeper import load_key
from farhand_agent.locks import Lock, try_lock
from farhand_agent.notices import say
from farhand_agent.policy import effective_policy
from farhand_agent.processes import end_marked
from farhand_agent.scripts.accounts import account_of
from farhand_agent.scripts.body import interpreters, order_mark
from farhand_agent.scripts.check import (
    RETRY_AFTER_UPDATE,
    Facts,
    Platform,
    check_order,
    read_order,
    revocation_of,
)
from farhand_agent.scripts.exempt_notice import tell_exempt
from farhand_agent.scripts.holding import is_held
from farhand_agent.scripts.links import Assignment, make_assignment
from farhand_agent.scripts.outcome import Outcome, carry_out
from farhand_agent.scripts.restarting import Machine, after_run, restart_when_due
from farhand_agent.scripts.scope import end_scope
from farhand_agent.scripts.workspace import Workspace
from farhand_agent.trust.verified import current_group, load_verified, read_target
from farhand_protocol.envelopes import encode_envelope, seal
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.orders import FINAL_STATES, Order, OrderState, Result

if TYPE_CHECKING:
    from farhand_agent.scripts.sealing import OutputSeal

__all__ = ["Desk", "main"]

_LOCK_WAIT_S: Final = 5.0
_FULL_DISK_PATIENCE_S: Final = 3600.0
_FULL_DISK_PAUSE_S: Final = 5.0
# Found out before the body could start, and no better the next time.
_NEVER_STARTS: Final = frozenset({"script-changed", "script-vanished"})


def _platform() -> Platform:
    if sys.platform == "darwin":
        return "macos"
    return "windows" if sys.platform == "win32" else "linux"


class Desk:
    """Works on one order of one home.

    Args:
        home: of the device.
        settings: its config.toml.
        journal: open.
    """

    def __init__(self, home: Home, settings: Settings, journal: Journal) -> None:
        self._home = home
        self._settings = settings
        self._journal = journal
        self._key = load_key(str(home.device_key))

    def offer(self, named: str, data: bytes, *, retried: bool) -> dict[str, Any]:
        """Take in an offered order.

        Args:
            named: the id that the relay gave it.
            data: the sealed order.
            retried: whether trust was updated since it was first looked at.

        An order that this device has accepted ends as it ends: whatever else the relay offers under
        its id is noted, and answered with what became of that order.

        Returns:
            `{"state": ...}`, or `{"retry": code}` when a trust update may change the answer.
        """
        digest = hashlib.sha256(data).hexdigest()
        order: Order | None = None
        try:
            envelope, order = read_order(data)
            digest = hashlib.sha256(envelope.payload).hexdigest()
            if order.id != named:
                raise RefusedError(
                    "order-malformed", "the order has another id than the relay says"
                )
            row = self._journal.order(order.id)
            if row is not None and row.payload_sha256 == digest:
                return self._again(row)
            if row is None and (earlier := self._journal.refusal(digest)) is not None:
                self._journal.repost_result(order.id, earlier[1])
                return {"state": "refused", "code": earlier[0]}
            plan = self._check(data, ignore=None).plan
        except RefusedError as error:
            if error.code in RETRY_AFTER_UPDATE and not retried:
                return {"retry": error.code}
            if (row := self._journal.order(named)) is not None:
                self._journal.log("order-refused", order=named, code=error.code)
                return self._again(row)
            outcome = Outcome(
                state="eligible" if error.code == "order-early" else "refused",
                error=error,
                offered_sha256=hashlib.sha256(data).hexdigest(),
            )
            return self._refuse(named, order, digest, outcome)
        accepted = self._journal.accept_order(
            plan.order.id,
            envelope=data,
            payload_sha256=digest,
            operator=plan.order.operator,
            script=plan.order.script,
            version=plan.order.version,
        )
        return {"state": "accepted" if accepted else "known"}

    def _again(self, row: OrderRow) -> dict[str, Any]:
        """An order that was accepted is offered again: report, never repeat or contradict."""
        if row.state in FINAL_STATES and row.result is not None:
            self._journal.repost_result(row.id, row.result)
        return {"state": row.state}

    def _refuse(
        self, named: str, order: Order | None, digest: str, outcome: Outcome
    ) -> dict[str, Any]:
        assert outcome.error is not None
        is_written = self._journal.refuse_offer(
            named,
            payload_sha256=digest,
            code=outcome.error.code,
            result=self._seal(named, order, outcome),
            remember=outcome.state == "refused",
        )
        if not is_written and (row := self._journal.order(named)) is not None:
            return self._again(row)  # another process accepted it meanwhile
        return {"state": outcome.state, "code": outcome.error.code}

    def run(self, row: OrderRow) -> None:
        """Run an accepted order, unless another process has or does."""
        lock = self._lock(row.id)
        if lock is None:
            return
        try:
            self._run(row)
        finally:
            self._home.order_lock(row.id).unlink(missing_ok=True)
            lock.release()

    def _run(self, row: OrderRow) -> None:
        _, order = read_order(row.envelope)
        if is_held(self._journal, row, order):
            return
        try:
            assignment = self._check(row.envelope, ignore=row.id)
            plan = assignment.plan
            output = _seal_for(assignment)
            account = account_of(plan.manifest.run_as)
            with Workspace(self._home.orders, plan, account) as space:
                tell_exempt(self._journal, plan)
                if not self._journal.start_order(row.id, pid=os.getpid()):
                    return
                local.notify(self._home, "orders-changed")
                outcome = carry_out(assignment, self._home.orders, space)
            self._finish(order, outcome, output=output)
        except RefusedError as error:
            state: OrderState = "expired" if error.code == "order-expired" else "refused"
            self._finish(order, Outcome(state=state, error=error), expected=("accepted",))
        except FarhandError as error:
            if error.code not in _NEVER_STARTS:
                raise
            self._finish(order, Outcome(state="failed", error=error), expected=("accepted",))

    def cancel(self, row: OrderRow) -> None:
        """Close an order whose body has not started."""
        _, order = read_order(row.envelope)
        error = FarhandError("order-cancelled", "the order was cancelled before it started")
        self._finish(order, Outcome(state="cancelled", error=error), expected=("accepted",))

    def interrupt(self, row: OrderRow) -> None:
        """Close a running order whose runner is dead; ends what its body left behind first."""
        lock = self._lock(row.id)
        if lock is None:
            return
        try:
            end_scope(row.id)
            end_marked(order_mark(row.id))
            _, order = read_order(row.envelope)
            error = FarhandError(
                "order-interrupted", "the agent or the device stopped while the script ran"
            )
            outcome = Outcome(state="interrupted", error=error)
            self._finish(order, outcome, started_at=row.started_at)
        finally:
            self._home.order_lock(row.id).unlink(missing_ok=True)
            lock.release()

    def _lock(self, order: str) -> Lock | None:
        """Take the order's lock; a prober may hold it for an instant."""
        deadline = time.monotonic() + _LOCK_WAIT_S
        while (lock := try_lock(self._home.order_lock(order))) is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        return lock

    def _check(self, data: bytes, *, ignore: str | None) -> Assignment:
        trust = load_verified(self._home)
        settings = self._settings
        group = current_group(settings, trust)
        facts = Facts(
            tenant=settings.tenant,
            device=settings.device,
            host_name=host_name(),
            group=group,
            platform=_platform(),
            interpreters=frozenset(interpreters()),
            is_root=os.geteuid() == 0,
        )

        def read(path: str) -> bytes | None:
            return read_target(self._home, trust, path) if trust else None

        now = self._journal.now()
        plan = check_order(
            data,
            trust=trust,
            read_target=read,
            facts=facts,
            policy=effective_policy(self._home, group, trust),
            is_known=lambda order: order != ignore and self._journal.order(order) is not None,
            now=now,
        )
        assert trust is not None  # or the order would have been refused
        return make_assignment(plan, trust, read, facts, now)

    def _finish(
        self,
        order: Order,
        outcome: Outcome,
        *,
        output: OutputSeal | None = None,
        expected: tuple[str, ...] = ("running",),
        started_at: str | None = None,
    ) -> None:
        """Seal and journal a final state; a full disk is waited for, because the result is here."""
        row = self._journal.order(order.id)
        result = self._seal(
            order.id,
            order,
            outcome,
            output=output,
            started_at=started_at or (row.started_at if row else None),
        )
        deadline = time.monotonic() + _FULL_DISK_PATIENCE_S
        while True:
            try:
                self._journal.finish_order(
                    order.id,
                    state=outcome.state,
                    result=result,
                    code=outcome.error.code if outcome.error else None,
                    expected=expected,
                )
                break
            except JournalFull:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_FULL_DISK_PAUSE_S)
        local.notify(self._home, "orders-changed")

    def _seal(
        self,
        named: str,
        order: Order | None,
        outcome: Outcome,
        *,
        output: OutputSeal | None = None,
        started_at: str | None = None,
    ) -> bytes:
        ending, refusal = outcome.ending, outcome.error
        told = ending if output is None else None
        out, err = (told.stdout, told.stderr) if told else (None, None)
        result = Result(
            tenant=self._settings.tenant,
            device=self._settings.device,
            order=named,
            script=order.script[:200] if order else "",
            version=order.version if order else 0,
            digest=order.digest[:64] if order else "",
            state=outcome.state,
            exit_code=ending.exit_code if ending else None,
            signal=ending.signal if ending else None,
            stdout=out.kept() if out else b"",
            stdout_bytes=out.total_bytes if out else 0,
            stdout_truncated=out.is_truncated if out else False,
            stderr=err.kept() if err else b"",
            stderr_bytes=err.total_bytes if err else 0,
            stderr_truncated=err.is_truncated if err else False,
            sealed_output=output.seal(ending) if output and ending else None,
            refusal=refusal.code if refusal else None,
            words=refusal.message if refusal else None,
            started_at=started_at,
            ended_at=self._journal.now_text(),
            before=outcome.before,
            after=outcome.after,
            offered_sha256=outcome.offered_sha256,
        )
        return encode_envelope(seal(result, self._key))


def _seal_for(assignment: Assignment) -> OutputSeal | None:
    """Return what seals the output of a sensitive script; None for any other.

    Raises:
        RefusedError: `script-sensitive`.
    """
    plan = assignment.plan
    if not plan.manifest.sensitive:
        return None
    # Loaded late: age comes with it, and few scripts need it.
    from farhand_agent.scripts.sealing import OutputSeal

    return OutputSeal(plan.order.id, assignment.operator_keys)


def is_revoked(home: Home, order: Order) -> bool:
    """Tell whether an order's script was revoked; without verified trust it counts as revoked."""
    trust = load_verified(home)
    return trust is None or revocation_of(order, trust) is not None


def main(arguments: list[str]) -> int:
    """Work on one order; returns the exit status."""
    mode, folder, named = arguments
    home = Home.at(folder)
    try:
        settings = load_settings(home)
        journal = Journal(home.journal)
        try:
            desk = Desk(home, settings, journal)
            if mode == "offer":
                return serve_frames(
                    lambda request: desk.offer(
                        named, bytes(request["envelope"]), retried=bool(request["retried"])
                    )
                )
            row = journal.order(named)
            if row is None:
                raise FarhandError("order-unknown", "this device has no such order")
            if mode == "restart":
                order = read_order(row.envelope)[1]
                restart_when_due(journal, order, Machine(), is_revoked=is_revoked(home, order))
                return 0
            {"run": desk.run, "cancel": desk.cancel, "interrupt": desk.interrupt}[mode](row)
            after_run(journal, row.id, Machine())
        finally:
            journal.close()
    except (FarhandError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
