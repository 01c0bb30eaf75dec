"""What the relay answers about articles, questions and the assistant."""

from __future__ import annotations

import msgspec

from farhand_console.relay.bounds import Count

__all__ = [
    "Article",
    "ArticleLanguage",
    "ArticlePicture",
    "ArticleText",
    "ArticleUse",
    "ArticleView",
    "AssistantAnswer",
    "AssistantTerms",
    "Collection",
    "HandedOver",
    "Hit",
    "KnowledgeSettings",
    "Question",
    "QuestionAnswer",
    "QuestionLine",
    "Received",
    "Reindexed",
    "Waiting",
]


class ArticleLanguage(msgspec.Struct, frozen=True, kw_only=True):
    """An article in one language."""

    language: str
    title: str
    rev: Count
    published_rev: Count | None = None
    stale: bool = False


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """An article."""

    id: str
    slug: str
    title: str
    state: str
    visibility: str
    language: str
    category: str = ""
    owner: str = ""
    review_due: str | None = None
    checks: list[str] = []
    tags: list[str] = []
    languages: list[ArticleLanguage] = []
    useful: Count = 0
    not_useful: Count = 0
    used_in: Count = 0
    updated_at: str = ""
    published_at: str | None = None
    revision: Count = 0


class ArticleText(msgspec.Struct, frozen=True, kw_only=True):
    """One revision in one language."""

    language: str
    rev: Count
    title: str
    body: str
    sha256: str
    author: str
    at: str
    from_rev: Count | None = None
    stale: bool = False


class ArticlePicture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of an article."""

    name: str
    media_type: str
    size_bytes: Count
    sha256: str


class ArticleView(Article, frozen=True, kw_only=True):
    """An article with its words in one language."""

    text: ArticleText
    files: list[ArticlePicture] = []


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """An article that a search found."""

    slug: str
    title: str
    language: str
    snippet: str
    visibility: str = ""
    state: str = ""
    category: str = ""
    score: float = 0.0


class ArticleUse(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket on which an article was used."""

    article: str
    ticket: str
    kind: str
    actor: str
    at: str


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Articles in an order."""

    name: str
    title: str
    description: str
    articles: list[str]
    updated_at: str = ""


class QuestionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A question in a list."""

    number: Count
    title: str
    name: str
    state: str
    at: str
    language: str = ""
    answers: Count = 0


class QuestionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a question."""

    number: Count
    question: Count
    body: str
    name: str
    state: str
    at: str
    staff: bool = False
    accepted: bool = False


class Question(QuestionLine, frozen=True, kw_only=True):
    """A question with its answers."""

    body: str
    said: list[QuestionAnswer] = []


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a question or an answer."""

    number: Count
    waiting: bool


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for the desk."""

    questions: list[QuestionLine]
    answers: list[QuestionAnswer]


class KnowledgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin decided."""

    questions: bool | None = None
    four_eyes: bool | None = None
    languages: list[str] | None = None


class AssistantTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Which assistant answers."""

    mode: str
    url: str = ""
    shape: str = "json"
    model: str = ""
    token_file: str = ""
    timeout_s: Count = 15


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """An article that an answer rests on."""

    slug: str
    title: str
    url: str = ""


class AssistantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the articles say."""

    talk: str
    text: str
    citations: list[Citation]
    source: str
    person: str


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket that a conversation went to."""

    ticket: str


class Reindexed(msgspec.Struct, frozen=True, kw_only=True):
    """How far a new index is."""

    articles: Count
    next: str | None = None
