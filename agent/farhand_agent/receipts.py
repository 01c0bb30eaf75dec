"""Receipts: what the end user keeps of each session, two files side by side in the home.

    receipts/SESSION.json   the sealed receipt, canonical envelope bytes; `farhand receipt verify`
    receipts/SESSION.txt    the same in plain words

A receipt is verified each time it is listed; one that was changed is listed as such and not
believed.  Nothing is signed here (farhand_agent.session.ending does).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from farhand_agent.config import Home, read_limited, write_atomically
from farhand_agent.consent import reason_words, scope_words
from farhand_agent.terminal import printable
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES
from farhand_protocol.errors import FarhandError
from farhand_protocol.grants import Receipt
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


def receipt_text(receipt: Receipt, *, one_sided: bool) -> str:
    """Return a receipt in plain words; every foreign character is escaped."""
    who = f"{printable(receipt.operator, 80)} of {printable(receipt.organisation, 80)}"
    lines = [
        f"Receipt of support session {printable(receipt.session, 60)}",
        "",
        f"Device      {printable(receipt.host_name, 80)} ({printable(receipt.device, 60)})",
        f"Who         {who}",
        f"Ticket      {printable(receipt.ticket, 80)}",
        f"From        {printable(receipt.started_at, 40)}",
        f"To          {printable(receipt.ended_at, 40)} ({receipt.active_s} seconds)",
        f"Ended       {reason_words(receipt.reason)}",
        f"Note        {printable(receipt.note or '-', 2000)}",
        "",
        "They were allowed to:",
        *(f"  - {scope_words(scope)}" for scope in receipt.scopes),
        "",
    ]
    if receipt.guest:
        lines += ["The name above is what the relay said; this device could not check it.", ""]
    if one_sided:
        lines += ["Signed by this device only: the other side was gone at the end.", ""]
    lines += ["What was done:" if receipt.actions else "Nothing was done."]
    for action in receipt.actions:
        line = f"  {printable(action.at, 40)}  {action.kind:<11}  {printable(action.detail, 1200)}"
        if action.sha256 is not None:
            line += f"  [{action.size_bytes} bytes, sha256 {printable(action.sha256, 64)}]"
        lines.append(line)
    if receipt.actions_omitted:
        lines += [f"  and {receipt.actions_omitted} more that did not fit."]
    lines += ["", "Check it with: farhand receipt verify FILE.json", ""]
    return "\n".join(lines)


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
