"""GitHub and GitLab: issues for bugs, which strangers may read.

So what goes there names no person, no device and no ticket of ours beyond a marker, which is an
HTML comment that pages do not show.  `fixed_in` is the milestone's title.

Source: docs.github.com, REST API: Issues, Issue comments; Webhooks: Validating deliveries.
docs.gitlab.com, REST API: Issues, Notes; Webhooks: Issue events.
"""

from __future__ import annotations

import hmac
import urllib.parse
from collections.abc import Mapping
from typing import Any

from farhand_protocol.errors import FarhandError
from farhand_server.connectors.desks import (
    DeskError,
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

__all__ = ["GITHUB_HEADERS", "Github", "Gitlab"]

GITHUB_HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
}
_PER_PAGE = 100
_MAX_PAGES = 20


def _marked(remark: Remark) -> str:
    return f"{remark.text}\n\n<!-- farhand:{remark.marker} -->"


async def _is_there(site: Site, path: str, marker: str) -> bool:
    """Look for a marker in all comments, page by page; the newest are on the last one."""
    for page in range(1, _MAX_PAGES + 1):
        found = await site.ask("GET", f"{path}?per_page={_PER_PAGE}&page={page}")
        comments = found if isinstance(found, list) else []
        if any(marker in str(field_of(one, "body")) for one in comments):
            return True
        if len(comments) < _PER_PAGE:
            return False
    raise DeskError(f"the issue has more than {_PER_PAGE * _MAX_PAGES} comments")


def _is_done(issue: Any) -> bool:
    """Tell whether an issue was closed because it is solved."""
    reason = field_of(issue, "state_reason")
    return field_of(issue, "state") == "closed" and reason not in ("not_planned", "duplicate")


class Github:
    """One repository, `OWNER/NAME`."""

    is_public = True

    def __init__(self, site: Site, *, repository: str) -> None:
        owner, _, name = repository.partition("/")
        self._site = site
        self._repository = repository
        self._path = f"/repos/{quoted(owner)}/{quoted(name)}/issues"

    def _shown(self, issue: Any) -> ForeignTicket:
        return ForeignTicket(
            key=one_line(field_of(issue, "number")),
            title=one_line(field_of(issue, "title")),
            state=one_line(field_of(issue, "state")),
            is_done=_is_done(issue),
            requester=one_line(field_of(issue, "user", "login")),
            url=one_line(field_of(issue, "html_url")),
            fixed_in=one_line(field_of(issue, "milestone", "title"))[:100],
        )

    async def get(self, key: str) -> ForeignTicket:
        """Return an issue."""
        return self._shown(await self._site.ask("GET", f"{self._path}/{quoted(key)}"))

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Add a comment; nothing is internal there."""
        path = f"{self._path}/{quoted(key)}/comments"
        if again and await _is_there(self._site, path, remark.marker):
            return
        await self._site.ask("POST", path, {"body": _marked(remark)})

    async def link(self, key: str, reference: Reference) -> bool:
        """Say that addresses stand in comments only."""
        return False

    async def create(self, draft: Draft) -> ForeignTicket:
        """Open an issue."""
        body = {"title": draft.title, "body": draft.text}
        return self._shown(await self._site.ask("POST", self._path, body))

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Return what became of an issue; closed as not planned is not done."""
        shown = headers.get("x-hub-signature-256", "").encode()
        if not hmac.compare_digest(shown, b"sha256=" + hex_hmac(secret, body).encode()):
            raise FarhandError("hook-refused", "the webhook is not signed with its secret")
        said = read_webhook(body)
        of_ours = one_line(field_of(said, "repository", "full_name")) == self._repository
        if headers.get("x-github-event") != "issues" or not of_ours:
            return []
        issue = field_of(said, "issue")
        found = self._shown(issue)
        event = ForeignEvent(
            key=found.key,
            state=found.state,
            is_done=found.is_done,
            fixed_in=found.fixed_in,
            delivery=one_line(headers.get("x-github-delivery", "")),
        )
        return [event] if found.key else []


class Gitlab:
    """One project, by path or number."""

    is_public = True

    def __init__(self, site: Site, *, project: str) -> None:
        self._site = site
        self._project = project
        self._path = f"/api/v4/projects/{urllib.parse.quote(project, safe='')}/issues"

    def _shown(self, issue: Any) -> ForeignTicket:
        return ForeignTicket(
            key=one_line(field_of(issue, "iid")),
            title=one_line(field_of(issue, "title")),
            state=one_line(field_of(issue, "state")),
            is_done=field_of(issue, "state") == "closed",
            requester=one_line(field_of(issue, "author", "username")),
            url=one_line(field_of(issue, "web_url")),
            fixed_in=one_line(field_of(issue, "milestone", "title"))[:100],
        )

    async def get(self, key: str) -> ForeignTicket:
        """Return an issue."""
        return self._shown(await self._site.ask("GET", f"{self._path}/{quoted(key)}"))

    async def comment(self, key: str, remark: Remark, *, again: bool) -> None:
        """Add a note."""
        path = f"{self._path}/{quoted(key)}/notes"
        if again and await _is_there(self._site, path, remark.marker):
            return
        await self._site.ask("POST", path, {"body": _marked(remark), "internal": remark.internal})

    async def link(self, key: str, reference: Reference) -> bool:
        """Say that addresses stand in notes only."""
        return False

    async def create(self, draft: Draft) -> ForeignTicket:
        """Open an issue."""
        body = {"title": draft.title, "description": draft.text}
        return self._shown(await self._site.ask("POST", self._path, body))

    def verify_webhook(
        self, headers: Mapping[str, str], body: bytes, secret: bytes
    ) -> list[ForeignEvent]:
        """Return what became of an issue; GitLab shows the secret itself, in a header."""
        if not hmac.compare_digest(headers.get("x-gitlab-token", "").encode(), secret):
            raise FarhandError("hook-refused", "the webhook does not show its secret")
        said = read_webhook(body)
        of_ours = self._project in (
            one_line(field_of(said, "project", "path_with_namespace")),
            one_line(field_of(said, "project", "id")),
        )
        if field_of(said, "object_kind") != "issue" or not of_ours:
            return []
        key = one_line(field_of(said, "object_attributes", "iid"))
        state = one_line(field_of(said, "object_attributes", "state"))
        event = ForeignEvent(
            key=key,
            state=state,
            is_done=state == "closed",
            delivery=one_line(headers.get("x-gitlab-event-uuid", "")),
        )
        return [event] if key else []
