"""What is promised for a kind of ticket, whatever its queue or contract promises: complaints, say.

A ticket is promised what its kind is; else what its contract says; else what its queue does.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_server.desk.service import get_policy
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["KindPromise", "kind_promises", "promise_of_kind", "set_kind_promise"]

_SETTING: Final = "kind-promises"


class KindPromise(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of ticket, and the service policy of tickets that become one from now on."""

    kind: str
    policy: str


async def kind_promises(c: AsyncConnection, tenant: str) -> list[KindPromise]:
    """Return what is promised by kind; kinds without a promise of their own are left out."""
    kept = await get_setting(c, tenant, _SETTING, dict[str, str], default={})
    return [KindPromise(kind=kind, policy=kept[kind]) for kind in sorted(kept)]


async def promise_of_kind(c: AsyncConnection, tenant: str, kind: str) -> str | None:
    """Return the name of the policy that a kind has of its own; None without one."""
    kept = await get_setting(c, tenant, _SETTING, dict[str, str], default={})
    return kept.get(kind)


async def set_kind_promise(
    c: AsyncConnection, relay: Relay, *, kind: str, policy: str | None, actor: str
) -> list[KindPromise]:
    """Promise something for a kind of ticket; None leaves it to contract and queue again.

    Raises:
        FarhandError: `not-found` for the policy.
    """
    kept = await get_setting(c, relay.tenant, _SETTING, dict[str, str], default={})
    kept.pop(kind, None)
    if policy is not None:
        kept[kind] = (await get_policy(c, relay.tenant, policy)).name
    await set_setting(c, relay, _SETTING, kept, actor)
    return await kind_promises(c, relay.tenant)
