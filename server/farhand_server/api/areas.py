"""Which parts make up the application: one `Area` per module, listed here and nowhere else.

To plug in: a module under `api/` ends with `AREA = Area(...)`, and its line goes into `AREAS`.
Everything in it is used by `app.build_app` (routes, statuses) and `app.serve` (start, drain).
"""

from __future__ import annotations

from farhand_server.api import (
    alerts,
    assistant,
    audit,
    care,
    chats,
    checklists,
    contracts,
    desk,
    device_records,
    fleet,
    foundation,
    jump,
    knowledge,
    knowledge_public,
    mail,
    measures,
    notify,
    oidc,
    orders,
    outbox,
    people,
    promises,
    questions,
    recordings,
    rules,
    scripts,
    sessions,
    signing_in,
    telephone,
    ticket_search,
    ticket_steps,
    ticket_work,
    visits,
    webhooks,
)
from farhand_server.api.area import Area

__all__ = ["AREAS"]

AREAS: tuple[Area, ...] = (
    foundation.AREA,
    signing_in.AREA,
    oidc.AREA,
    notify.AREA,
    audit.AREA,
    sessions.AREA,
    recordings.AREA,
    jump.AREA,
    fleet.AREA,
    device_records.AREA,
    orders.AREA,
    scripts.AREA,
    desk.AREA,
    ticket_steps.AREA,
    checklists.AREA,
    ticket_work.AREA,
    ticket_search.AREA,
    promises.AREA,
    chats.AREA,
    telephone.AREA,
    visits.AREA,
    contracts.AREA,
    measures.AREA,
    alerts.AREA,
    mail.AREA,
    outbox.AREA,
    webhooks.AREA,
    rules.AREA,
    knowledge.AREA,
    knowledge_public.AREA,
    questions.AREA,
    assistant.AREA,
    care.AREA,
    people.AREA,
)
