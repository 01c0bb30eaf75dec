"""The parent's side of a trust update: carries files from the relay to the child that checks them.

Used by the resident agent and by enrolment, each with its own way of asking the relay.  Nothing is
parsed or judged here; `TrustFetcher` only bounds what it passes on.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from farhand_agent.child import Child
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.instants import format_instant
from farhand_protocol.messages import (
    TRUST_CHUNK_BYTES,
    DeviceMessage,
    FetchTrust,
    Nack,
    RelayMessage,
    TrustFile,
)

__all__ = ["fetch_root", "update_trust"]

Ask = Callable[[Callable[[int], DeviceMessage]], Awaitable[RelayMessage]]

UPDATE_TIMEOUT_S: Final = 300.0
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
MAX_ROOT_BYTES: Final = 512_000


async def _fetch(
    ask: Ask, kind: Literal["metadata", "target"], name: str, offset: int
) -> tuple[int, bytes]:
    answer = await ask(lambda seq: FetchTrust(seq=seq, kind=kind, name=name, offset=offset))
    if isinstance(answer, Nack):
        return -1, b""
    if not isinstance(answer, TrustFile) or len(answer.body) > TRUST_CHUNK_BYTES:
        raise RemoteError("message-malformed", "the relay's answer is no piece of a trust file")
    if answer.total > MAX_FILE_BYTES:
        raise RemoteError("trust-too-large", "the relay offers a trust file that is too large")
    return answer.total, answer.body


async def fetch_root(ask: Ask, version: int, sha256: str) -> bytes:
    """Fetch one root version and check it against its pinned hash.

    Raises:
        RemoteError: `trust-root-mismatch` when it is another one or not there.
    """
    name, body = f"{version}.root.json", b""
    while True:
        total, piece = await _fetch(ask, "metadata", name, len(body))
        body += piece
        if len(body) >= total or not piece or len(body) > MAX_ROOT_BYTES:
            break
    if hashlib.sha256(body).hexdigest() != sha256:
        raise RemoteError(
            "trust-root-mismatch",
            "the relay does not serve the trust root that the token names",
            hint="ask whoever gave you the token for a fresh one, and tell them this",
        )
    return body


async def update_trust(
    ask: Ask, *, folder: Path, root: bytes, tenant: str, targets_floor: int, now: datetime
) -> dict[str, Any]:
    """Run the child once and return the versions in force.

    Args:
        ask: sends a message to the relay and returns its answer.
        folder: the trust folder.
        root: the pinned root's bytes.
        tenant: organisation whose documents are expected.
        targets_floor: lowest targets version to accept.
        now: the later of the clock and the highest time seen.

    Raises:
        FarhandError: a trust code, `child-failed`, `child-timeout`; the old copy stays.
    """
    try:
        async with asyncio.timeout(UPDATE_TIMEOUT_S):
            async with Child("farhand_agent.trust.update") as child:
                await child.send(
                    {
                        "trust": str(folder),
                        "tenant": tenant,
                        "root": root,
                        "targets_floor": targets_floor,
                        "now": format_instant(now),
                    }
                )
                while True:
                    match await child.receive():
                        case {"fetch": {"kind": "metadata" | "target" as kind, "name": str(name),
                                        "offset": int(offset)}}:  # fmt: skip
                            total, body = await _fetch(ask, kind, name, offset)
                            await child.send({"total": total, "body": body})
                        case {"done": dict(versions)}:
                            return versions
                        case _:
                            raise FarhandError(
                                "child-failed", "the trust update ended without an answer"
                            )
    except TimeoutError as error:
        raise FarhandError("child-timeout", "the trust update took too long") from error
