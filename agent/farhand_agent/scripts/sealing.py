"""Sealing what a sensitive script printed to the operator who ordered it.

With age, to all keys that the roster has for that operator, so any of her machines opens it and the
relay, which stores it, cannot.  Only the runner of a sensitive script loads this module: age comes
with it.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyrage

from farhand_agent.scripts.body import Ending
from farhand_protocol.errors import RefusedError
from farhand_protocol.identity import public_key_line
from farhand_protocol.outputs import SealedOutput, encode_output

__all__ = ["OutputSeal"]


class OutputSeal:
    """Seals the output of one order.

    Args:
        order: its id.
        keys: raw Ed25519 public keys of the ordering operator.

    Raises:
        RefusedError: `script-sensitive` when nothing can be sealed to one of them.
    """

    def __init__(self, order: str, keys: Iterable[bytes]) -> None:
        self._order = order
        try:
            self._recipients = [
                pyrage.ssh.Recipient.from_str(public_key_line(key, "").strip()) for key in keys
            ]
            self._sealed(b"")
        except (pyrage.RecipientError, pyrage.EncryptError) as error:
            raise RefusedError(
                "script-sensitive",
                "the output cannot be sealed to the operator's key",
                detail=str(error),
            ) from error

    def _sealed(self, plaintext: bytes) -> bytes:
        return bytes(pyrage.encrypt(plaintext, self._recipients))

    def seal(self, ending: Ending) -> bytes:
        """Return what the body printed as an age file."""
        out, err = ending.stdout, ending.stderr
        return self._sealed(
            encode_output(
                SealedOutput(
                    order=self._order,
                    stdout=out.kept(),
                    stdout_bytes=out.total_bytes,
                    stdout_truncated=out.is_truncated,
                    stderr=err.kept(),
                    stderr_bytes=err.total_bytes,
                    stderr_truncated=err.is_truncated,
                )
            )
        )
