"""Which other desks there are: kept by name, which stands before the colon of an external key.

    zammad   token                          options: group, customer
    glpi     APP-TOKEN USER-TOKEN           (the first may be left out)
    jira     token                          options: user (Jira Cloud), project, issue_type
    github   token                          options: repository (OWNER/NAME)
    gitlab   token                          options: project
    rt       token                          options: queue
    mail     -                              options: address, tag

Tokens and the secrets of their webhooks are typed once, kept sealed, and never given out.
"""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

import msgspec
from sqlalchemy import RowMapping, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.accounts.sealing import make_sealing
from farhand_server.connectors.desks import Desk, Site
from farhand_server.connectors.github import GITHUB_HEADERS, Github, Gitlab
from farhand_server.connectors.glpi import Glpi
from farhand_server.connectors.jira import Jira, jira_authorization
from farhand_server.connectors.letters import Letters
from farhand_server.connectors.rt import Rt
from farhand_server.connectors.zammad import Zammad
from farhand_server.errors import not_found
from farhand_server.mail.outgoing import queue_mail
from farhand_server.outbox.calling import check_address
from farhand_server.relay import Relay
from farhand_server.store.schema.automation import connectors
from farhand_server.webhooks.endpoints import check_name
from farhand_server.wording import check_line

__all__ = [
    "MAX_CONNECTORS",
    "Connector",
    "NewConnector",
    "Opened",
    "add_connector",
    "find_connector",
    "list_connectors",
    "open_connector",
    "remove_connector",
    "split_key",
]

MAX_CONNECTORS: Final = 50
_MAX_TOKEN_CHARS: Final = 2000
Kind = Literal["zammad", "glpi", "jira", "github", "gitlab", "rt", "mail"]
_OPTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    # kind: options that it must have, and those that it may
    "zammad": ((), ("group", "customer")),
    "glpi": ((), ()),
    "jira": ((), ("user", "project", "issue_type")),
    "github": (("repository",), ()),
    "gitlab": (("project",), ()),
    "rt": ((), ("queue",)),
    "mail": (("address", "tag"), ()),
}


class NewConnector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connector to be; `token` and `hook_secret` are kept sealed."""

    name: str
    kind: Kind
    base_url: str = ""
    options: dict[str, str] = {}
    token: str = ""
    hook_secret: str = ""
    allow_private: bool = False


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """A connector as it is shown."""

    name: str
    kind: str
    base_url: str
    options: dict[str, str]
    allow_private: bool
    enabled: bool
    created_by: str
    created_at: str


class Opened(NamedTuple):
    """A connector ready to be used."""

    connector: Connector
    desk: Desk
    hook_secret: bytes


def split_key(external_key: str) -> tuple[str, str]:
    """Return connector and key of `zammad:12345`; an empty connector where there is none."""
    name, colon, key = external_key.strip().partition(":")
    return (name, key.strip()) if colon and key.strip() else ("", external_key.strip())


async def add_connector(
    c: AsyncConnection, relay: Relay, *, new: NewConnector, actor: str
) -> Connector:
    """Add a connector.

    Raises:
        FarhandError: `invalid`, `url-malformed`, `url-insecure`; `connector-exists`,
            `connector-limit`.
    """
    name = check_name(new.name, "connector")
    must, may = _OPTIONS[new.kind]
    options = {key: check_line(value, f"option {key}") for key, value in new.options.items()}
    if set(must) - set(options) or set(options) - set(must) - set(may):
        wanted = ", ".join((*must, *(f"[{one}]" for one in may))) or "none"
        raise UsageError("invalid", f"the options of {new.kind} are: {wanted}")
    if new.kind == "mail" and "{key}" not in options["tag"]:
        raise UsageError("invalid", "the tag needs {key} where that desk writes its number")
    base_url = "" if new.kind == "mail" else check_address(new.base_url).rstrip("/")
    for secret in (new.token, new.hook_secret):
        if len(secret) > _MAX_TOKEN_CHARS or not secret.isprintable():
            raise UsageError("invalid", "a token is one printable line")
    if new.kind != "mail" and not new.token:
        raise UsageError("invalid", f"{new.kind} needs a token")
    mine = connectors.c.tenant == relay.tenant
    if (await c.scalar(select(func.count()).select_from(connectors).where(mine)) or 0) >= (
        MAX_CONNECTORS
    ):
        raise FarhandError("connector-limit", f"there are {MAX_CONNECTORS} connectors already")
    sealing = relay.service(make_sealing)
    try:
        async with c.begin_nested():
            await c.execute(
                insert(connectors).values(
                    tenant=relay.tenant,
                    name=name,
                    kind=new.kind,
                    base_url=base_url,
                    options=json.dumps(options),
                    token=sealing.seal(new.token.encode(), f"connector {name}"),
                    hook_secret=sealing.seal(new.hook_secret.encode(), f"connector hook {name}"),
                    allow_private=new.allow_private,
                    enabled=True,
                    created_by=actor,
                    created_at=relay.stamp(),
                )
            )
    except IntegrityError as error:
        raise FarhandError("connector-exists", f"there is a connector {name} already") from error
    await relay.audit.append(c, actor=actor, action="connector.add", subject=name)
    return (await open_connector(c, relay, name)).connector


def _connector(row: RowMapping) -> Connector:
    names = [name for name in Connector.__struct_fields__ if name != "options"]
    return Connector(options=json.loads(row["options"]), **{name: row[name] for name in names})


async def list_connectors(c: AsyncConnection, tenant: str) -> list[Connector]:
    """Return all connectors by name; there are at most `MAX_CONNECTORS`."""
    query = select(connectors).where(connectors.c.tenant == tenant).order_by(connectors.c.name)
    return [_connector(row) for row in (await c.execute(query)).mappings()]


async def find_connector(c: AsyncConnection, tenant: str, name: str) -> Connector | None:
    """Return a connector that is on, or None."""
    row = await _row(c, tenant, name) if name else None
    return _connector(row) if row is not None and row["enabled"] else None


async def _row(c: AsyncConnection, tenant: str, name: str) -> RowMapping | None:
    query = select(connectors).where(connectors.c.tenant == tenant, connectors.c.name == name)
    return (await c.execute(query)).mappings().first()


async def open_connector(c: AsyncConnection, relay: Relay, name: str) -> Opened:
    """Return a connector with its desk, ready to be asked.

    Raises:
        FarhandError: `not-found`, `sealed-unreadable`.
    """
    row = await _row(c, relay.tenant, name)
    if row is None:
        raise not_found("connector", name)
    sealing = relay.service(make_sealing)
    token = sealing.open(row["token"], f"connector {name}").decode()
    secret = sealing.open(row["hook_secret"], f"connector hook {name}")
    connector = _connector(row)
    return Opened(connector, _desk(relay, connector, token), secret)


def _desk(relay: Relay, connector: Connector, token: str) -> Desk:
    options = connector.options

    def site(headers: dict[str, str]) -> Site:
        return Site(connector.base_url, headers, allow_private=connector.allow_private)

    if connector.kind == "zammad":
        return Zammad(site({"Authorization": f"Token token={token}"}), **options)
    if connector.kind == "glpi":
        app_token, _, user_token = token.rpartition(" ")
        return Glpi(site({}), app_token=app_token.strip(), user_token=user_token)
    if connector.kind == "jira":
        user = options.get("user", "")
        rest = {name: value for name, value in options.items() if name != "user"}
        return Jira(site({"Authorization": jira_authorization(user, token)}), **rest)
    if connector.kind == "github":
        headers = {**GITHUB_HEADERS, "Authorization": f"Bearer {token}"}
        return Github(site(headers), repository=options["repository"])
    if connector.kind == "gitlab":
        return Gitlab(site({"PRIVATE-TOKEN": token}), project=options["project"])
    if connector.kind == "rt":
        return Rt(site({"Authorization": f"token {token}"}), **options)

    async def post(subject: str, text: str, key: str) -> None:
        async with relay.db.write() as c:
            await queue_mail(
                c, relay, to=[options["address"]], subject=subject, text=text,
                key=f"connector {key}",
            )  # fmt: skip

    return Letters(post, tag=options["tag"])


async def remove_connector(c: AsyncConnection, relay: Relay, *, name: str, actor: str) -> None:
    """Remove a connector; the keys of its tickets stay as they are.

    Raises:
        FarhandError: `not-found`.
    """
    gone = await c.execute(
        delete(connectors).where(connectors.c.tenant == relay.tenant, connectors.c.name == name)
    )
    if gone.rowcount != 1:
        raise not_found("connector", name)
    await relay.audit.append(c, actor=actor, action="connector.remove", subject=name)
