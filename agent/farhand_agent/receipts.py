"""Receipts: what the end user keeps of each session, two files side by side in the home.

    receipts/SESSION.json   the sealed receipt, canonical envelope bytes; `farhand receipt verify`
    receipts/SESSION.txt    the same in plain words, in the language of this device

A receipt is verified each time it is listed; one that was changed is listed as such and not
believed.  Nothing is signed here (farhand_agent.session.ending does).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from farhand_agent.config import Home, read_limited, write_atomically
from farhand_agent.consent import reason_words, scope_words
from farhand_agent.deeds import action_words
from farhand_agent.terminal import printable
from farhand_agent.wording import Wording, own_wording
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES, open_payload
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Action, Grant, GrantApproval, Receipt
from farhand_protocol.receipts import verify_receipt

__all__ = ["list_receipts", "receipt_text", "store_receipt"]

_SHOWN: Final = (
    "id",
    "session",
    "operator",
    "organisation",
    "ticket",
    "scopes",
    "started_at",
    "ended_at",
    "reason",
    "note",
)


def store_receipt(home: Home, data: bytes) -> Path:
    """Store a sealed receipt and its readable twin; a later call replaces both.

    Args:
        home: the agent's home.
        data: canonical envelope bytes.

    Returns:
        The path of the sealed file.

    Raises:
        FarhandError: a `receipt-...` code when it does not verify.
        OSError: the disk is full.
    """
    receipt, one_sided, _ = verify_receipt(data)
    home.receipts.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home.receipts / f"{receipt.session}.json"
    write_atomically(path, data)
    text = receipt_text(receipt, one_sided=one_sided)
    write_atomically(path.with_suffix(".txt"), text.encode("utf-8", "backslashreplace"))
    return path


def receipt_text(receipt: Receipt, *, one_sided: bool, w: Wording | None = None) -> str:
    """Return a receipt in plain words; every foreign character is escaped.

    Args:
        receipt: one that was verified.
        one_sided: whether only the device signed it.
        w: the language; without one it is that of this process's environment.
    """
    w = w or own_wording()
    session = printable(receipt.session, 60)
    lines = [
        w("Receipt of support session {session}", session=session),
        "",
        *_table(_facts(receipt, w)),
        "",
        w("They were allowed to:"),
        *(f"  - {scope_words(scope, w)}" for scope in receipt.scopes),
        "",
    ]
    if receipt.guest:
        words = w("The name above is what the relay said; this device could not check it.")
        lines += [words, ""]
    if one_sided:
        lines += [w("Signed by this device only: the other side was gone at the end."), ""]
    lines += [w("What was done:") if receipt.actions else w("Nothing was done.")]
    lines += [f"  {_action_line(action, w)}" for action in receipt.actions]
    if receipt.actions_omitted:
        omitted = receipt.actions_omitted
        words = w.count("and {n} more that did not fit.", "and {n} more that did not fit.", omitted)
        lines += [f"  {words}"]
    lines += ["", w("Check it with: {command}", command="farhand receipt verify FILE.json"), ""]
    return "\n".join(lines)


def _facts(receipt: Receipt, w: Wording) -> list[tuple[str, str]]:
    duration = w.count("{n} second", "{n} seconds", receipt.active_s)
    facts = [
        (w("Device"), f"{printable(receipt.host_name, 80)} ({printable(receipt.device, 60)})"),
        (w("Who"), _person(receipt.operator, receipt.organisation, w)),
        (w("Ticket"), printable(receipt.ticket, 80)),
        (w("From"), printable(w.instant(receipt.started_at), 40)),
        (w("To"), f"{printable(w.instant(receipt.ended_at), 40)} ({duration})"),
        (w("Ended"), reason_words(receipt.reason, w)),
        (w("Note"), printable(receipt.note or "-", 2000)),
    ]
    if receipt.approvals:
        names = [open_payload(one, GrantApproval).approver for one in receipt.approvals]
        facts += [(w("Approved by"), ", ".join(printable(name, 80) for name in names))]
    for envelope in receipt.joined:
        other = open_payload(envelope, Grant)
        facts += [(w("Also there"), _person(other.operator, other.organisation, w))]
    if receipt.recording is not None:
        is_whole = receipt.recording.complete
        facts += [(w("Recording"), w("complete") if is_whole else w("with gaps"))]
    return facts


def _person(name: str, organisation: str, w: Wording) -> str:
    return w(
        "{name} of {organisation}",
        name=printable(name, 80),
        organisation=printable(organisation, 80),
    )


def _table(facts: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(label) for label, _ in facts) + 2
    return [f"{label:<{width}}{said}" for label, said in facts]


def _action_line(action: Action, w: Wording) -> str:
    words = action_words(
        action.kind,
        action.detail,
        w,
        message=action.message or "",
        facts=action.facts or {},
        limit=1200,
    )
    line = f"{printable(w.instant(action.at), 40)}  {words}"
    if action.sha256 is not None:
        size = w.count("{n} byte", "{n} bytes", action.size_bytes or 0)
        line += f"  [{size}, sha256 {printable(action.sha256, 64)}]"
    return line


def list_receipts(home: Home) -> list[dict[str, Any]]:
    """Return what `farhand-agent receipts --json` lists, oldest session first.

    Each item has the receipt's own fields (id, session, operator, organisation, ticket, scopes,
    started_at, ended_at, reason, note), its `path`, `one_sided`, and `problem`: None, or the code
    why the file cannot be believed, when nothing of its content is shown.
    """
    items = []
    for path in sorted(home.receipts.glob("*.json")) if home.receipts.is_dir() else []:
        item: dict[str, Any] = dict.fromkeys(_SHOWN)
        problem, one_sided = None, True
        try:
            receipt, one_sided, _ = verify_receipt(read_limited(path, MAX_ENVELOPE_BYTES))
            item = {name: getattr(receipt, name) for name in _SHOWN}
        except FarhandError as error:
            problem = error.code
        except OSError:
            problem = "receipt-malformed"
        if problem is not None:
            item = {**item, "session": path.stem, "scopes": [], "reason": problem}
        items.append({**item, "path": str(path), "one_sided": one_sided, "problem": problem})
    return sorted(items, key=lambda one: one["started_at"] or "")
