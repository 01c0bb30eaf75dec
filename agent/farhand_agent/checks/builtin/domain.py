"""Check of the trust between a device and its domain."""

from __future__ import annotations

import re
from typing import Final

from farhand_agent.checks.registry import CheckContext, Finding, check, unknown, unsupported
from farhand_agent.inventory.context import CommandFailed
from farhand_agent.platforms.commands import CommandMissing

__all__ = ["domain_trust", "parse_realms"]

# What adcli says when the domain was never asked: the device is offline, or the key is not ours.
_NOT_ASKED: Final = re.compile(
    r"permission denied|couldn't find usable domain|can(?:'t|not) (?:contact|resolve)", re.I
)


def parse_realms(text: str) -> list[tuple[str, bool]]:
    """Return (realm, whether this device is a member) from `realm list --all`."""
    found = []
    for block in re.split(r"\n(?=\S)", text):
        name = block.split("\n")[0].strip()
        configured = re.search(r"^\s+configured: (\S+)", block, re.MULTILINE)
        if name and configured:
            found.append((name, configured[1] != "no"))
    return found


@check(
    "domain.trust",
    "Trust between device and domain",
    advice="join the domain anew with the right credentials; look at clock.offset and dns.resolve",
    risk="R2",
    timeout_s=30,
    plain={
        "ok": "This device and the company network trust each other.",
        "critical": "The company network does not recognise this device any more, so signing in "
        "may fail.",
        "unsupported": "This device does not belong to a domain of a company network.",
    },
)
def domain_trust(context: CheckContext) -> Finding:
    """Whether the domain accepts this device's own credentials (adcli testjoin)."""
    try:
        realms = parse_realms(context.run(["realm", "list"]).text)
    except CommandMissing:
        realms = []
    except CommandFailed as error:
        # A keytab tells of a membership as well; without one nobody knows.
        if context.files.text("/etc/krb5.keytab") is None:
            return unknown(error.message)
        realms = []
    joined = [name for name, member in realms if member]
    if not joined and context.files.text("/etc/krb5.keytab") is None:
        return unsupported("not a member of a domain")
    try:
        outcome = context.run(["adcli", "testjoin"], timeout_s=20.0, ok=None)
    except CommandMissing:
        return unknown("adcli is not installed, so nobody can test the membership")
    words = (outcome.error_text or outcome.text).strip().split("\n")[-1][:150]
    if outcome.exit_code == 0:
        return Finding(state="ok", summary=f"member of {', '.join(joined) or 'the domain'}")
    if outcome.exit_code < 0 or _NOT_ASKED.search(words):
        return unknown(words or f"adcli ended with {outcome.exit_code}")
    return Finding(state="critical", summary=words or f"adcli ended with {outcome.exit_code}")
