"""kb questions, settings, assistant, ask, reindex: what people ask, and who answers."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from farhand_console.cli.base import Context, command, group, paged
from farhand_console.output import hint, line, say, show_fields, show_table
from farhand_console.relay import segments
from farhand_console.relay.answers import Page
from farhand_console.relay.knowledge import (
    AssistantAnswer,
    AssistantTerms,
    HandedOver,
    KnowledgeSettings,
    Question,
    QuestionAnswer,
    QuestionLine,
    Received,
    Reindexed,
    Waiting,
)
from farhand_protocol.errors import UsageError

__all__ = ["register"]


def register(kb: click.Group) -> None:
    """Add the commands of this file to `farhand kb`."""
    questions = group(kb, "questions", "What people ask in public, where an admin opened it.")
    _register_questions(questions)
    _register_moderation(questions)
    _register_settings(kb)


def _show_questions(items: list[QuestionLine]) -> None:
    rows = [(one.number, one.state, one.title, one.name, one.answers) for one in items]
    show_table(("question", "state", "title", "by", "answers"), rows)


def _show_answers(items: list[QuestionAnswer]) -> None:
    for one in items:
        marks = [one.state] if one.state != "shown" else []
        marks += ["the desk"] if one.staff else []
        marks += ["accepted"] if one.accepted else []
        line("")
        line(f"answer {one.number} to {one.question}  {one.name}  ({', '.join(marks) or 'guest'})")
        for words in one.body.splitlines():
            line("  " + words, 4000)


def _register_questions(questions: click.Group) -> None:
    @command(questions, "list")
    @click.option("--query", "q", help="Words in title or text.")
    @paged
    def list_questions(context: Context, q: str | None, limit: int, cursor: str | None) -> None:
        """List questions that everybody sees, newest first."""
        page = context.relay.get(
            "/knowledge/questions", Page[QuestionLine], q=q, limit=limit, cursor=cursor
        )
        context.show(page, lambda: _show_questions(page.items))

    @command(questions)
    @click.argument("number", type=int)
    def show(context: Context, number: int) -> None:
        """Show a question with every answer, also what waits or was refused."""
        at = segments("knowledge", "moderation", "questions", str(number))
        found = context.relay.get(at, Question)
        context.show(found, lambda: _show_question(found))

    @command(questions)
    @click.argument("title")
    @click.argument("body")
    @click.option("--language", default="en", show_default=True)
    def ask(context: Context, title: str, body: str, language: str) -> None:
        """Ask in public."""
        new = {"title": title, "body": body, "language": language}
        made = context.relay.post("/knowledge/questions", Received, new)
        context.show(made, lambda: _show_received("question", made))

    @command(questions)
    @click.argument("number", type=int)
    @click.argument("body")
    def answer(context: Context, number: int, body: str) -> None:
        """Answer; what the desk says is shown at once."""
        at = segments("knowledge", "questions", str(number), "answers")
        made = context.relay.post(at, Received, {"body": body})
        context.show(made, lambda: _show_received("answer", made))

    @command(questions)
    @click.argument("number", type=int)
    @click.argument("answer", type=int)
    def accept(context: Context, number: int, answer: int) -> None:
        """Say which answer it was."""
        at = segments("knowledge", "questions", str(number), "accept")
        found = context.relay.post(at, Question, {"answer": answer})
        context.show(found, lambda: line(f"{found.number}  {found.state}"))


def _show_received(what: str, made: Received) -> None:
    line(f"{what} {made.number}")
    if made.waiting:
        say("it is shown once somebody of the desk let it through")


def _show_question(found: Question) -> None:
    show_fields({"question": found.number, "title": found.title, "by": found.name})
    show_fields({"state": found.state, "at": found.at})
    for words in found.body.splitlines():
        line("  " + words, 4000)
    _show_answers(found.said)


def _register_moderation(questions: click.Group) -> None:
    @command(questions)
    def waiting(context: Context) -> None:
        """Show what strangers wrote and nobody has looked at."""
        found = context.relay.get("/knowledge/moderation", Waiting)

        def readable() -> None:
            _show_questions(found.questions)
            _show_answers(found.answers)

        context.show(found, readable)

    @command(questions)
    @click.argument("what", type=click.Choice(["question", "answer"]))
    @click.argument("number", type=int)
    @click.argument("decision", type=click.Choice(["show", "refuse"]))
    def decide(context: Context, what: str, number: int, decision: str) -> None:
        """Let a question or an answer be seen, or not."""
        at = segments("knowledge", "moderation", f"{what}s", str(number))
        body = {"decision": decision}
        if what == "question":
            shown = context.relay.post(at, Question, body)
            context.show(shown, lambda: line(f"{shown.number}  {shown.state}"))
        else:
            left = context.relay.post(at, Waiting, body)
            context.show(left, lambda: say(f"{len(left.answers)} answers wait"))


def _register_settings(kb: click.Group) -> None:
    @command(kb)
    @click.option("--questions/--no-questions", default=None, help="Public questions.")
    @click.option("--four-eyes/--two-eyes", default=None, help="Who wrote it does not publish it.")
    @click.option("--languages", help="The organisation's, best first: pt,en.")
    def settings(
        context: Context, questions: bool | None, four_eyes: bool | None, languages: str | None
    ) -> None:
        """Show or change what an admin decides of articles and questions."""
        listed = languages.split(",") if languages is not None else None
        given = {"questions": questions, "four_eyes": four_eyes, "languages": listed}
        body = {name: value for name, value in given.items() if value is not None}
        if body:
            found = context.relay.post("/knowledge/settings", KnowledgeSettings, body)
        else:
            found = context.relay.get("/knowledge/settings", KnowledgeSettings)
        context.show(found, lambda: show_fields(msgspec.to_builtins(found)))

    @command(kb)
    @click.option("--mode", type=click.Choice(["built-in", "http", "off"]))
    @click.option("--url", help="Of one elsewhere, which is sent public articles only.")
    @click.option("--shape", type=click.Choice(["json", "chat-completions"]))
    @click.option("--model")
    @click.option("--token-file", help="NAME.token in the relay's home.")
    @click.option("--timeout", "timeout_s", type=click.IntRange(1, 60), help="Seconds.")
    def assistant(context: Context, /, **options: Any) -> None:
        """Show or change which assistant answers; what is not given stays."""
        found = context.relay.get("/assistant/terms", AssistantTerms)
        given = {name: value for name, value in options.items() if value is not None}
        if given:
            body = msgspec.to_builtins(found) | given
            found = context.relay.post("/assistant/terms", AssistantTerms, body)
        context.show(found, lambda: show_fields(msgspec.to_builtins(found)))

    @command(kb)
    @click.argument("question")
    @click.option("--language", default="", help="That is read best.")
    @click.option("--talk", default="", help="Go on with a conversation.")
    @click.option("--person", is_flag=True, help="Hand the conversation over to people.")
    @click.option("--ticket", default="", help="On this ticket of yours, not on a new one.")
    def ask(
        context: Context, question: str, language: str, talk: str, person: bool, ticket: str
    ) -> None:
        """Ask the articles; with --person a ticket is made of the conversation."""
        if ticket and not person:
            raise UsageError("usage", "--ticket goes with --person")
        body = {"question": question, "language": language, "talk": talk}
        said = context.relay.post("/assistant/ask", AssistantAnswer, body)
        answer = msgspec.to_builtins(said)
        if person:
            at = segments("assistant", "talks", said.talk, "person")
            answer["ticket"] = context.relay.post(at, HandedOver, {"ticket": ticket}).ticket
        context.show(answer, lambda: _show_answer(said, answer.get("ticket")))

    @command(kb)
    def reindex(context: Context) -> None:
        """Make the search index of articles anew."""
        count, after = 0, ""
        while True:
            done = context.relay.post("/knowledge/reindex", Reindexed, {"after": after})
            count += done.articles
            if done.next is None or done.next == after:
                break
            after = done.next
        context.show({"articles": count}, lambda: line(f"{count} articles"))


def _show_answer(said: AssistantAnswer, ticket: str | None) -> None:
    for words in (said.text or "the articles do not say").splitlines():
        line(words, 4000)
    for one in said.citations:
        line(f"  {one.slug}: {one.title}")
    if ticket:
        say(f"people go on with it: {ticket}")
    else:
        hint(f"talk to a person: farhand kb ask --talk {said.talk} --person '...'")
