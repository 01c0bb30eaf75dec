"""When this device's policy changed, and who has been told.

    noted    the policy that was in force when somebody last looked, in the journal with its time
             and as a record of the device's log; what an open session may not do any more is
             taken from it at the same moment
    shown    the one that the person at the device was last shown, on the screen of a session

The first policy of a device is noted, and no change.
"""

from __future__ import annotations

from typing import NamedTuple

from farhand_agent.journal import Journal
from farhand_agent.policy import policy_digest, policy_words
from farhand_agent.scope_changes import withdraw_scopes_everywhere
from farhand_protocol.trust import SCOPES, GroupPolicy

__all__ = ["PolicyNews", "note_policy", "policy_since", "unshown_policy"]


class PolicyNews(NamedTuple):
    """A policy that somebody is to be told of."""

    since: str
    words: list[str]


def note_policy(journal: Journal, policy: GroupPolicy) -> PolicyNews | None:
    """Journal a policy that is not the one noted last; return it where that was another."""
    digest, before = policy_digest(policy), journal.meta("policy")
    if digest == before:
        return None
    since, words = journal.now_text(), policy_words(policy)
    if before is not None:
        journal.set_meta("policy-since", since)
    else:
        journal.set_meta("policy-shown", digest)
    journal.set_meta("policy", digest, kind="policy-changed", allows=words)
    withdraw_scopes_everywhere(journal, set(SCOPES) - set(policy.scopes), by="policy")
    return None if before is None else PolicyNews(since, words)


def policy_since(journal: Journal) -> str | None:
    """Return when the policy last changed; None when it never did, as far as is known."""
    return journal.meta("policy-since")


def unshown_policy(journal: Journal, policy: GroupPolicy) -> PolicyNews | None:
    """Return the policy where the person has not been shown it yet, and take it for shown."""
    note_policy(journal, policy)
    digest = policy_digest(policy)
    if journal.meta("policy-shown") == digest:
        return None
    journal.set_meta("policy-shown", digest)
    return PolicyNews(policy_since(journal) or journal.now_text(), policy_words(policy))
