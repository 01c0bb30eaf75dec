"""Who may do what on the relay: one function, one table.

This is the first lock only; what runs on a device is decided by signatures that the device checks.
HTTP routes, websockets and the command line all ask `authorise`.  An action that the table does not
hold is refused, and a test walks every route of the application with every role.

A grant of `all` reaches everything of the tenant, `own` only what belongs to the actor (a
requester's own tickets).  A route check passes no resource; whoever handles an `own` grant then
asks again with the resource, or filters a list by `Reach`.

Tiers stand beside roles: an admin may say that an action, or a part of one (`session.open:files`),
needs a technician of tier 2 or 3 (`accounts.tiers`).  What her tier keeps from her comes with the
actor as `barred`, and is refused here, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from farhand_protocol.errors import FarhandError
from farhand_server.errors import not_permitted, not_signed_in

__all__ = [
    "ACTIONS",
    "PUBLIC",
    "ROLES",
    "Actor",
    "Reach",
    "Resource",
    "Role",
    "allowed",
    "authorise",
]

Role = Literal["technician", "admin", "auditor", "requester"]
ROLES: tuple[Role, ...] = ("technician", "admin", "auditor", "requester")
Reach = Literal["all", "own"]

# The action of a route that needs no sign-in.
PUBLIC = "public"

_EVERYONE: dict[str, Reach] = dict.fromkeys(ROLES, "all")
_STAFF: dict[str, Reach] = {"technician": "all", "admin": "all"}
_READERS: dict[str, Reach] = {**_STAFF, "auditor": "all"}
_ADMIN: dict[str, Reach] = {"admin": "all"}
_OVERSIGHT: dict[str, Reach] = {"admin": "all", "auditor": "all"}
_OWN: dict[str, Reach] = {"requester": "own"}

ACTIONS: dict[str, dict[str, Reach]] = {
    # accounts, trust, audit
    "me.read": _EVERYONE,
    "me.write": _EVERYONE,
    "account.read": _OVERSIGHT,
    "account.write": _ADMIN,
    "signin.settings": _ADMIN,
    "notice.mine": _EVERYONE,
    "trust.read": _READERS,
    "trust.write": _ADMIN,
    "release.add": _ADMIN,
    "release.approve": _STAFF,
    "release.publish": _ADMIN,
    "token.read": _OVERSIGHT,
    "token.write": _ADMIN,
    "audit.read": _OVERSIGHT,
    "audit.head": _READERS,
    # sessions
    "session.read": _READERS,
    "session.pair": _STAFF,
    "session.open": _STAFF,
    "session.attach": _STAFF,
    "session.approve": _STAFF,
    "session.join": _STAFF,
    "session.end": _STAFF,
    "recording.read": {**_OVERSIGHT, "technician": "own"},
    # the fleet
    "device.read": _READERS,
    "device.tag": _STAFF,
    "device.confirm": _ADMIN,
    "device.retire": _ADMIN,
    "device.add": _ADMIN,
    "device.merge": _ADMIN,
    "device.describe": _STAFF,
    "device.maintenance": _STAFF,
    "device.probe": _ADMIN,
    "alert.read": _READERS,
    "alert.acknowledge": _STAFF,
    "script.read": _READERS,
    "script.submit": _STAFF,
    "script.approve": _STAFF,
    "script.publish": _ADMIN,
    "script.revoke": _ADMIN,
    "order.read": _READERS,
    "order.create": _STAFF,
    "order.cancel": _STAFF,
    "campaign.read": _READERS,
    "campaign.create": _STAFF,
    "campaign.control": _STAFF,
    # what goes out
    "outbox.read": _OVERSIGHT,
    "outbox.retry": _ADMIN,
    "webhook.read": _OVERSIGHT,
    "rule.read": _READERS,
    "connector.read": _READERS,
    "connector.write": _ADMIN,
    "bug.read": _READERS,
    "bug.write": _STAFF,
    "rule.write": _ADMIN,
    "webhook.write": _ADMIN,
    # people, and what is done for them beside tickets
    "organisation.read": _READERS,
    "organisation.write": _ADMIN,
    "person.read": _READERS,
    "person.write": _STAFF,
    "person.confirm": _ADMIN,
    "person.export": _ADMIN,
    "person.erase": _ADMIN,
    "skill.read": _READERS,
    "skill.write": _ADMIN,
    "card.write": _ADMIN,
    "notice.read": {**_READERS, **_OWN},
    "notice.write": _ADMIN,
    # the desk
    "ticket.read": {**_READERS, **_OWN},
    "ticket.create": {**_STAFF, **_OWN},
    "ticket.reply": {**_STAFF, **_OWN},
    "ticket.note": _STAFF,
    "ticket.work": _STAFF,
    "ticket.assign": _STAFF,
    "ticket.resolve": _STAFF,
    "ticket.reopen": {**_STAFF, **_OWN},
    "time.read": _READERS,
    "queue.read": _READERS,
    "queue.write": _ADMIN,
    "profile.read": _READERS,
    "profile.write": _ADMIN,
    "telephone.settings": _ADMIN,
    # mail: a technician sees that of tickets that she sees
    "mail.status": _READERS,
    "mail.read": {**_OVERSIGHT, "technician": "own"},
    "mail.hold": {"admin": "all", "technician": "own"},
    "mail.write": _ADMIN,
    # contracts, measures
    "contract.read": _READERS,
    "contract.write": _ADMIN,
    "contract.assign": _STAFF,
    "time.write": _STAFF,
    "report.read": _READERS,
    "report.write": _ADMIN,
    "survey.skip": _STAFF,
    # what the desk knows
    "knowledge.read": {**_READERS, **_OWN},
    "knowledge.vote": {**_READERS, **_OWN},
    "knowledge.write": _STAFF,
    "knowledge.publish": _STAFF,
    "knowledge.settings": _ADMIN,
    "question.accept": {**_STAFF, **_OWN},
    "question.moderate": _STAFF,
}


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody signed in.

    Attributes:
        tenant: the organisation.
        account: the account's id.
        name: its name, unique in the tenant; also the roster's name for that person.
        role: one of `ROLES`.
        scopes: what the token allows within the role: `*`, an action, or `noun.*`.
        token: id of the token used, empty for the command line on the host.
        person: who that is among the people the desk works for, empty where nobody said.
        tier: 1 to 3, of a technician.
        barred: actions, and parts of actions, that need a higher tier than hers.
    """

    tenant: str
    account: str
    name: str
    role: Role
    scopes: frozenset[str] = frozenset({"*"})
    token: str = ""
    person: str = ""
    tier: int = 1
    barred: frozenset[str] = frozenset()


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What an action touches; `owner` is the account name it belongs to, if any."""

    owner: str | None = None


def authorise(
    actor: Actor | None,
    action: str,
    resource: Resource | None = None,
    *,
    parts: Iterable[str] = (),
) -> Reach:
    """Decide whether `actor` may do `action`.

    Args:
        actor: who asks; None when nobody signed in.
        action: a key of `ACTIONS`.
        resource: what it touches; None asks for the route alone.
        parts: what of the action is meant, where a tier may be needed for one of them.

    Returns: how far it reaches. With `own` and no resource the caller must still filter.

    Raises:
        FarhandError: `not-signed-in`, `not-permitted`.
    """
    if action == PUBLIC:
        return "all"
    if actor is None:
        raise not_signed_in()
    reach = ACTIONS.get(action, {}).get(actor.role)
    if reach is None:
        raise not_permitted(f"a {actor.role} may not do this ({action})")
    if actor.scopes.isdisjoint({"*", action, action.partition(".")[0] + ".*"}):
        raise not_permitted(f"this token does not allow it ({action})")
    if barred := actor.barred.intersection({action, *(f"{action}:{part}" for part in parts)}):
        raise not_permitted(f"this needs a higher tier than {actor.tier} ({min(barred)})")
    if reach == "own" and resource is not None and resource.owner != actor.name:
        raise not_permitted("this is not yours")
    return reach


def allowed(actor: Actor) -> list[str]:
    """Return the actions that `authorise` does not refuse this actor, by name; for what is shown.

    One that reaches only what is her own is among them, and one of which a part is barred.
    """
    return [action for action in sorted(ACTIONS) if _is_allowed(actor, action)]


def _is_allowed(actor: Actor, action: str) -> bool:
    try:
        authorise(actor, action)
    except FarhandError:
        return False
    return True
