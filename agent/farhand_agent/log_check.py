"""The whole log of a device, checked: each record follows, and each receipt's mark is among them.

A receipt holds the head of the log as it was when its session stopped, signed.  So a log whose end
was cut off, or that was written anew, shows here as long as one later receipt is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from farhand_agent.audit import FIRST_HASH, LogRecord, check_record
from farhand_agent.config import Home, read_limited
from farhand_agent.journal import Journal
from farhand_protocol.audit import check_kept, parse_head_mark, wanted_hashes
from farhand_protocol.envelopes import MAX_ENVELOPE_BYTES
from farhand_protocol.receipts import verify_receipt

__all__ = ["checked_records"]

_PAGE = 1000
_WHAT = "this device's log"


def checked_records(home: Home, journal: Journal) -> Iterator[LogRecord]:
    """Yield every record while checking it; the end of the iteration is the verdict.

    Raises:
        FarhandError: `log-broken` at the first record that does not follow; `audit-cut`,
            `audit-rewritten` or `audit-forked` where a receipt knows better; a `receipt-...` code
            when a receipt is not whole.
    """
    wanted = wanted_hashes(_marks(home), _WHAT)
    hashes: dict[int, str] = {}
    seq, previous = 0, FIRST_HASH
    while page := journal.log_records(after=seq, limit=_PAGE):
        for record in page:
            seq += 1
            check_record(record, seq, previous)
            previous = record.hash
            if seq in wanted:
                hashes[seq] = record.hash
            yield record
    check_kept(wanted, hashes, _WHAT)


def _marks(home: Home) -> Iterator[tuple[int, str]]:
    for path in sorted(home.receipts.glob("*.json")) if home.receipts.is_dir() else []:
        receipt = verify_receipt(read_limited(path, MAX_ENVELOPE_BYTES)).receipt
        if receipt.audit_head:
            yield parse_head_mark(receipt.audit_head)
