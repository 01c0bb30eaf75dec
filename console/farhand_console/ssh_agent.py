"""Signing with a key that an ssh-agent holds; the private key never enters this process."""

from __future__ import annotations

import asyncio
import threading

import asyncssh

from farhand_protocol.errors import FarhandError
from farhand_protocol.keys import verify

__all__ = ["AgentSigner"]

# An ssh-agent may ask a person to confirm each use (ssh-add -c).
_AGENT_S = 120.0


class AgentSigner:
    """Signs through the ssh-agent named by SSH_AUTH_SOCK, one short connection per signature."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    @property
    def public_key(self) -> bytes:
        """Return the raw 32-byte public key."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Return the agent's 64-byte signature.

        Raises:
            FarhandError: `key-agent` when there is no agent or it does not hold the key.
        """
        found: list[bytes | BaseException] = []

        def work() -> None:
            try:
                found.append(asyncio.run(self._sign(message)))
            except BaseException as error:  # handed to the caller's thread below
                found.append(error)

        # A thread of its own: the caller may have an event loop running.
        thread = threading.Thread(target=work, name="ssh-agent")
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    async def _sign(self, message: bytes) -> bytes:
        try:
            async with asyncio.timeout(_AGENT_S), asyncssh.connect_agent() as agent:
                for pair in await agent.get_keys():
                    if pair.algorithm == b"ssh-ed25519" and (
                        pair.public_data[-32:] == self._public_key
                    ):
                        blob = await agent.sign(pair.public_data, message, 0)
                        return self._checked(bytes(blob[-64:]), message)
        except (OSError, EOFError) as error:
            raise FarhandError(
                "key-agent",
                "the ssh-agent cannot be reached",
                hint="the operator's private key is not in its file; start ssh-agent, ssh-add it",
                detail=str(error),
            ) from error
        except (ValueError, asyncssh.Error) as error:
            raise FarhandError(
                "key-agent",
                "the ssh-agent does not sign with the operator's key",
                detail=str(error),
            ) from error
        raise FarhandError(
            "key-agent", "the ssh-agent does not hold the operator's key", hint="ssh-add KEYFILE"
        )

    def _checked(self, signature: bytes, message: bytes) -> bytes:
        if not verify(self._public_key, signature, message):
            raise FarhandError("key-agent", "the ssh-agent's signature is not the operator's")
        return signature
