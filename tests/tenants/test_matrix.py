"""Another hospital's ids are as ids that are not there, on every route and for everybody (T4)."""

import pytest

from tests.cast import PASSWORD
from tests.tenants.matrix import two_hospitals
from tests.tenants.routes import TAKES, Attempt, routes
from tests.tenants.strangers import NOBODY, callers_of, comparable

ROUTES = routes()
#: Ids that no route of ours takes by themselves, or that a FHIR server knows: tried all the same.
INTERNAL = {
    *("tenant", "grant", "invitation", "launch_context", "secret_app", "secret"),
    *("family", "encounter", "observation"),
}


@pytest.fixture(scope="module")
def matrix(database, signing_keys):
    """The hidden hospital and the strangers."""
    with two_hospitals() as made:
        yield made


def test_the_matrix_knows_how_to_try_every_route():
    assert len(ROUTES) > 40
    assert [problem for route in ROUTES if (problem := route.unknown())] == []


@pytest.mark.spec("T4")
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_foreign_ids_are_as_absent_ones(matrix, route):
    before = matrix.hidden.seq()
    told = [line for attempt in route.attempts(matrix.kinds) for line in matrix.told(attempt)]
    assert not told, "\n".join(told)
    assert matrix.hidden.seq() == before


def get(path, **fields):
    return Attempt("GET", f"/t/{{slug}}/{path}", fields)


def post(path, **fields):
    return Attempt("POST", f"/t/{{slug}}/{path}", fields)


AUTHORIZE = {**TAKES["oauth/authorize"][0], "aud": "{base}"}
INTROSPECT = {"Authorization": "{basic}", "token": "{code}"}
API = "/api/v1/tenants/{slug}/healthcare"
#: For each kind of id, who of its own hospital gets something else with it than without.
OWN_USE = {
    "consent_request": ("patient", get("consent/{consent_request}")),
    "authorization": ("patient", get("oauth/authorize/{authorization}")),
    "picking": ("doctor", get("oauth/authorize/{picking}/patient")),
    "picker_page": ("doctor", get("oauth/authorize/{picking}/patient", page="{picker_page}")),
    "posted": (NOBODY, get("oauth/authorize/{posted}")),
    "consent": ("patient", get("account/apps/{consent}/end")),
    "event": ("admin", get("console/audit/{event}")),
    "invitation_handle": (NOBODY, get("invitation/{invitation_handle}")),
    "email": ("admin", get("console/audit", person="{email}")),
    "user": ("admin", get("console/audit", person="{user}")),
    "patient": ("admin", get("console/audit", patient="{patient}")),
    "app": (NOBODY, get("oauth/authorize", **AUTHORIZE)),
    "base": (NOBODY, get("oauth/authorize", **AUTHORIZE)),
    "launch": ("doctor", get("oauth/authorize", **{**AUTHORIZE, "launch": "{launch}"})),
    "access_token": (NOBODY, get("oauth/userinfo", Authorization="Bearer {access_token}")),
    "id_token": (NOBODY, get("oauth/logout", id_token_hint="{id_token}")),
    "api_token": (NOBODY, Attempt("GET", API, {"Authorization": "Bearer {api_token}"})),
    "slug": ("API client", Attempt("GET", API)),
    "basic": (NOBODY, post("oauth/introspect", **INTROSPECT)),
    "refresh_token": (
        NOBODY,
        post(
            "oauth/token",
            grant_type="refresh_token",
            refresh_token="{refresh_token}",
            client_id="{app}",
        ),
    ),
    "code": (NOBODY, post("oauth/token", **TAKES["oauth/token"][2])),
}


@pytest.mark.spec("T4")
def test_another_hospitals_person_is_nobody_here(matrix):
    form = {"email": "{email}", "password": PASSWORD}
    attempt = Attempt("POST", "/t/{own_slug}/login", form)
    nobody = matrix.strangers[NOBODY]
    foreign, missing = (
        comparable(matrix.door.ask(nobody, attempt, ids), ids)
        for ids in (matrix.foreign, matrix.absent)
    )
    assert (foreign[0], foreign) == (200, missing)


@pytest.mark.spec("T4")
def test_each_id_that_was_tried_opens_something_at_home(matrix):
    """Else the matrix would prove nothing. Runs after it where one process runs both."""
    assert set(OWN_USE) | INTERNAL == set(matrix.found)
    ours = Attempt("POST", "/t/{own_slug}/oauth/introspect", TAKES["oauth/introspect"][0])
    assert matrix.door.ask(matrix.strangers[NOBODY], ours, matrix.foreign).status == 200
    at_home = callers_of(matrix.hidden)
    for kind, (who, attempt) in OWN_USE.items():
        other = {**matrix.found, kind: matrix.absent[kind]}
        missing, served = (
            comparable(matrix.door.ask(at_home[who], attempt, ids), ids)
            for ids in (other, matrix.found)
        )
        assert missing != served, (kind, served)
