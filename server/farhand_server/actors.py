"""Who acts on tickets without being a person, and so has no account of that name.

The relay, a mailbox, a monitor, a hook, a connector, a rule and the assistant act in the name of
nobody: what they say is no answer, keeps no promise, and goes out as automatic mail.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NOT_PEOPLE", "THE_RELAY", "is_a_person"]

# Who resolves what nobody is needed for.
THE_RELAY: Final = "relay"
# `none` is how a list asks for tickets without an owner.
NOT_PEOPLE: Final = frozenset(
    {THE_RELAY, "mail", "monitor", "hook", "connector", "rule", "assistant", "none"}
)


def is_a_person(actor: str) -> bool:
    """Tell whether what was done was done by a person; `rule:NAME` is one of the rules."""
    return actor.partition(":")[0] not in NOT_PEOPLE
