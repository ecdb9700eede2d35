"""The matrix of strangers: one hospital's ids, tried by everybody of another (T4)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from authfi.accounts import sessions
from tests import fhir_server
from tests.gateway.asgi import Reply
from tests.tenants.houses import CANARY, House, ids_of
from tests.tenants.routes import Attempt
from tests.tenants.strangers import (
    Caller,
    Door,
    absent,
    callers_of,
    comparable,
    difference,
    is_uuid,
    without,
)


class Matrix:
    """The hidden hospital's ids, and the strangers who try them at their own hospital."""

    def __init__(self, hidden: House, own: House, door: Door) -> None:
        self.hidden, self.own, self.door = hidden, own, door
        self.strangers = callers_of(own)
        self.found = ids_of(hidden)
        self.kinds = {"uuids": [name for name, value in self.found.items() if is_uuid(value)]}
        ours = {
            "own_slug": own.tenant.slug,
            "own_base": f"http://localhost:8000/t/{own.tenant.slug}/fhir",
            "own_basic": own.basic,
            "own_token": own.api_token,
        }
        self.foreign, self.absent = {**self.found, **ours}, {**absent(self.found), **ours}

    def told(self, attempt: Attempt) -> list[str]:
        """What a stranger learns from the answers: foreign or absent, or what belongs to others."""
        found = []
        for caller in self.strangers.values():
            foreign = self.door.ask(caller, attempt, self.foreign)
            missing = self.door.ask(caller, attempt, self.absent)
            differs = difference(
                comparable(foreign, self.foreign), comparable(missing, self.absent)
            )
            found += [f"{caller.name}: {attempt}: {differs}"] if differs else []
            leaked = self.leaked(foreign, attempt)
            found += [f"{caller.name}: {attempt} tells {one!r}" for one in leaked]
        return found

    def at_theirs(self, caller: Caller) -> tuple[Caller, Caller]:
        """A stranger at the hidden hospital, and one whose cookie or token was never given out.

        A session's cookie is sent under the hidden hospital's name for it, too.
        """
        made = absent({"cookie": caller.session, "bearer": caller.bearer})
        known = replace(caller, cookies=self._cookies(caller.session))
        unknown = replace(
            caller, cookies=self._cookies(made["cookie"]), bearer=made["bearer"], csrf=caller.csrf
        )
        return known, unknown

    def _cookies(self, session: str) -> tuple[str, ...]:
        slugs = (self.hidden.tenant.slug, self.own.tenant.slug) if session else ()
        return tuple(f"{sessions.cookie_name(slug)}={session}" for slug in slugs)

    def leaked(self, reply: Reply, attempt: Attempt) -> list[str]:
        """Names and ids of the hidden hospital in the answer, apart from those that were sent."""
        sent = [value for kind, value in self.found.items() if f"{{{kind}}}" in str(attempt)]
        text = without(reply.everything, sent)
        hidden = {CANARY, CANARY.lower(), *(one for one in self.found.values() if len(one) > 20)}
        return [one for one in hidden if one.encode() in text]


@contextmanager
def two_hospitals() -> Iterator[Matrix]:
    """Both, each with a FHIR server of its own."""
    with fhir_server.serve() as theirs, fhir_server.serve() as ours:
        door = Door()
        try:
            yield Matrix(House("hidden", CANARY, theirs), House("lakeside", "Osgood", ours), door)
        finally:
            door.close()
