"""The device's side of a code: from the nameplate to a sealed request, one blob after the other.

    phase     from the console          to the console
    pake      its SPAKE2 message        ours
    confirm   its proof                 msgpack [our proof, sealed DeviceOffer]
    request   sealed ConsoleRequest     sealed Decision (by the caller, after consent)

The console proves first.  Whatever is malformed, wrong or out of turn burns the code: the answer is
its error code, and nothing more is heard under it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import msgspec

from farhand_protocol.errors import FarhandError, RemoteError
from farhand_protocol.grants import ConsoleRequest, Decision, DeviceOffer
from farhand_protocol.pairing import DevicePairing

__all__ = ["PHASES", "CodeExchange"]

PHASES: Final = ("pake", "confirm", "request")


class CodeExchange:
    """One code.  Blocks for some milliseconds at each step; run it in a thread.

    Args:
        origin: the relay's address, as both ends know it.
        nameplate, secret: the code.
        offer: makes the offer, once the console has proved that it knows the code.
    """

    def __init__(
        self, origin: str, nameplate: str, secret: str, offer: Callable[[], DeviceOffer]
    ) -> None:
        self._pairing = DevicePairing(origin, nameplate, secret, entropy=os.urandom)
        self._offer = offer
        self._done = 0
        self.grant: bytes | None = None

    @property
    def transcript(self) -> bytes:
        """The pairing's transcript, once it was proved."""
        return self._pairing.transcript

    @property
    def words(self) -> list[str]:
        """The four words, once the pairing was proved."""
        return self._pairing.words

    def take(self, phase: str, body: bytes) -> bytes | None:
        """Take a blob of the console.

        Returns:
            The answer; None after `request`, when `grant` is set and the answer is a decision.

        Raises:
            FarhandError: `code-wrong`, `code-burned` or `pairing-malformed`; the code is burned.
        """
        expected = PHASES[self._done] if self._done < len(PHASES) else None
        self._done += 1
        if phase != expected:
            self._done = len(PHASES)
            raise RemoteError("pairing-malformed", "a pairing step came twice or out of order")
        if phase == "pake":
            return self._pairing.receive_pake(body)
        if phase == "confirm":
            proof = self._pairing.receive_confirm(body)
            sealed = self._pairing.seal(msgspec.msgpack.encode(self._offer()))
            return msgspec.msgpack.encode([proof, sealed])
        self.grant = self._open_request(body)
        return None

    def _open_request(self, body: bytes) -> bytes:
        plain = self._pairing.open(body)
        try:
            return msgspec.msgpack.decode(plain, type=ConsoleRequest).grant
        except (msgspec.MsgspecError, RecursionError) as error:
            raise FarhandError(
                "pairing-malformed", "the console's request cannot be read", detail=str(error)
            ) from error

    def decide(self, decision: Decision) -> bytes:
        """Seal the decision."""
        return self._pairing.seal(msgspec.msgpack.encode(decision))
