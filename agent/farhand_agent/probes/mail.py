"""Whether a domain's mail arrives and is believed: MX, SPF (RFC 7208), DKIM (6376) and DMARC."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farhand_agent.probes.names import Records

__all__ = ["judge_mail"]

Ask = Callable[[str, str], Records]


def judge_mail(domain: str, selectors: Sequence[str], ask: Ask) -> tuple[list[str], list[str]]:
    """Return what keeps mail from arriving, and what makes it look like spam.

    Args:
        domain: behind the `@`.
        selectors: of the DKIM keys that the domain signs with; without any DKIM is not looked at,
            since nobody can list them.
        ask: asks for the records of a name.

    Raises:
        FarhandError: `probe-failed` when the DNS does not answer.
    """
    bad, weak = [], []
    exchanges = ask(domain, "MX").texts
    if not exchanges:
        bad.append("no MX")
    elif any(text.split()[-1:] == ["."] for text in exchanges):
        bad.append("MX says that it takes no mail")
    weak += _judge_spf(ask(domain, "TXT").texts)
    weak += _judge_dmarc(ask(f"_dmarc.{domain}", "TXT").texts)
    for selector in selectors:
        keys = _starting(ask(f"{selector}._domainkey.{domain}", "TXT").texts, "v=DKIM1", "k=", "p=")
        if not keys:
            weak.append(f"no DKIM key {selector}")
        elif _tags(keys[0]).get("p", "") == "":
            weak.append(f"DKIM key {selector} is revoked")
    return bad, weak


def _judge_spf(texts: Sequence[str]) -> list[str]:
    records = [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        return ["no SPF"]
    if len(records) > 1:
        return ["several SPF records, which counts as none"]
    words = records[0].lower().split()
    if words[-1].endswith("+all") or words[-1] == "all":
        return ["SPF lets everybody send"]
    ends = any(word.lstrip("-~?+") == "all" or word.startswith("redirect=") for word in words)
    return [] if ends else ["SPF without an end (all)"]


def _judge_dmarc(texts: Sequence[str]) -> list[str]:
    records = _starting(texts, "v=DMARC1")
    if len(records) != 1:
        return ["no DMARC" if not records else "several DMARC records, which counts as none"]
    policy = _tags(records[0]).get("p", "").lower()
    if policy not in ("none", "quarantine", "reject"):
        return ["DMARC without a policy"]
    return ["DMARC asks nobody to do anything (p=none)"] if policy == "none" else []


def _starting(texts: Sequence[str], *starts: str) -> list[str]:
    wanted = tuple(start.lower() for start in starts)
    return [text for text in texts if text.replace(" ", "").lower().startswith(wanted)]


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
