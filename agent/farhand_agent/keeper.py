"""The keeper: a one-shot child process that holds the device key while something is signed.

As ssh-agent does for ssh, it keeps the key and `cryptography` out of the process that talks to the
network all day.  Requests are frames (farhand_agent.child) on stdin, answers on stdout:

    {"do": "create", "path"}                        -> {"public_key"}      refuses to overwrite
    {"do": "public", "path"}                        -> {"public_key"}
    {"do": "sign", "path", "message"}               -> {"signature"}
    {"do": "link", "path", "relay_key", "relay_signature", "relay_message", "message", "also"}
                                                    -> {"signature", "also"}   relay verified first

The path is the caller's, who could read the file as well: this is a separation of memory, not of
rights.  Run as `python -m farhand_agent.keeper`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from farhand_agent.errors import HomeUnusable
from farhand_agent.frames import serve_frames
from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.keys import SeedSigner, verify

__all__ = ["answer", "create_key", "load_key"]

SEED_BYTES = 32


def create_key(path: str) -> SeedSigner:
    """Make a device key, owner-only and durable; never over an old one.

    Raises:
        HomeUnusable: there is one already, or it cannot be written.
    """
    seed = os.urandom(SEED_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HomeUnusable("the device key cannot be written", detail=str(error)) from error
    return SeedSigner(seed)


def load_key(path: str) -> SeedSigner:
    """Read the device key.

    Raises:
        HomeUnusable: it is missing, damaged, or others may read it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            seed = file.read(SEED_BYTES + 1)
    except OSError as error:
        raise HomeUnusable("the device key cannot be read", detail=str(error)) from error
    if mode & 0o077:
        raise HomeUnusable(
            "others may read the device key", hint=f"chmod 600 {path}, and ask who did it"
        )
    if len(seed) != SEED_BYTES:
        raise HomeUnusable("the device key has a wrong length")
    return SeedSigner(seed)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request.

    Raises:
        RemoteError: `relay-signature-wrong`.
        HomeUnusable: the key cannot be made or read.
        FarhandError: `child-failed` when the request is none of the four.
    """
    match request:
        case {"do": "create", "path": str(path)}:
            return {"public_key": create_key(path).public_key}
        case {"do": "public", "path": str(path)}:
            return {"public_key": load_key(path).public_key}
        case {"do": "sign", "path": str(path), "message": bytes(message)}:
            return {"signature": load_key(path).sign(message)}
        case {
            "do": "link",
            "path": str(path),
            "relay_key": bytes(relay_key),
            "relay_signature": bytes(relay_signature),
            "relay_message": bytes(relay_message),
            "message": bytes(message),
            "also": bytes(also),
        }:
            if not verify(relay_key, relay_signature, relay_message):
                raise RemoteError(
                    "relay-signature-wrong", "the relay could not prove that it holds its key"
                )
            signer = load_key(path)
            return {"signature": signer.sign(message), "also": signer.sign(also) if also else b""}
        case _:
            raise FarhandError("child-failed", "the keeper was asked for something unknown")


if __name__ == "__main__":
    sys.exit(serve_frames(answer))
