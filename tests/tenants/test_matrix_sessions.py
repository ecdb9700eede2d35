"""A session or token of one hospital is worth nothing at another's pages (T4, K9)."""

from dataclasses import replace

import pytest

from smart.server import lane
from tests.api.conftest import platform
from tests.cast import a_person, sign_in
from tests.server.conftest import Flow
from tests.tenants.matrix import two_hospitals
from tests.tenants.routes import Attempt, routes
from tests.tenants.strangers import comparable

__all__ = ["platform"]

#: Pages of the tenants; machine endpoints know no sessions.
PAGES = [
    route
    for route in routes()
    if route.is_of_tenant and lane._find(f"/t/mercy/{route.pattern}") is None
]
#: What an address alone opens, for whoever comes first: both callers would find it differently.
FIRST_COME = {"posted"}


@pytest.fixture(scope="module")
def matrix(database, signing_keys):
    """The hidden hospital and the strangers, an operator of the platform among them."""
    with two_hospitals() as made:
        yield made


def at_theirs(route, kinds):
    """The requests with the hidden hospital's own ids, at its own address."""
    kinds = {"uuids": [kind for kind in kinds["uuids"] if kind not in FIRST_COME]}
    found = list(route.attempts(kinds)) or [Attempt("GET", f"/t/{{own_slug}}/{route.pattern}")]
    for attempt in found:
        if attempt.method == "GET" or route.parameters:
            yield replace(attempt, path=attempt.path.replace("{own_slug}", "{slug}"))


@pytest.mark.spec("T4", "K9")
@pytest.mark.parametrize("route", PAGES, ids=str)
def test_a_session_of_ours_is_at_their_pages_as_one_of_nobody(matrix, route):
    for caller in matrix.strangers.values():
        if route.parameters and not caller.session:
            continue  # pages know no bearers; those that do have no ids in their paths
        pair = matrix.at_theirs(caller)
        for attempt in at_theirs(route, matrix.kinds):
            ours, nobodys = (
                comparable(matrix.door.ask(who, attempt, matrix.foreign), matrix.foreign)
                for who in pair
            )
            assert ours == nobodys, f"{caller.name}: {attempt}"


@pytest.mark.spec("T4", "T6")
def test_an_operators_session_opens_no_hospitals_console(matrix, platform):
    operator = a_person(platform, "operator")
    flow = Flow(platform)
    sign_in(flow.client, operator)
    page = flow.client.get("/t/platform/console")
    assert page.status_code == 200
    cookie = flow.client.cookies["authfi_platform"].value
    known = matrix.at_theirs(replace(matrix.strangers["admin"], cookies=(f"x={cookie}",)))
    for path in ("console", "console/audit", "console/audit/{event}"):
        attempt = Attempt("GET", f"/t/{{slug}}/{path}")
        ours, nobodys = (
            comparable(matrix.door.ask(who, attempt, matrix.foreign), matrix.foreign)
            for who in known
        )
        assert ours == nobodys
        assert ours[0] == 302


@pytest.mark.spec("T4", "K9")
def test_the_same_session_opens_its_own_pages(matrix):
    """Else the rest would prove nothing."""
    for name, page in (("patient", "account"), ("admin", "console/audit")):
        attempt = Attempt("GET", f"/t/{{own_slug}}/{page}")
        known, unknown = matrix.at_theirs(matrix.strangers[name])
        assert matrix.door.ask(known, attempt, matrix.foreign).status == 200
        assert matrix.door.ask(unknown, attempt, matrix.foreign).status == 302
