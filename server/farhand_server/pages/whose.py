"""What somebody sees of tickets on pages: what is hers, also where she is of the desk."""

from __future__ import annotations

from farhand_server.accounts.authorisation import authorise
from farhand_server.api.desk import sight_of
from farhand_server.desk.tickets import Sight
from farhand_server.pages.routing import Reading

__all__ = ["sight_here"]


def sight_here(reading: Reading, action: str) -> Sight:
    """Return what whoever is signed in sees here.

    Raises:
        FarhandError: `not-signed-in`, `not-permitted`.
    """
    actor = reading.visitor.signed_in()
    authorise(actor, action)
    seen = sight_of(actor, action)
    return Sight(seen.name, desk=False, guarded=False, person=seen.person)
