"""The corpus: every message with what must come of it.

Messages are made when they are asked for, from the same texts each time, so that the big ones need
no room here.  `written/` holds those that were written by hand, odd byte by odd byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.server.mail.corpus.automatic import automatic
from tests.server.mail.corpus.big import big as big_messages
from tests.server.mail.corpus.encodings import encodings
from tests.server.mail.corpus.hand_written import written
from tests.server.mail.corpus.replies import replies
from tests.server.mail.corpus.threads import threads
from tests.server.mail.corpus.world import Case, World

__all__ = ["messages"]


def messages(world: World | None = None, *, big: bool = True) -> Iterator[Case]:
    """Yield all messages, each name once.

    Args:
        world: whose tickets they are about.
        big: whether those of 30 MB are among them.
    """
    there = world or World()
    yield from replies(there)
    yield from encodings(there)
    yield from automatic(there)
    yield from threads(there)
    yield from written()
    yield from big_messages(there, really=big)
