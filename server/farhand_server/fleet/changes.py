"""What changed in an inventory section, and what became of it over several changes.  Pure: no I/O.

A change is two bags of items: what is no longer there as it was (`removed`), and what is there now
(`added`).  Bags add up.  With (R1, A1) and then (R2, A2):

    removed  =  R1 + (R2 - A1)          what was there before the first, and went
    added    =  (A1 - R2) + A2          what came, and is still there

and what stands in both is as it was before: it went and came back, and drops out.  So "what changed
since Monday" is the sum of what was stored since then; nobody compares whole lists.

Only for people are a removed and an added item made one *changed* item: where they have the same
identity.  An item's identity are the values of the fields that name it in its section, as
`IDENTITIES` has them, elsewhere the first of `_NAMING`: the same whatever else there is.
Two with one identity (two versions of one package) are paired in order; who is left over came or
went.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from farhand_protocol.inventory import canonical_json

__all__ = ["IDENTITIES", "Bags", "ItemChange", "changes_between", "identity_of", "net", "paired"]

Item = dict[str, Any]

_IDENTITY_CHARS: Final = 200

IDENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "boot": ("booted_at",),
    "browser_extensions": ("user", "browser", "profile", "id"),
    "certificates": ("store", "subject", "serial"),
    "checks": ("id", "subject"),
    "containers": ("engine", "id"),
    "cpu": ("socket",),
    "crashes": ("at", "program"),
    "databases": ("engine",),
    "devices_pci": ("address",),
    "devices_usb": ("address", "vendor_id", "product_id"),
    "disk_encryption": ("mount", "device"),
    "dns": ("source", "interface"),
    "drivers": ("bus", "address", "name"),
    "editor_extensions": ("user", "editor", "id"),
    "gpus": ("address", "name"),
    "hosts_file": ("address",),
    "language_packages": ("manager", "name", "environment"),
    "licences": ("product", "kind"),
    "listening_ports": ("protocol", "address", "port"),
    "log_summary": ("source",),
    "logical_volumes": ("record", "group", "name"),
    "logins": ("user", "at", "terminal"),
    "memory_modules": ("record", "slot", "bank"),
    "monitors": ("connector",),
    "neighbours": ("address", "interface"),
    "network": ("record", "name", "family", "interface"),
    "proxy": ("source", "scheme"),
    "repositories": ("manager", "name", "url", "suite"),
    "routes": ("family", "destination", "interface"),
    "scheduled_tasks": ("source", "name"),
    "sensors": ("device", "name"),
    "services": ("manager", "name"),
    "sessions": ("user", "terminal", "since"),
    "software": ("source", "name", "arch"),
    "startup": ("source", "name", "user"),
    "update_settings": ("manager",),
    "updates": ("record", "provider", "id", "name", "arch"),
    "usage": ("record", "mount"),
    "virtual_machines": ("engine", "id", "name"),
    "volumes": ("mount",),
    "wifi": ("interface",),
}
# Sections of one item, which stays that one thing whatever it is called.
_ONE_THING: Final = frozenset(
    {"bios", "firmware_security", "locale", "memory", "os", "reboot", "system", "time"}
)
_NAMING: Final = ("id", "name", "path", "mountpoint", "mount", "device", "interface", "user", "key")


class Bags(msgspec.Struct, frozen=True):
    """One change: items that went, items that came; the same item may be in a bag twice."""

    removed: list[Item]
    added: list[Item]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not self.removed and not self.added


class ItemChange(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that came, went, or became another; `before` or `after` is null accordingly."""

    change: str
    identity: str
    before: Item | None
    after: Item | None


def changes_between(before: Sequence[Item], after: Sequence[Item]) -> Bags:
    """Return what turns one list into the other; the order of the items means nothing."""
    old = Counter(canonical_json(item) for item in before)
    new = Counter(canonical_json(item) for item in after)
    return Bags(_take(before, old - new), _take(after, new - old))


def _take(items: Iterable[Item], wanted: Counter[bytes]) -> list[Item]:
    """Return those of the items that are wanted, as often as they are, in their order."""
    taken = []
    left = dict(wanted)
    for item in items if left else ():
        text = canonical_json(item)
        if left.get(text):
            left[text] -= 1
            taken.append(item)
    return taken


def net(changes: Iterable[Bags]) -> Bags:
    """Return the sum of changes, the earliest first."""
    removed: Counter[bytes] = Counter()
    added: Counter[bytes] = Counter()
    items: dict[bytes, Item] = {}
    for one in changes:
        went = Counter(_known(items, one.removed))
        came = Counter(_known(items, one.added))
        removed, added = removed + (went - added), (added - went) + came
    both = removed & added
    return Bags(
        [items[text] for text in (removed - both).elements()],
        [items[text] for text in (added - both).elements()],
    )


def _known(items: dict[bytes, Item], of: Iterable[Item]) -> list[bytes]:
    texts = []
    for item in of:
        text = canonical_json(item)
        items[text] = item
        texts.append(text)
    return texts


def identity_of(section: str, item: Item) -> str:
    """Return what names an item among those of its section, as one line for people and for pairing.

    Where nothing names it, it is its own whole content; a section of one item (system, cpu) has
    no names either, and `paired` sees to that.
    """
    if section in _ONE_THING:
        return ""
    fields = IDENTITIES.get(section, ())
    values = [item.get(field) for field in fields if _names(item.get(field))]
    if not values:
        values = [item[field] for field in _NAMING if _names(item.get(field))][:1]
    return " ".join(str(value) for value in values)[:_IDENTITY_CHARS]


def _names(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def paired(section: str, bags: Bags) -> list[ItemChange]:
    """Return a change as people see it: changed, added, removed, each kind by identity."""
    waiting: dict[str, deque[Item]] = {}
    for item in bags.removed:
        waiting.setdefault(identity_of(section, item), deque()).append(item)
    # One nameless thing that became another (the one item of `system`) is that thing, changed.
    alone = len(bags.removed) == len(bags.added) == 1
    found: list[ItemChange] = []
    for item in bags.added:
        identity = identity_of(section, item)
        same = waiting.get(identity)
        if same and (identity or alone):
            found.append(_change("changed", identity, same.popleft(), item))
        else:
            found.append(_change("added", identity, None, item))
    for identity, items in waiting.items():
        found += [_change("removed", identity, item, None) for item in items]
    order = {"changed": 0, "added": 1, "removed": 2}
    return sorted(found, key=lambda one: (order[one.change], one.identity))


def _change(kind: str, identity: str, before: Item | None, after: Item | None) -> ItemChange:
    return ItemChange(change=kind, identity=identity, before=before, after=after)
