"""The bodies of the shipped patch scripts: `patch.check`, `patch.NAME.apply`, `patch.revert`.

Each prints one JSON object on standard output and ends with 0 when everything is as it was asked
for, 1 otherwise, with the package manager's last output and the stable code on standard error.
A change is made in the device's one turn, when the device is ready for it, and written down before
it begins.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from farhand_agent.patches.command import device_ledger, list_all
from farhand_agent.patches.ledger import Ledger
from farhand_agent.patches.places import state_folder
from farhand_agent.patches.provider import (
    ApplyResult,
    PatchProvider,
    Plan,
    ProviderError,
    Reboot,
    Update,
)
from farhand_agent.patches.readiness import Limits, Readiness
from farhand_agent.patches.registry import providers
from farhand_agent.patches.turn import packages_turn
from farhand_protocol.errors import FarhandError

__all__ = ["apply_main", "check_main", "revert_main"]

Parameters = Callable[[], dict[str, Any]]


def check_main(parameters: Parameters) -> int:
    """Print what the providers say.

    Args:
        parameters: reads them; `languages` (bool) also asks those that ask the network.
    """
    try:
        given = parameters()
    except FarhandError as error:
        return _failed(error)
    items = [one.to_json() for one in list_all(languages=given.get("languages") is True)]
    sys.stdout.write(json.dumps({"items": items, "next": None}) + "\n")
    return 0


def apply_main(name: str, parameters: Parameters) -> int:
    """Plan and apply with one provider and print the result.

    Args:
        name: of the provider.
        parameters: reads them; `ids` (words parted by blanks) or `scope` ("security" or "all")
            select, `refresh` fetches the indexes first, `dry_run` prints the plan only, `repair`
            finishes what an interrupted run left behind first; those of `readiness.Limits` say
            what the device must have.
    """
    try:
        given = parameters()
        provider = _provider(name)
        ids = str(given.get("ids", "")).split() or None
        security_only = ids is None and given.get("scope") == "security"
        ready = Readiness(Limits.from_parameters(given))
        with packages_turn(state_folder()):
            if given.get("repair") is True:
                ready.require(Plan(provider=name, updates=()), Reboot(required=None))
                provider.repair()
            if given.get("refresh") is True:
                provider.refresh()
            plan = _planned(provider, ids, security_only=security_only)
            ledger = device_ledger()
            if given.get("dry_run") is True:
                found = ready.obstacles(plan, _reboot(provider, ledger))
                told = [{"code": one.code, "message": one.message} for one in found]
                return _printed(plan.to_json() | {"dry_run": True, "obstacles": told})
            if plan.updates:
                ready.require(plan, _reboot(provider, ledger))
            return _applied(plan, lambda: provider.apply(plan), ledger)
    except FarhandError as error:
        return _failed(error)


def revert_main(parameters: Parameters) -> int:
    """Bring back what was there before a change, and print the result.

    Args:
        parameters: reads them; `provider`, `since` or `record`, where it is not the newest change
            of all; those of `readiness.Limits` as with `apply_main`.
    """
    try:
        given = parameters()
        ledger = device_ledger()
        ready = Readiness(Limits.from_parameters(given))
        with packages_turn(state_folder()):
            record = ledger.find(
                given.get("record"), provider=given.get("provider"), since=given.get("since")
            )
            provider, changes = _provider(record.provider), record.changes
            plan = Plan(
                provider=provider.name,
                updates=tuple(
                    Update(id=c.id, name=c.name, installed=c.after, available=c.before)
                    for c in changes
                    if c.before
                ),
            )
            if plan.updates:
                ready.require(plan, _reboot(provider, ledger))
            return _applied(plan, lambda: provider.rollback(changes), ledger)
    except FarhandError as error:
        return _failed(error)


def _planned(provider: PatchProvider, ids: list[str] | None, *, security_only: bool) -> Plan:
    plan = provider.plan(ids, security_only=security_only)
    if security_only and not plan.updates and not provider.list().security_labelled:
        # An empty plan would read as "no security update is missing", which nobody knows.
        raise ProviderError(
            "patch-unlabelled", f"{provider.name}'s sources do not tell which updates are security"
        )
    return plan


def _reboot(provider: PatchProvider, ledger: Ledger) -> Reboot:
    return ledger.with_memory(provider.name, provider.reboot_state())


def _applied(plan: Plan, act: Callable[[], ApplyResult], ledger: Ledger) -> int:
    if not plan.updates:
        return _printed(act().to_json() | {"record": None})
    record = ledger.begin(plan, order=os.environ.get("FARHAND_ORDER", ""))
    try:
        result = act()
    except ProviderError as error:
        ledger.end(record, error)
        raise
    ledger.end(record, result)
    _printed(result.to_json() | {"record": record.id})
    return 1 if result.failed else 0


def _provider(name: str) -> PatchProvider:
    found = next((one for one in providers() if one.name == name), None)
    if found is None:
        raise ProviderError(
            "patch-not-here", f"{name} does not rule this system", state="unsupported"
        )
    return found


def _printed(document: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def _failed(error: FarhandError) -> int:
    if isinstance(error, ProviderError) and error.log_tail:
        sys.stderr.write(f"{error.log_tail}\n")
    sys.stderr.write(f"{error}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")
    return 1
