"""The scripts that a remedy names as `detect` and `verify`, and what their findings mean.

    finding        before (detect)                after (verify)
    ok             nothing to do: `no_change`     succeeded
    warning,       the body runs                  still there: `failed`, with
    critical                                      `remedy-without-effect`
    unknown,       the body runs                  succeeded: nobody can tell
    unsupported
    none at all    the body runs                  the same

A linked script is as approved as any: published, not revoked, not expired, R0, and for this device.
The newest published version counts.  One that cannot be used refuses the remedy, because nobody
would know then whether it helped.  One that answers with something else than a finding
(patch.check) judges nothing and is not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from farhand_agent.scripts.body import Ending
from farhand_agent.scripts.check import Facts, Part, Plan, check_device
from farhand_agent.trust.verified import Verified
from farhand_protocol.answers import read_answer
from farhand_protocol.envelopes import Envelope, decode_envelope, open_payload
from farhand_protocol.errors import FarhandError, RefusedError
from farhand_protocol.instants import parse_instant
from farhand_protocol.manifest import Manifest, check_approved, check_manifest, manifest_digest
from farhand_protocol.parameters import check_parameters
from farhand_protocol.trust import manifest_path, script_path

__all__ = ["Assignment", "finding_state", "make_assignment"]

_NOT_WELL = frozenset({"warning", "critical"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a runner does for one order: the body, and what looks before and after it.

    `operator_keys` are the roster's for the ordering operator, for output that is sealed.
    """

    plan: Plan
    detect: Plan | None
    verify: Plan | None
    operator_keys: tuple[bytes, ...]

    @staticmethod
    def says_nothing_to_do(before: str | None) -> bool:
        """Tell whether what `detect` found makes the body needless."""
        return before == "ok"

    @staticmethod
    def says_still_there(after: str | None) -> bool:
        """Tell whether what `verify` found means that the remedy did not help."""
        return after in _NOT_WELL


def make_assignment(
    plan: Plan,
    trust: Verified,
    read_target: Callable[[str], bytes | None],
    facts: Facts,
    now: datetime,
) -> Assignment:
    """Return the checked order with the scripts it is linked to.

    Args:
        plan: the checked order.
        trust: the verified copy that it was checked against.
        read_target: gives a verified target by TUF path, None when it is not there.
        facts: about this device.
        now: as for the order.

    Raises:
        RefusedError: `script-link` when a linked script cannot be used.
    """
    operator = trust.roster.find(plan.order.operator)
    keys = tuple(operator.keys) if operator else ()
    named: tuple[tuple[Part, str | None], ...] = (
        ("detect", plan.manifest.detect),
        ("verify", plan.manifest.verify),
    )
    linked = [
        _linked(name, replace(plan, part=part), trust, read_target, facts, now)
        if name is not None
        else None
        for part, name in named
    ]
    return Assignment(plan, linked[0], linked[1], keys)


def finding_state(ending: Ending) -> str:
    """Return the state that a linked script found; "unknown" where it did not get that far."""
    if ending.timed_out or ending.exit_code != 0 or ending.stdout.is_truncated:
        return "unknown"
    try:
        answer = read_answer("finding", ending.stdout.kept())
    except FarhandError:
        return "unknown"  # what it printed is no finding, so it found nothing
    return str(answer["state"]) if answer else "unknown"


def _linked(
    name: str,
    plan: Plan,
    trust: Verified,
    read_target: Callable[[str], bytes | None],
    facts: Facts,
    now: datetime,
) -> Plan | None:
    try:
        envelope, manifest = _newest(name, trust, read_target)
        revoked = {one.subject for one in trust.revocations.revoked if one.kind == "script"}
        if name in revoked or manifest_digest(envelope) in revoked:
            raise _unusable("it was revoked")
        if now >= parse_instant(manifest.expires):
            raise _unusable("its approval has expired")
        if manifest.version < trust.floors.scripts.get(name, 0):
            raise _unusable("a newer version of it is required")
        check_approved(envelope, trust.roster, trust.policy)
        if not manifest.answers_finding:
            return None
        if manifest.risk != "R0":
            raise _unusable("it does more than look")
        body = read_target(script_path(manifest.sha256))
        if body is None:
            raise _unusable("its body is not among the signed targets")
        check_manifest(manifest, body)
        check_device(manifest, facts)
        known = manifest.parameters.get("properties", {})
        given = {key: value for key, value in plan.parameters.items() if key in known}
        parameters = check_parameters(manifest.parameters, given)
    except (FarhandError, OverflowError) as error:
        words = error.message if isinstance(error, FarhandError) else "its times cannot be read"
        raise RefusedError(
            "script-link",
            f"{name}, which says whether the script is needed and helped, cannot be used: {words}",
            detail=str(error),
        ) from error
    return replace(plan, manifest=manifest, body=body, parameters=parameters)


def _newest(
    name: str, trust: Verified, read_target: Callable[[str], bytes | None]
) -> tuple[Envelope, Manifest]:
    """Return the newest published version of a script."""
    before, _, after = manifest_path(name, 0).rpartition("0")
    versions = [
        int(number)
        for path in trust.targets
        if path.startswith(before)
        and path.endswith(after)
        and (number := path[len(before) : -len(after)]).isascii()
        and number.isdecimal()
    ]
    if not versions:
        raise _unusable("the organisation has not published it")
    path = manifest_path(name, max(versions))
    sealed = read_target(path)
    if sealed is None:
        raise _unusable("the organisation has not published it")
    envelope = decode_envelope(sealed)
    manifest = open_payload(envelope, Manifest)
    if manifest_path(manifest.id, manifest.version) != path:
        raise _unusable("it is another script than its place says")
    return envelope, manifest


def _unusable(words: str) -> FarhandError:
    return FarhandError("script-link", words)
