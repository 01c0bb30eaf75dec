"""`farhand-agent order FILE --out RESULT`: an order that came by file, for want of a network.

Nothing is different from an order that the relay offers: the same runner checks it in the same
order, journals it, runs its body at most once and seals the result; only the carrying is done by
hand.  The trust metadata in the file bring the device's verified copy up to date first, checked as
the relay's are; where they are not newer, or do not verify, the copy in force stays.

    journal knows the order        ->
    no                             check, accept, run; the result is written
    accepted or running            wait for its end, or end it where its runner died; written
    ended, or refused              `order-replayed`; the result it had is written once more

The resident agent may run meanwhile: both go by the journal and the order's lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import click

from farhand_agent import local
from farhand_agent.child import Child
from farhand_agent.config import Home, Settings, load_settings, read_limited
from farhand_agent.home_option import chosen_home
from farhand_agent.home_owner import become_owner
from farhand_agent.journal import Journal
from farhand_agent.locks import is_held
from farhand_agent.notices import say
from farhand_agent.processes import command
from farhand_agent.scripts.check import read_order
from farhand_agent.trust.fetching import MAX_ROOT_BYTES, fetch_root, update_trust
from farhand_protocol.envelopes import decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError, UsageError
from farhand_protocol.messages import (
    TRUST_CHUNK_BYTES,
    DeviceMessage,
    FetchTrust,
    Nack,
    RelayMessage,
    TrustFile,
)
from farhand_protocol.order_files import MAX_ORDER_FILE_BYTES, OrderFile, unpack_order
from farhand_protocol.orders import FINAL_STATES, Order, Result

__all__ = ["order", "run_carried"]

_RUNNER: Final = "farhand_agent.scripts.runner"
_POLL_S: Final = 0.2


@click.command("order")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="Where the device's signed result is written.",
)  # fmt: skip
@click.option("--home", metavar="DIR", callback=chosen_home, help="The agent's home.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def order(file: Path, out: Path, home: Home, as_json: bool) -> None:
    """Run an order that came by file, and write its signed result into another."""
    data = read_limited(file, MAX_ORDER_FILE_BYTES)
    # Both files are opened with the rights of whoever calls, what follows is the agent's own.
    sink = _create(out)
    try:
        become_owner(home.path)
        carried = unpack_order(data)
        settings = load_settings(home)
        sealed, is_again = run_carried(home, settings, carried)
        os.write(sink, sealed)
        os.fsync(sink)
    except BaseException:
        _drop_empty(sink, out)
        raise
    finally:
        os.close(sink)
    result = open_payload(decode_envelope(sealed), Result)
    answer = {
        "order": result.order,
        "device": result.device,
        "state": result.state,
        "exit_code": result.exit_code,
        "refusal": result.refusal,
        "path": str(out),
        "again": is_again,
    }
    if as_json:
        click.echo(json.dumps(answer))
    else:
        say(f"{result.script} {result.state}; bring {out} to whoever gave you the order")
    if is_again:
        raise RefusedError(
            "order-replayed",
            "this device has had this order; nothing was run",
            hint=f"the result that it had is in {out}",
        )
    if result.state == "refused":
        raise RefusedError(result.refusal or "refused", result.words or "the order was refused")
    if result.state not in ("succeeded", "no_change"):
        raise FarhandError("run-failed", f"the order ended as {result.state}")


def _create(out: Path) -> int:
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError as error:
        raise UsageError("file-exists", f"there is a file {out} already") from error


def _drop_empty(sink: int, out: Path) -> None:
    """Take an empty result away again, as far as we still may."""
    try:
        if os.fstat(sink).st_size == 0:
            out.unlink(missing_ok=True)
    except OSError as error:
        say(f"{out} stays, empty: {error.strerror}")


def run_carried(home: Home, settings: Settings, carried: OrderFile) -> tuple[bytes, bool]:
    """Take a carried order in, run it, and return its sealed result.

    Returns:
        The result, and whether the device had ended this order before.

    Raises:
        RefusedError: `order-malformed`; `order-early` where its time has not come.
        FarhandError: `child-failed`, `order-unfinished`.
    """
    envelope, read = read_order(carried.order)
    digest = hashlib.sha256(envelope.payload).hexdigest()
    journal = Journal(home.journal)
    try:
        ended = _ended(journal, read, digest)
        if ended is not None:
            return ended, True
        if journal.order(read.id) is None:
            answer = asyncio.run(_take_in(home, settings, journal, carried, read.id))
            if answer.get("state") == "eligible":
                raise RefusedError("order-early", "the order may not run yet")
        _run(home, journal, read.id)
        result = _ended(journal, read, digest)
    finally:
        journal.close()
        local.notify(home, "orders-changed")
    if result is None:
        raise FarhandError(
            "order-unfinished",
            "the order was taken in and did not end",
            hint="call it once more; its body never starts twice",
        )
    return result, False


def _ended(journal: Journal, read: Order, digest: str) -> bytes | None:
    """Return the result that the device has sealed for this very order."""
    if (refused := journal.refusal(digest)) is not None:
        return refused[1]
    row = journal.order(read.id)
    if row is not None and row.payload_sha256 == digest and row.state in FINAL_STATES:
        return row.result
    return None


async def _take_in(
    home: Home, settings: Settings, journal: Journal, carried: OrderFile, named: str
) -> dict[str, Any]:
    try:
        await _update(home, settings, journal, carried)
    except FarhandError as error:
        # The copy in force stays, and the order is checked against that.
        say(f"the trust metadata in the file were not taken: {error}")
    else:
        local.notify(home, "trust-changed")
    async with Child(_RUNNER, "offer", str(home.path), named) as child:
        await child.send({"envelope": carried.order, "retried": True})
        return await child.receive() or {}


async def _update(home: Home, settings: Settings, journal: Journal, carried: OrderFile) -> None:
    async def ask(make: Any) -> RelayMessage:
        message: DeviceMessage = make(0)
        assert isinstance(message, FetchTrust)
        whole = carried.trust.get(f"{message.kind}/{message.name}")
        if whole is None:
            return Nack(seq=0, code="not-found", message="the file holds no such metadata")
        piece = whole[message.offset : message.offset + TRUST_CHUNK_BYTES]
        return TrustFile(seq=0, total=len(whole), body=piece)

    home.trust.mkdir(mode=0o700, exist_ok=True)
    try:
        root = read_limited(home.trust / "pinned.root.json", MAX_ROOT_BYTES)
    except FileNotFoundError:
        root = await fetch_root(ask, settings.root_version, settings.root_sha256)
    await update_trust(
        ask,
        folder=home.trust,
        root=root,
        tenant=settings.tenant,
        targets_floor=settings.targets_floor,
        now=journal.now(),
    )


def _run(home: Home, journal: Journal, named: str) -> None:
    """Run an accepted order to its end, or wait for whoever runs it."""
    tried: set[str] = set()
    while (row := journal.order(named)) is not None and row.ended_at is None:
        if is_held(home.order_lock(named)):
            time.sleep(_POLL_S)
            continue
        mode = "interrupt" if row.state == "running" else "run"
        if mode in tried:
            return  # its runner could not work: a full disk, or no rights
        tried.add(mode)
        # A session of its own: what was begun is ended, whoever closes this terminal.
        subprocess.run(
            [*command(_RUNNER), mode, str(home.path), named],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
