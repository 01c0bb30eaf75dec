"""The states of an article: one table, no I/O.

    state        submit   publish     withdraw   archive    restore
    draft        review   published   -          archived   -
    review       -        published   draft      archived   -
    published    -        published   draft      archived   -
    archived     -        -           -          -          draft

Publishing what is published shows readers what was edited since.  Readers see an article only while
it is `published`, and of each language only the revision that was published.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from farhand_protocol.errors import FarhandError

__all__ = ["STATES", "VISIBILITIES", "ArticleStep", "State", "Visibility", "next_article_state"]

State = Literal["draft", "review", "published", "archived"]
STATES: Final[tuple[State, ...]] = get_args(State)
ArticleStep = Literal["submit", "publish", "withdraw", "archive", "restore"]
# Who reads what is published: anybody, whoever is signed in, the desk.
Visibility = Literal["public", "customers", "internal"]
VISIBILITIES: Final[tuple[Visibility, ...]] = get_args(Visibility)

_TABLE: Final[dict[State, dict[ArticleStep, State]]] = {
    "draft": {"submit": "review", "publish": "published", "archive": "archived"},
    "review": {"publish": "published", "withdraw": "draft", "archive": "archived"},
    "published": {"publish": "published", "withdraw": "draft", "archive": "archived"},
    "archived": {"restore": "draft"},
}


def next_article_state(state: State, step: ArticleStep) -> State:
    """Return the state after a step.

    Raises:
        FarhandError: `article-state` when the table has no such step.
    """
    after = _TABLE[state].get(step)
    if after is None:
        raise FarhandError("article-state", f"an article that is {state} has no step {step!r}")
    return after
