"""Section `firewall`: what decides over packets, and what it does with those nobody asked for."""

from __future__ import annotations

import re
from typing import Any, Final

from farhand_agent.inventory.context import CommandFailed, Context, Denied, Malformed, Unsupported
from farhand_agent.inventory.json_values import rows, text
from farhand_agent.inventory.registry import section
from farhand_agent.platforms.commands import CommandMissing, Outcome

__all__ = ["collect", "parse_iptables", "parse_nft", "parse_ufw"]

_DENIED: Final = ("operation not permitted", "permission denied", "must be root", "need to be root")
_POLICY: Final = re.compile(r":(INPUT|OUTPUT|FORWARD) (ACCEPT|DROP|REJECT)\b")
_UFW_DEFAULT: Final = re.compile(
    r"Default: (allow|deny|reject) \(incoming\), (allow|deny|reject) \(outgoing\)"
)
_UFW_WORDS: Final = {"allow": "accept", "deny": "drop", "reject": "reject"}


def parse_nft(document: Any) -> dict[str, Any]:
    """Return the item of what `nft -j list ruleset` printed.

    Raises:
        Malformed: it is not what nft prints.
    """
    listed = document.get("nftables") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise Malformed("nft")
    policies: dict[str, set[str]] = {"input": set(), "output": set()}
    count = 0
    for one in rows(listed):
        count += "rule" in one
        chain = one.get("chain")
        if isinstance(chain, dict) and chain.get("type") == "filter":
            hook, policy = chain.get("hook"), text(chain.get("policy"))
            if hook in policies and policy:
                policies[hook].add(policy)

    def strictest(hook: str) -> str | None:
        # A packet has to pass every base chain of a hook.
        return next((one for one in ("drop", "accept") if one in policies[hook]), None)

    return _item("nftables", count > 0, strictest("input"), strictest("output"), count)


def parse_iptables(output: str) -> dict[str, Any]:
    """Return the item of what `iptables-save` printed."""
    policies = {chain: policy.lower() for chain, policy in _POLICY.findall(_filter(output))}
    count = sum(line.startswith("-A ") for line in output.split("\n"))
    inbound = policies.get("INPUT")
    on = count > 0 or inbound not in (None, "accept")
    return _item("iptables", on, inbound, policies.get("OUTPUT"), count)


def parse_ufw(output: str) -> dict[str, Any]:
    """Return the item of what `ufw status verbose` printed."""
    found = _UFW_DEFAULT.search(output)
    rules = [line for line in output.partition("\n--")[2].split("\n")[1:] if line.strip()]
    return _item(
        "ufw",
        output.startswith("Status: active"),
        _UFW_WORDS[found[1]] if found else None,
        _UFW_WORDS[found[2]] if found else None,
        len(rules),
    )


def _filter(output: str) -> str:
    """Return the part of an iptables-save that is the filter table."""
    return output.partition("*filter")[2].partition("COMMIT")[0]


def _item(
    name: str, enabled: bool, inbound: str | None, outbound: str | None, count: int | None
) -> dict[str, Any]:
    return {
        "name": name, "enabled": enabled, "default_inbound": inbound, "default_outbound": outbound,
        "rules": count,
    }  # fmt: skip


@section("firewall", platform="linux")
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per firewall that is installed; they may lie over each other.

    Raises:
        Unsupported: no tool that could tell is installed.
        Denied: the rules are for root only.
        CommandFailed: none that is installed could tell.
    """
    items: list[dict[str, Any]] = []
    missing = 0
    failed: list[CommandFailed] = []
    for argv, parse in (
        (["nft", "-j", "list", "ruleset"], None),
        (["iptables-save"], parse_iptables),
        (["ufw", "status", "verbose"], parse_ufw),
    ):
        try:
            outcome = _allowed(context.run(argv, ok=None))
        except CommandMissing:
            missing += 1
            continue
        if outcome.exit_code != 0:
            failed.append(CommandFailed(argv[0], outcome.exit_code))
        elif parse is None:
            # Without any rule some versions print nothing.
            empty = b'{"nftables": []}'
            items.append(parse_nft(context.parse_json(outcome.stdout or empty, "nft")))
        else:
            items.append(parse(outcome.text))
    try:
        # 252 says that it is not running.
        state = context.run(["firewall-cmd", "--state"], ok=(0, 252)).text.strip()
        items.append(_item("firewalld", state == "running", None, None, None))
    except CommandMissing:
        missing += 1
    except CommandFailed as error:
        failed.append(error)
    if failed and not items:
        raise failed[0]
    for one in failed:
        context.note(one.message)
    if missing == 4:
        raise Unsupported("neither nft nor iptables-save nor ufw nor firewall-cmd is installed")
    return items


def _allowed(outcome: Outcome) -> Outcome:
    words = (outcome.error_text + outcome.text[:200]).lower()
    if outcome.exit_code != 0 and any(one in words for one in _DENIED):
        raise Denied("the rules of the firewall need root")
    return outcome
