"""What was changed by patching on this device, so that there is a way back.

One small file per change, written before the package manager starts and again when it has ended:
a record without an end is a change that was cut off.  Package managers forget two things that
are kept here: which version was there before, and that what was installed asked for a restart.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psutil

from farhand_agent.patches.provider import ApplyResult, Change, Plan, ProviderError, Reboot
from farhand_protocol.instants import format_instant, from_unix

__all__ = ["MAX_RECORDS", "Ledger", "Record"]

# A device that is patched each night keeps a season; the oldest goes first.
MAX_RECORDS: Final = 100
_MAX_RECORD_BYTES: Final = 2 * 1024 * 1024
_ID: Final = re.compile(r"[0-9]{10}-[a-z-]{1,20}-[0-9a-f]{8}")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        id: "UNIX-SECONDS-PROVIDER-RANDOM", so that names sort by time.
        order: the order whose body made it, "" where a person did.
        changes: as planned; once ended, those that really happened.
        reboot: why a restart was asked for; counts until the device has started anew.
        exit_code: the package manager's, None while the record has no end.
    """

    id: str
    provider: str
    order: str = ""
    started_at: str
    ended_at: str | None = None
    changes: list[Change]
    failed: list[str] = msgspec.field(default_factory=list)
    reboot: list[str] = msgspec.field(default_factory=list)
    exit_code: int | None = None


class Ledger:
    """The records in one folder.

    Args:
        folder: made on the first write, for its owner alone.
        now: the clock, in Unix seconds.
        booted_at: when the system started, in Unix seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], float] = time.time,
        booted_at: Callable[[], float] = psutil.boot_time,
    ) -> None:
        self._folder = folder
        self._now = now
        self._booted_at = booted_at

    def begin(self, plan: Plan, *, order: str = "") -> Record:
        """Write down a plan that is about to be carried out.

        Raises:
            ProviderError: `patch-denied` when the folder cannot be written: nothing is changed
                that could not be written down.
        """
        now = self._now()
        record = Record(
            id=f"{int(now):010d}-{plan.provider}-{secrets.token_hex(4)}",
            provider=plan.provider,
            order=order,
            started_at=format_instant(from_unix(int(now))),
            changes=[
                Change(id=u.id, name=u.name, before=u.installed, after=u.available)
                for u in plan.updates
            ],
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(record)
            for old in self._names()[:-MAX_RECORDS]:
                (self._folder / old).unlink(missing_ok=True)
        except OSError as error:
            raise ProviderError(
                "patch-denied", f"{self._folder} cannot be written", detail=str(error),
                state="denied",
            ) from error  # fmt: skip
        return record

    def end(self, record: Record, result: ApplyResult | ProviderError) -> Record:
        """Write down how a change ended; after an error nothing of it happened.

        Raises:
            OSError: the disk is full or gone; the record stays without an end.
        """
        at = format_instant(from_unix(int(self._now())))
        if isinstance(result, ProviderError):
            ended = msgspec.structs.replace(
                record,
                ended_at=at,
                exit_code=result.tool_exit_code,
                changes=[],
                failed=[change.id for change in record.changes],
            )
        else:
            ended = msgspec.structs.replace(
                record,
                ended_at=at,
                exit_code=result.exit_code,
                changes=list(result.changes),
                failed=list(result.failed),
                reboot=list(result.reboot.reasons) if result.reboot.required else [],
            )
        self._write(ended)
        return ended

    def records(self) -> list[Record]:
        """Return the readable records, the newest first."""
        found = []
        for name in reversed(self._names()):
            try:
                with (self._folder / name).open("rb") as file:
                    data = file.read(_MAX_RECORD_BYTES)
                found.append(msgspec.json.decode(data, type=Record))
            except (OSError, msgspec.MsgspecError):
                continue  # cut off by a full disk, or another user's: no basis for a way back
        return found

    def find(
        self, record: str | None, *, provider: str | None = None, since: str | None = None
    ) -> Record:
        """Return one record by id, or the newest one that changed something.

        Args:
            record: its id; None for the newest.
            provider: only one of this package manager.
            since: only one that began then or later, in RFC 3339: a campaign that failed before it
                changed anything here must not cost what an earlier one brought.

        Raises:
            ProviderError: `patch-no-rollback` when there is none.
        """
        for one in self.records():
            if provider is not None and one.provider != provider:
                continue
            if since is not None and one.started_at < since:
                continue
            if one.id == record or (record is None and one.changes):
                return one
        raise ProviderError("patch-no-rollback", "no such change is written down on this device")

    def with_memory(self, provider: str, reboot: Reboot) -> Reboot:
        """Return what a provider says of a restart, and what was asked for since the last one."""
        booted = format_instant(from_unix(int(self._booted_at())))
        asking = [
            record
            for record in self.records()
            if record.provider == provider and record.reboot and (record.ended_at or "") > booted
        ]
        if not asking:
            return reboot
        asked = [reason for record in asking for reason in record.reboot]
        return Reboot(
            required=True,
            reasons=tuple(dict.fromkeys([*reboot.reasons, *asked])),
            since=reboot.since or min(record.ended_at or "" for record in asking),
        )

    def _names(self) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []  # nothing was ever written, or it is another user's
        return sorted(
            name for name in names
            if name.endswith(".json") and _ID.fullmatch(name.removesuffix(".json"))
        )  # fmt: skip

    def _write(self, record: Record) -> None:
        target = self._folder / f"{record.id}.json"
        partial = target.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
