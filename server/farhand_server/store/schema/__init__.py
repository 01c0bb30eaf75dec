"""The relay's tables, one definition for SQLite and PostgreSQL, one module for each area.

Every row belongs to a tenant, and every key begins with it.  Times are RFC 3339 text in UTC, so
that both databases keep and sort them alike.  Sealed statements (envelopes) are kept as the exact
bytes that were signed.  `*_events`, `ticket_messages` and `audit` are append-only: code that
updates or deletes a row there is a bug, and a test looks for it.
"""

from farhand_server.store.schema.accounts import (
    accounts,
    api_tokens,
    idempotency_keys,
    jump_keys,
    tenants,
)
from farhand_server.store.schema.alerts import alerts, maintenance
from farhand_server.store.schema.audit import audit
from farhand_server.store.schema.care import (
    address_proofs,
    erased_tickets,
    erasures,
    notice_people,
    notices,
    person_merges,
    referrals,
    skills,
    ticket_papers,
)
from farhand_server.store.schema.columns import metadata
from farhand_server.store.schema.desk import (
    queues,
    ticket_events,
    ticket_links,
    ticket_messages,
    ticket_participants,
    tickets,
    time_entries,
)
from farhand_server.store.schema.devices import (
    device_heads,
    device_hints,
    device_merges,
    device_products,
    device_tags,
    devices,
    dismissed_duplicates,
    enrolment_tokens,
)
from farhand_server.store.schema.inventory import (
    check_states,
    device_numbers,
    package_versions,
    packages,
    section_changes,
    sections,
    software_index,
    software_moves,
)
from farhand_server.store.schema.knowledge import (
    article_collection_items,
    article_collections,
    article_files,
    article_languages,
    article_tags,
    article_texts,
    article_uses,
    article_votes,
    article_words,
    articles,
    assistant_talks,
    assistant_turns,
    question_answers,
    questions,
)
from farhand_server.store.schema.orders import (
    campaign_counts,
    campaign_rings,
    campaign_slots,
    campaigns,
    order_events,
    orders,
)
from farhand_server.store.schema.probes import relay_probes
from farhand_server.store.schema.recordings import recording_chunks, recordings
from farhand_server.store.schema.service import calendars, service_policies
from farhand_server.store.schema.sessions import (
    grant_approvals,
    nameplates,
    session_events,
    session_members,
    sessions,
    waiting_grants,
)
from farhand_server.store.schema.trust import (
    scripts,
    trust_metadata,
    trust_targets,
)

__all__ = [
    "accounts",
    "address_proofs",
    "alerts",
    "api_tokens",
    "article_collection_items",
    "article_collections",
    "article_files",
    "article_languages",
    "article_tags",
    "article_texts",
    "article_uses",
    "article_votes",
    "article_words",
    "articles",
    "assistant_talks",
    "assistant_turns",
    "audit",
    "calendars",
    "campaign_counts",
    "campaign_rings",
    "campaign_slots",
    "campaigns",
    "check_states",
    "device_heads",
    "device_hints",
    "device_merges",
    "device_numbers",
    "device_products",
    "device_tags",
    "devices",
    "dismissed_duplicates",
    "enrolment_tokens",
    "erased_tickets",
    "erasures",
    "grant_approvals",
    "idempotency_keys",
    "jump_keys",
    "maintenance",
    "metadata",
    "nameplates",
    "notice_people",
    "notices",
    "order_events",
    "orders",
    "package_versions",
    "packages",
    "person_merges",
    "question_answers",
    "questions",
    "queues",
    "recording_chunks",
    "recordings",
    "referrals",
    "relay_probes",
    "scripts",
    "section_changes",
    "sections",
    "service_policies",
    "session_events",
    "session_members",
    "sessions",
    "skills",
    "software_index",
    "software_moves",
    "tenants",
    "ticket_events",
    "ticket_links",
    "ticket_messages",
    "ticket_papers",
    "ticket_participants",
    "tickets",
    "time_entries",
    "trust_metadata",
    "trust_targets",
    "waiting_grants",
]
