"""From a started order to its outcome: look, run, look again, and judge the answer.

    detect says ok                              -> no_change, the body does not start
    the body cannot be started, or vanished     -> failed, with the code
    past its deadline                           -> timeout
    another exit status than 0, or a signal     -> failed
    its answer is not what the manifest says    -> failed, answer-malformed
    verify still finds the trouble              -> failed, remedy-without-effect
    its answer says that nothing changed        -> no_change
    otherwise                                   -> succeeded

Nothing is journalled here, and nothing runs twice: the runner journalled `running` before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farhand_agent.scripts.accounts import account_of
from farhand_agent.scripts.body import Ending, run_body
from farhand_agent.scripts.check import Plan
from farhand_agent.scripts.links import Assignment, finding_state
from farhand_agent.scripts.workspace import Workspace
from farhand_protocol.answers import read_answer
from farhand_protocol.errors import FarhandError
from farhand_protocol.orders import OrderState

__all__ = ["Outcome", "carry_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an order; `before` and `after` are what the links found.

    `offered_sha256` is of the bytes that were offered, where they were refused or came early.
    """

    state: OrderState
    ending: Ending | None = None
    error: FarhandError | None = None
    before: str | None = None
    after: str | None = None
    offered_sha256: str | None = None


def carry_out(assignment: Assignment, folder: Path, space: Workspace) -> Outcome:
    """Run what an order asks for.

    Args:
        assignment: the checked order and its links.
        folder: of the agent's home, for the private folders of the links.
        space: the body's, open.
    """
    before = _look(assignment.detect, folder)
    if assignment.says_nothing_to_do(before):
        return Outcome(state="no_change", before=before)
    plan = assignment.plan
    try:
        ending = run_body(plan, space, account_of(plan.manifest.run_as))
    except FarhandError as error:
        return Outcome(state="failed", error=error, before=before)
    state, problem = _judged(plan, space, ending)
    after = None
    if state in ("succeeded", "no_change"):
        after = _look(assignment.verify, folder)
        if assignment.says_still_there(after):
            state = "failed"
            problem = FarhandError(
                "remedy-without-effect",
                f"the script ended well, but {plan.manifest.verify} finds the trouble as before",
            )
    return Outcome(state=state, ending=ending, error=problem, before=before, after=after)


def _look(plan: Plan | None, folder: Path) -> str | None:
    """Run a linked script and return the state it found; None where there is none."""
    if plan is None:
        return None
    account = account_of(plan.manifest.run_as)
    try:
        with Workspace(folder, plan, account) as space:
            return finding_state(run_body(plan, space, account))
    except (FarhandError, OSError):
        return "unknown"  # nobody looked; that says nothing about the device


def _judged(plan: Plan, space: Workspace, ending: Ending) -> tuple[OrderState, FarhandError | None]:
    if ending.timed_out:
        return "timeout", None
    if ending.exit_code != 0:
        if space.is_whole():
            return "failed", None
        return "failed", FarhandError(
            "script-vanished", "something on the device removed the script while it ran"
        )
    kind = plan.manifest.answer
    if kind == "text":
        return "succeeded", None
    try:
        if ending.stdout.is_truncated:
            raise FarhandError("answer-malformed", "the script's answer is too long")
        answer = read_answer(kind, ending.stdout.kept())
    except FarhandError as error:
        return "failed", error
    unchanged = kind == "change" and answer is not None and answer["changed"] is False
    return ("no_change" if unchanged else "succeeded"), None
