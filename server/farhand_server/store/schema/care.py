"""What is known of people and makers beyond themselves: proofs, referrals, papers, skills, notices.

`erasures` and `erased_tickets` say what was taken out of the desk, when and why; they hold no word
of what it was.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from farhand_server.store.schema.columns import metadata, tenant

__all__ = [
    "address_proofs",
    "erased_tickets",
    "erasures",
    "notice_people",
    "notices",
    "person_merges",
    "referrals",
    "skills",
    "ticket_papers",
]

address_proofs = Table(
    "address_proofs",
    metadata,
    tenant(),
    Column("token_sha256", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("person", Text, nullable=False),  # to whom the address belongs once it is proven
    Column("asked_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "token_sha256", name="address_proofs_key"),
    Index("ix_address_proofs_person", "tenant", "person"),
)

person_merges = Table(
    "person_merges",
    metadata,
    tenant(),
    Column("person", Text, nullable=False),
    Column("survivor", Text, nullable=False),
    Column("merged_by", Text, nullable=False),
    Column("merged_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "person", name="person_merges_key"),
    Index("ix_person_merges_survivor", "tenant", "survivor"),
)

referrals = Table(
    "referrals",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("ticket", Integer, nullable=False),
    Column("vendor", Text, nullable=False),  # an organisation
    Column("contact", Text, nullable=False),  # a person
    Column("rma_no", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("tracking", Text, nullable=False),
    Column("sent_on", Text),
    Column("received_on", Text),
    Column("loaner", Text),  # a device
    Column("outcome", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="referrals_key"),
    Index("ix_referrals_ticket", "tenant", "ticket"),
    Index("ix_referrals_rma", "tenant", "rma_no"),
)

ticket_papers = Table(
    "ticket_papers",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # order, shipment, invoice
    Column("number", Text, nullable=False),
    Column("sought", Text, nullable=False),  # the number as it is searched for
    Column("url", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "ticket", "kind", "sought", name="ticket_papers_key"),
    Index("ix_ticket_papers_sought", "tenant", "sought", "ticket"),
)

skills = Table(
    "skills",
    metadata,
    tenant(),
    Column("account", Text, nullable=False),  # its name
    Column("skill", Text, nullable=False),
    Column("certificate", Text, nullable=False),  # its number; empty for what needs none
    Column("ends_on", Text),  # a day, the last one on which it holds
    Column("noted_by", Text, nullable=False),
    Column("noted_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "account", "skill", name="skills_key"),
    Index("ix_skills_skill", "tenant", "skill", "account"),
    Index("ix_skills_ends", "tenant", "ends_on"),
)

notices = Table(
    "notices",
    metadata,
    tenant(),
    Column("id", Text, nullable=False),
    Column("audience", Text, nullable=False),  # all, group, organisation, people
    Column("target", Text, nullable=False),  # of a group or an organisation
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("source", Text, nullable=False),  # what brought it: a bug's id; empty for a person
    Column("created_by", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("published_at", Text),
    Column("until_at", Text),
    PrimaryKeyConstraint("tenant", "id", name="notices_key"),
    Index("ix_notices_published", "tenant", "published_at"),
    Index("ix_notices_source", "tenant", "source"),
)

notice_people = Table(
    "notice_people",
    metadata,
    tenant(),
    Column("notice", Text, nullable=False),
    Column("person", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "notice", "person", name="notice_people_key"),
)

erasures = Table(
    "erasures",
    metadata,
    tenant(),
    Column("person", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("counts", Text, nullable=False),  # JSON
    Column("erased_by", Text, nullable=False),
    Column("erased_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "person", name="erasures_key"),
)

erased_tickets = Table(
    "erased_tickets",
    metadata,
    tenant(),
    Column("ticket", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("erased_at", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "ticket", name="erased_tickets_key"),
)
