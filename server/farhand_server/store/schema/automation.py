"""What goes out and comes in by itself: webhooks, hooks, rules, other desks, bugs.

Secrets stand here sealed (`accounts.sealing`), and nothing gives them out again.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from farhand_server.store.schema.columns import NUMBER, metadata, tenant

__all__ = [
    "bug_tickets",
    "bugs",
    "connectors",
    "inbound_hooks",
    "rule_firings",
    "rules",
    "seen_deliveries",
    "webhooks",
]

webhooks = Table(
    "webhooks",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # JSON
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("allow_private", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("last_status", Text, nullable=False),  # what its server answered last
    Column("last_at", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="webhooks_key"),
)

inbound_hooks = Table(
    "inbound_hooks",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("purpose", Text, nullable=False),  # messages, alerts
    Column("queue", Text, nullable=False),
    Column("resolves", Boolean, nullable=False),  # the end of an alert resolves its ticket
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("enabled", Boolean, nullable=False),
    Column("last_at", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="inbound_hooks_key"),
)

seen_deliveries = Table(
    "seen_deliveries",
    metadata,
    tenant(),
    Column("source", Text, nullable=False),
    Column("delivery", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "source", "delivery", name="seen_deliveries_key"),
    Index("ix_seen_deliveries_at", "tenant", "at"),
)

rules = Table(
    "rules",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),
    Column("place", Integer, nullable=False),  # they are asked in this order
    Column("event", Text, nullable=False),
    Column("conditions", Text, nullable=False),  # JSON
    Column("actions", Text, nullable=False),  # JSON
    Column("stop", Boolean, nullable=False),  # no later rule is asked once it fired
    Column("enabled", Boolean, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="rules_key"),
    Index("ix_rules_place", "tenant", "place"),
)

rule_firings = Table(
    "rule_firings",
    metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=True),
    tenant(),
    Column("rule", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("event", NUMBER, nullable=False),
    Column("outcome", Text, nullable=False),  # JSON: what each action came to
    Column("at", Text, nullable=False),
    Index("ix_rule_firings_rule", "tenant", "rule", "seq"),
    Index("ix_rule_firings_at", "tenant", "at"),
    Index("ix_rule_firings_newest", "tenant", "seq"),
)

connectors = Table(
    "connectors",
    metadata,
    tenant(),
    Column("name", Text, nullable=False),  # what stands before the colon of an external key
    Column("kind", Text, nullable=False),  # zammad, glpi, jira, github, rt, mail
    Column("base_url", Text, nullable=False),
    Column("options", Text, nullable=False),  # JSON: user, project, queue, ...
    Column("token", LargeBinary, nullable=False),  # sealed
    Column("hook_secret", LargeBinary, nullable=False),  # sealed
    Column("allow_private", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", name="connectors_key"),
)

bugs = Table(
    "bugs",
    metadata,
    tenant(),
    Column("number", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),  # open, fixed, rejected
    Column("fixed_in", Text, nullable=False),
    Column("external_key", Text),  # CONNECTOR:KEY of the issue elsewhere
    Column("external_url", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("looked_at", Text, nullable=False),  # when its issue was asked for last
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "number", name="bugs_key"),
    Index("ix_bugs_external", "tenant", "external_key"),
)

bug_tickets = Table(
    "bug_tickets",
    metadata,
    tenant(),
    Column("bug", Integer, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("linked_by", Text, nullable=False),
    Column("linked_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "bug", "ticket", name="bug_tickets_key"),
    Index("ix_bug_tickets_ticket", "tenant", "ticket"),
)
