"""Each kind of other desk against a server that answers as its makers publish.

The requests and answers are those of the pages that each test names; no live product was met.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from farhand_protocol.errors import FarhandError
from farhand_server.connectors.desks import (
    DeskError,
    Draft,
    Reference,
    Remark,
    Site,
    one_line,
    quoted,
)
from farhand_server.connectors.github import Github, Gitlab
from farhand_server.connectors.glpi import Glpi
from farhand_server.connectors.jira import Jira, jira_authorization
from farhand_server.connectors.letters import Letters
from farhand_server.connectors.rt import Rt
from farhand_server.connectors.zammad import Zammad
from tests.server.outbox.listening import Asked, Listener, Told, listening, told

REMARK = Remark(text="Remote session of 12 min.\n<b>", marker="ob-abc", minutes=12)
LINK = Reference(url="https://relay/#FH-1", title="Farhand FH-1", global_id="system=x&id=s-1")
SECRET = b"hook secret"


def _paths(listener: Listener) -> list[str]:
    return [f"{one.method} {one.path}" for one in listener.asked]


def _answers(listener: Listener, table: dict[str, Any]) -> None:
    """Answer by `METHOD PATH`, as far as the table's keys begin it; the longest goes first."""

    def answer(asked: Asked) -> Told:
        said = f"{asked.method} {asked.path}"
        for key in sorted(table, key=len, reverse=True):
            if said.startswith(key):
                value = table[key]
                return value if isinstance(value, Told) else told(value)
        return told({"message": "Not Found"}, 404)

    listener.answer = answer


# Zammad: docs.zammad.org/en/latest/api/ticket/index.html, .../articles.html


def _zammad_ticket(number: str = "22019") -> dict[str, Any]:
    return {
        "id": 3,
        "group_id": 1,
        "priority_id": 2,
        "state_id": 4,
        "number": number,
        "title": "Printer is on fire",
        "state": "closed",
        "customer": "nicole.braun@zammad.org",
        "group": "Users",
    }


async def test_zammad_is_asked_by_number_and_told_by_id() -> None:
    async with listening() as listener:
        desk = Zammad(Site(listener.url, {"Authorization": "Token token=t0"}), group="Sales")
        article = {"id": 5, "ticket_id": 3, "body": "[ob-abc]", "internal": True}
        _answers(
            listener,
            {
                "GET /api/v1/tickets/search": [_zammad_ticket()],
                "POST /api/v1/ticket_articles": told(article, 201),
                "GET /api/v1/ticket_articles/by_ticket/3": [article],
                "POST /api/v1/tickets": told(_zammad_ticket("22020"), 201),
            },
        )
        found = await desk.get("22019")
        assert (found.key, found.title, found.state) == ("22019", "Printer is on fire", "closed")
        assert found.requester == found.address == "nicole.braun@zammad.org"
        assert listener.asked[0].headers["authorization"] == "Token token=t0"
        assert "query=number%3A22019" in listener.asked[0].path
        await desk.comment("22019", REMARK, again=False)
        sent = listener.asked[-1].json
        assert (sent["ticket_id"], sent["type"], sent["internal"]) == (3, "note", True)
        assert (sent["time_unit"], sent["content_type"]) == ("12", "text/plain")
        assert "ob-abc" in sent["body"]
        count = len(listener.asked)
        await desk.comment("22019", REMARK, again=True)
        assert _paths(listener)[count:][-1] == "GET /api/v1/ticket_articles/by_ticket/3"
        assert (await desk.create(Draft(title="New", text="words"))).key == "22020"
        assert listener.asked[-1].json["group"] == "Sales"
        assert await desk.link("22019", LINK) is False
        assert not any("/links/add" in path for path in _paths(listener)), "it links tickets only"


async def test_zammad_search_that_finds_another_number_is_no_hit() -> None:
    async with listening() as listener:
        _answers(listener, {"GET /api/v1/tickets/search": [_zammad_ticket("220190")]})
        with pytest.raises(DeskError) as caught:
            await Zammad(Site(listener.url, {})).get("22019")
        assert caught.value.status == 404


def test_zammad_signs_with_sha1() -> None:
    """admin-docs.zammad.org/en/latest/manage/webhook.html"""
    ticket = {**_zammad_ticket(), "state": {"id": 4, "name": "closed"}}
    body = json.dumps({"ticket": ticket, "article": {}}).encode()
    right = "sha1=" + hmac.new(SECRET, body, hashlib.sha1).hexdigest()
    headers = {"x-hub-signature": right, "x-zammad-delivery": "d-1", "x-zammad-trigger": "t"}
    (event,) = Zammad(Site("https://z", {})).verify_webhook(headers, body, SECRET)
    assert (event.key, event.state, event.is_done, event.delivery) == (
        "22019",
        "closed",
        True,
        "d-1",
    )
    for wrong in ("", right[:-1] + "0z", "sha1=" + hmac.new(b"x", body, "sha1").hexdigest()):
        with pytest.raises(FarhandError, match="hook-refused"):
            Zammad(Site("https://z", {})).verify_webhook({"x-hub-signature": wrong}, body, SECRET)


# GLPI: github.com/glpi-project/glpi, apirest.md


async def test_glpi_ends_each_session_it_begins() -> None:
    async with listening() as listener:
        desk = Glpi(Site(listener.url, {}), app_token="app", user_token="user")
        _answers(
            listener,
            {
                "GET /apirest.php/initSession": {
                    "session_token": "83af7e620c83a50a18d3eac2f6ed05a3ca0bea62"
                },
                "GET /apirest.php/killSession": Told(200, b""),
                "GET /apirest.php/Ticket/71": {"id": 71, "name": "A &amp; B", "status": 5},
                "POST /apirest.php/ITILFollowup": told({"id": 15, "message": ""}, 201),
                "GET /apirest.php/Ticket/71/ITILFollowup": [{"id": 15, "content": "[ob-abc]"}],
                "POST /apirest.php/Ticket": told({"id": 72, "message": ""}, 201),
            },
        )
        found = await desk.get("71")
        assert (found.title, found.state) == ("A & B", "solved")
        first, second, third = listener.asked
        assert first.headers["authorization"] == "user_token user"
        assert first.headers["app-token"] == "app"
        assert second.headers["session-token"].startswith("83af")
        assert "authorization" not in second.headers
        assert third.path == "/apirest.php/killSession"
        await desk.comment("71", REMARK, again=False)
        sent = listener.asked[-2].json["input"]
        assert (sent["itemtype"], sent["items_id"], sent["is_private"]) == ("Ticket", 71, 1)
        assert "&lt;b&gt;" in sent["content"], "a followup is HTML"
        assert "12 min" in sent["content"]
        await desk.comment("71", REMARK, again=True)
        assert sum(one.path == "/apirest.php/ITILFollowup" for one in listener.asked) == 1
        assert (await desk.create(Draft(title="New", text="x"))).key == "72"
        with pytest.raises(DeskError):
            await desk.get("99")
        begun = sum(one.path.endswith("/initSession") for one in listener.asked)
        ended = sum(one.path.endswith("/killSession") for one in listener.asked)
        assert begun == ended == 5, "also after a failure"
        for wrong in ("../User/2", "1e3", "", "9" * 20):
            with pytest.raises(DeskError):
                await desk.comment(wrong, REMARK, again=False)
        assert await desk.link("71", LINK) is False
        with pytest.raises(FarhandError, match="hook-refused"):
            desk.verify_webhook({}, b"{}", SECRET)


async def test_glpi_looks_at_the_newest_and_forgives_a_session_that_does_not_end() -> None:
    async with listening() as listener:
        desk = Glpi(Site(listener.url, {}), app_token="", user_token="user")
        _answers(
            listener,
            {
                "GET /apirest.php/initSession": {"session_token": "83af"},
                "GET /apirest.php/killSession": told(["ERROR"], 400),
                "POST /apirest.php/ITILFollowup": told({"id": 15}, 201),
                "GET /apirest.php/Ticket/71/ITILFollowup": [],
            },
        )
        await desk.comment("71", REMARK, again=True)
        (looked,) = [one.path for one in listener.asked if "/Ticket/71/" in one.path]
        assert "order=DESC" in looked
        assert "POST /apirest.php/ITILFollowup" in _paths(listener)


# Jira: developer.atlassian.com/cloud/jira/platform/rest/v2/


def _issue(status: str = "Done", category: str = "done") -> dict[str, Any]:
    return {
        "id": "10002",
        "key": "ED-1",
        "fields": {
            "summary": "Main order flow broken",
            "status": {"name": status, "statusCategory": {"key": category}},
            "reporter": {"displayName": "Mia Krystof"},
            "fixVersions": [{"name": "2.1"}, {"name": "3.0"}],
        },
    }


async def test_jira_links_by_global_id_and_keeps_comments_internal() -> None:
    async with listening() as listener:
        desk = Jira(
            Site(listener.url, {"Authorization": jira_authorization("mia@example.com", "tok")}),
            project="ED",
        )
        _answers(
            listener,
            {
                "GET /rest/api/2/issue/ED-1": _issue(),
                "POST /rest/api/2/issue/ED-1/comment": told({"id": "10000"}, 201),
                "GET /rest/api/2/issue/ED-1/comment": {"comments": [{"body": "x [ob-abc]"}]},
                "POST /rest/api/2/issue/ED-1/remotelink": told({"id": 10000}, 201),
                "POST /rest/api/2/issue": told({"id": "10000", "key": "ED-24"}, 201),
            },
        )
        found = await desk.get("ED-1")
        assert (found.title, found.is_done) == ("Main order flow broken", True)
        assert (found.fixed_in, found.requester) == ("2.1, 3.0", "Mia Krystof")
        basic = base64.b64encode(b"mia@example.com:tok").decode()
        assert listener.asked[0].headers["authorization"] == f"Basic {basic}"
        await desk.comment("ED-1", REMARK, again=False)
        sent = listener.asked[-1].json
        assert sent["properties"] == [{"key": "sd.public.comment", "value": {"internal": True}}]
        assert "12 min" in sent["body"]
        await desk.comment("ED-1", REMARK, again=True)
        assert listener.asked[-1].method == "GET"
        long = Reference(url=LINK.url, title=LINK.title, global_id="system=" + "x" * 400)
        for one in (LINK, LINK, long):
            assert await desk.link("ED-1", one) is True
        assert listener.asked[-3].json == listener.asked[-2].json, "the same link each time"
        assert listener.asked[-2].json["globalId"] == "system=x&id=s-1"
        assert len(listener.asked[-1].json["globalId"]) == 255
        assert (await desk.create(Draft(title="New", text="x"))).key == "ED-24"
    assert jira_authorization("", "pat") == "Bearer pat"


def test_jira_says_done_by_category() -> None:
    """developer.atlassian.com/cloud/jira/platform/webhooks/ (secured webhooks)"""
    desk = Jira(Site("https://j", {}))
    for category, is_done in (("done", True), ("indeterminate", False)):
        body = json.dumps(
            {"webhookEvent": "jira:issue_updated", "issue": _issue("Erledigt", category)}
        ).encode()
        headers = {"x-hub-signature": "sha256=" + hmac.new(SECRET, body, "sha256").hexdigest()}
        (event,) = desk.verify_webhook(headers, body, SECRET)
        assert (event.key, event.is_done, event.state) == ("ED-1", is_done, "Erledigt")
        with pytest.raises(FarhandError, match="hook-refused"):
            desk.verify_webhook(headers, body + b" ", SECRET)


# GitHub: docs.github.com/en/rest/issues/issues, .../comments


def _github_issue(**fields: Any) -> dict[str, Any]:
    return {
        "number": 1347,
        "state": "open",
        "state_reason": None,
        "title": "Found a bug",
        "user": {"login": "octocat"},
        "html_url": "https://github.com/octocat/Hello-World/issues/1347",
        "milestone": {"title": "v1.0"},
        **fields,
    }


async def test_github_carries_a_marker_that_nobody_sees() -> None:
    async with listening() as listener:
        desk = Github(Site(listener.url, {"Authorization": "Bearer t"}), repository="octocat/Hello")
        path = "/repos/octocat/Hello/issues"
        comments: list[dict[str, str]] = [{"body": "Me too"}] * 100
        _answers(
            listener,
            {
                f"GET {path}/1347": _github_issue(),
                f"POST {path}/1347/comments": told({"id": 1}, 201),
                f"GET {path}/1347/comments?per_page=100&page=1": comments,
                f"GET {path}/1347/comments?per_page=100&page=2": [
                    {"body": "x <!-- farhand:ob-abc -->"}
                ],
                f"POST {path}": told(_github_issue(number=1348), 201),
            },
        )
        found = await desk.get("1347")
        assert (found.key, found.is_done, found.fixed_in) == ("1347", False, "v1.0")
        await desk.comment("1347", REMARK, again=False)
        assert listener.asked[-1].json["body"].endswith("<!-- farhand:ob-abc -->")
        await desk.comment("1347", REMARK, again=True)
        assert _paths(listener)[-1].endswith("page=2"), "the marker stood on the second page"
        assert (await desk.create(Draft(title="New", text="x"))).key == "1348"
        assert desk.is_public
        assert await desk.link("1347", LINK) is False


@pytest.mark.parametrize(
    ("reason", "is_done"), [("completed", True), ("not_planned", False), ("duplicate", False)]
)
def test_github_closed_is_not_always_fixed(reason: str, is_done: bool) -> None:
    """docs.github.com/en/webhooks/webhook-events-and-payloads#issues"""
    desk = Github(Site("https://api", {}), repository="octocat/Hello-World")
    said = {
        "action": "closed",
        "issue": _github_issue(state="closed", state_reason=reason),
        "repository": {"full_name": "octocat/Hello-World"},
    }
    body = json.dumps(said).encode()
    headers = {
        "x-github-event": "issues",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-hub-signature-256": "sha256=" + hmac.new(SECRET, body, "sha256").hexdigest(),
    }
    (event,) = desk.verify_webhook(headers, body, SECRET)
    assert (event.key, event.is_done, event.fixed_in) == ("1347", is_done, "v1.0")
    assert desk.verify_webhook({**headers, "x-github-event": "ping"}, body, SECRET) == []
    other = Github(Site("https://api", {}), repository="octocat/Other")
    assert other.verify_webhook(headers, body, SECRET) == [], "a hook of another repository"
    with pytest.raises(FarhandError, match="hook-refused"):
        desk.verify_webhook({**headers, "x-hub-signature-256": ""}, body, SECRET)


def test_github_published_example_of_a_signature() -> None:
    """docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries (test values)"""
    shown = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    desk = Github(Site("https://api", {}), repository="octocat/Hello-World")
    headers = {"x-hub-signature-256": shown}
    secret = b"It's a Secret to Everybody"
    # The signature is right, so it is the body that is not JSON.
    with pytest.raises(FarhandError, match="delivery-malformed"):
        desk.verify_webhook(headers, b"Hello, World!", secret)


# GitLab: docs.gitlab.com/api/issues, docs.gitlab.com/api/notes


async def test_gitlab() -> None:
    async with listening() as listener:
        desk = Gitlab(Site(listener.url, {"PRIVATE-TOKEN": "glpat"}), project="group/app")
        path = "/api/v4/projects/group%2Fapp/issues"
        issue = {
            "iid": 7,
            "title": "Crash",
            "state": "closed",
            "author": {"username": "root"},
            "web_url": "https://gitlab.example.com/group/app/-/issues/7",
            "milestone": {"title": "17.1"},
        }
        _answers(
            listener,
            {
                f"GET {path}/7": issue,
                f"POST {path}/7/notes": told({"id": 302}, 201),
                f"GET {path}/7/notes": [{"body": "<!-- farhand:ob-abc -->"}],
                f"POST {path}": told({**issue, "iid": 8, "state": "opened"}, 201),
            },
        )
        found = await desk.get("7")
        assert (found.is_done, found.fixed_in) == (True, "17.1")
        assert listener.asked[0].headers["private-token"] == "glpat"
        await desk.comment("7", REMARK, again=False)
        assert listener.asked[-1].json["internal"] is True
        await desk.comment("7", REMARK, again=True)
        assert listener.asked[-1].method == "GET"
        assert (await desk.create(Draft(title="New", text="x"))).key == "8"
    said = {
        "object_kind": "issue",
        "project": {"id": 1, "path_with_namespace": "group/app"},
        "object_attributes": {"iid": 7, "state": "closed", "action": "close"},
    }
    body = json.dumps(said).encode()
    headers = {"x-gitlab-token": "hook secret", "x-gitlab-event-uuid": "u-1"}
    (event,) = desk.verify_webhook(headers, body, SECRET)
    assert (event.key, event.is_done, event.delivery) == ("7", True, "u-1")
    with pytest.raises(FarhandError, match="hook-refused"):
        desk.verify_webhook({"x-gitlab-token": "other"}, body, SECRET)


# RT: docs.bestpractical.com/rt/latest/RT/REST2.html


_ATTACHMENTS = "/REST/2.0/ticket/9/attachments?fields=Subject&per_page=100"


async def test_rt_follows_its_own_links_only() -> None:
    async with listening() as listener:
        desk = Rt(Site(listener.url, {"Authorization": "token 1-14-abc"}), queue="General")
        base = f"{listener.url}/REST/2.0/ticket/9"
        ticket = {
            "id": 9,
            "Subject": "My first ticket",
            "Status": "new",
            "Requestor": [{"id": "root@example.com", "type": "user"}],
            "_hyperlinks": [
                {"ref": "self", "type": "ticket", "id": 9, "_url": base},
                {"ref": "correspond", "_url": f"{base}/correspond"},
                {"ref": "comment", "_url": f"{base}/comment"},
            ],
        }
        _answers(
            listener,
            {
                "GET /REST/2.0/ticket/9": ticket,
                "POST /REST/2.0/ticket/9/comment": told(["Comments added"], 201),
                "GET /REST/2.0/ticket/9/attachments": {"items": [{"Subject": "Farhand ob-abc"}]},
                "PUT /REST/2.0/ticket/9": ["Ticket 9 refers to https://relay/#FH-1"],
                "POST /REST/2.0/ticket": told({"id": "20", "type": "ticket"}, 201),
            },
        )
        found = await desk.get("9")
        assert (found.title, found.requester) == ("My first ticket", "root@example.com")
        assert found.address == "root@example.com"
        await desk.comment("9", REMARK, again=False)
        sent = listener.asked[-1]
        assert sent.path == "/REST/2.0/ticket/9/comment"
        assert sent.json["TimeTaken"] == "12", "minutes"
        assert sent.json["Subject"] == "Farhand ob-abc"
        await desk.comment("9", REMARK, again=True)
        assert listener.asked[-1].method == "GET"
        assert await desk.link("9", LINK) is True
        assert listener.asked[-1].json == {"AddRefersTo": LINK.url}, "not in place of others"
        assert (await desk.create(Draft(title="New", text="x"))).key == "20"
        full = {"items": [{"Subject": "screen.png"}] * 100}
        _answers(
            listener,
            {
                "GET /REST/2.0/ticket/9": ticket,
                "GET /REST/2.0/ticket/9/attachments": full,
                f"GET {_ATTACHMENTS}&page=2": {"items": [{"Subject": "Farhand ob-abc"}]},
            },
        )
        await desk.comment("9", REMARK, again=True)
        assert listener.asked[-1].method == "GET", "found behind a full page"
        ticket["_hyperlinks"] = [{"ref": "comment", "_url": "http://127.0.0.1:1/steal"}]
        with pytest.raises(DeskError, match="another server"):
            await desk.comment("9", REMARK, again=False)
        ticket["_hyperlinks"] = []
        with pytest.raises(DeskError, match="does not let us"):
            await desk.comment("9", REMARK, again=False)


# Mail, and what holds for all.


async def test_letters_go_with_their_tag() -> None:
    letters: list[tuple[str, str, str]] = []

    async def post(subject: str, text: str, key: str) -> None:
        letters.append((subject, text, key))

    desk = Letters(post, tag="[Example #{key}]")
    await desk.comment("1234", REMARK, again=False)
    ((subject, text, key),) = letters
    assert (subject, key) == ("[Example #1234]", "ob-abc")
    assert text.endswith("12 min")
    assert (await desk.get("1234")).title == "[Example #1234]"
    assert await desk.link("1234", LINK) is False
    with pytest.raises(DeskError):
        await desk.create(Draft(title="x", text="x"))


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
async def test_what_is_no_success_is_told_with_its_status(status: int) -> None:
    async with listening() as listener:
        listener.answer = lambda asked: Told(status, b"<html>", {"Retry-After": "7"})
        with pytest.raises(DeskError) as caught:
            await Jira(Site(listener.url, {})).get("ED-1")
    assert (caught.value.status, caught.value.retry_after_s) == (status, 7)


@pytest.mark.parametrize("body", [b"<html>", b"[" * 5000, b"\xff", b"{", b"3", b"[]", b'"x"'])
async def test_hostile_answers_are_errors_or_nothing(body: bytes) -> None:
    async with listening() as listener:
        listener.answer = lambda asked: Told(200, body)
        site = Site(listener.url, {})
        for desk in (
            Jira(site), Rt(site), Zammad(site), Github(site, repository="a/b"),
            Glpi(site, app_token="", user_token="u"), Gitlab(site, project="a/b"),
        ):  # fmt: skip
            try:
                found = await desk.get("1")
            except DeskError:
                continue
            assert found.title == "", "nothing was made up"


def test_text_of_other_desks_is_one_line() -> None:
    assert one_line("a\x1b[31m\n\u202e b" + "x" * 900)[:7] == "a [31m "
    assert len(one_line("x" * 5000)) == 200
    assert one_line({"a": 1}) == one_line(None) == one_line(True) == ""
    for wrong in ("", "..", ".", "x" * 81, "a\nb"):
        with pytest.raises(DeskError):
            quoted(wrong)
    assert quoted("a/../b") == "a%2F..%2Fb"
