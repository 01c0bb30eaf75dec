"""Jira: issues, comments, and remote links, which a `globalId` makes the same one each time.

With a user the token is that of an account (Basic, as Jira Cloud wants it), without one it is a
personal access token (Bearer).  An internal comment is one of Jira Service Management's; where that
is not there, Jira leaves the property alone and everybody on the issue reads it.

Source: developer.atlassian.com, Jira REST API 2: Issues, Issue comments, Issue remote links;
Webhooks (X-Hub-Signature).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any, Final

from farhand_protocol.errors import FarhandError
from farhand_server.connectors.desks import (
    Draft,
    ForeignEvent,
    ForeignTicket,
    Reference,
    Remark,
    Site,
    field_of,
    one_line,
    quoted,
)
from farhand_server.connectors.zammad import read_webhook
from farhand_server.webhooks.signing import hex_hmac

__all__ = ["MAX_GLOBAL_ID_CHARS", "Jira", "jira_authorization"]

MAX_GLOBAL_ID_CHARS: Final = 255


def jira_authorization(user: str, token: str) -> str:
    """Return the header's value."""
    if not user:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


class Jira:
    """One Jira; `project` and `issue_type` are for issues made there."""

    is_public = False

    def __init__(self, site: Site, *, project: str = "", issue_type: str = "Task") -> None:
        self._site = site
        self._project = project
        self._issue_type = issue_type

    def _shown(self, issue: Any) -> ForeignTicket:
        key = one_line(field_of(issue, "key"))
        return ForeignTicket(
            key=key,
            title=one_line(field_of(issue, "fields", "summary")),
            state=one_line(field_of(issue, "fields", "status", "name")),
            is_done=field_of(issue, "fields", "status", "statusCategory", "key") == "done",
            requester=one_line(field_of(issue, "fields", "reporter", "displayName")),
            url=f"{self._site.base_url}/browse/{quoted(key)}" if key else "",
            fixed_in=_versions(issue),
        )

    async def get(self, key: str) -> ForeignTicket:
        """Return an issue."""
        wanted = "fields=summary,status,reporter,fixVersions"
        return self._shown(await self._site.ask("GET", f"/rest/api/2/issue/{quoted(key)}?{wanted}"))

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Add a comment, with the minutes in words: work logs count twice when repeated."""
        path = f"/rest/api/2/issue/{quoted(key)}/comment"
        if again:
            there = await self._site.ask("GET", f"{path}?orderBy=-created&maxResults=100")
            comments = field_of(there, "comments") or []
            if any(remark.marker in str(field_of(one, "body")) for one in comments):
                return
        spent = f"\n\n{remark.minutes} min" if remark.minutes else ""
        body: dict[str, Any] = {"body": f"{remark.text}{spent}\n\n[{remark.marker}]"}
        if remark.internal:
            internal = {"key": "sd.public.comment", "value": {"internal": True}}
            body["properties"] = [internal]
        await self._site.ask("POST", path, body)

    async def link(self, key: str, reference: Reference) -> bool:
        """Make or change the remote link of this `globalId`."""
        body = {
            "globalId": reference.global_id[:MAX_GLOBAL_ID_CHARS],
            "object": {"url": reference.url, "title": reference.title},
        }
        await self._site.ask("POST", f"/rest/api/2/issue/{quoted(key)}/remotelink", body)
        return True

    async def create(self, draft: Draft) -> ForeignTicket:
        """Make an issue."""
        fields = {
            "project": {"key": self._project},
            "summary": draft.title,
            "description": draft.text,
            "issuetype": {"name": self._issue_type},
        }
        made = await self._site.ask("POST", "/rest/api/2/issue", {"fields": fields})
        key = one_line(field_of(made, "key"))
        return ForeignTicket(
            key=key, title=draft.title, url=f"{self._site.base_url}/browse/{quoted(key)}"
        )

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Return which issue changed; done is what its status category says."""
        shown = headers.get("x-hub-signature", "").encode()
        if not hmac.compare_digest(shown, b"sha256=" + hex_hmac(secret, body).encode()):
            raise FarhandError("hook-refused", "the webhook is not signed with its secret")
        issue = field_of(read_webhook(body), "issue")
        found = self._shown(issue)
        event = ForeignEvent(
            key=found.key,
            state=found.state,
            is_done=found.is_done,
            fixed_in=found.fixed_in,
            delivery=one_line(headers.get("x-atlassian-webhook-identifier", "")),
        )
        return [event] if found.key else []


def _versions(issue: Any) -> str:
    versions = field_of(issue, "fields", "fixVersions")
    names = [one_line(field_of(one, "name")) for one in versions or []][:10]
    return ", ".join(one for one in names if one)[:100]
