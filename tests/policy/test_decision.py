"""Every rule of the gateway's decision, permitted and refused (security-checklist 4)."""

from typing import Any

import pytest

from smart.gateway.fhir_request import parse, public_url, to_upstream
from smart.policy.decision import Deny, Facts, Permit, decide
from smart.policy.facts import Served
from smart.policy.levels import letters
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.rules import READS
from smart.policy.search_parameters import definitions
from smart.scopes.syntax import parse_scopes

BASE = "https://auth.example/t/mercy/fhir"


def facts(url: str, scope: str = "patient/*.cruds", *, method: str = "GET", **changes) -> Facts:
    path, _, query = url.partition("?")
    values: dict[str, Any] = {
        "request": parse(method, path, query.encode(), []),
        "scopes": parse_scopes(scope),
        "patient": "A",
        "fhir_user": "Practitioner/123",
        "base": BASE,
        "upstream": "http://127.0.0.1:9000/fhir",
        "served": Served(search_params=frozenset(definitions().get(path.split("/")[0], {}))),
    }
    return Facts(**(values | changes))


def denied(url: str, scope: str = "patient/*.cruds", *, method: str = "GET", **changes) -> Deny:
    decision = decide(facts(url, scope, method=method, **changes))
    assert isinstance(decision, Deny), decision
    assert decision.reason.endswith(".")
    return decision


def permitted(url: str, scope: str = "patient/*.cruds", **changes) -> Permit:
    decision = decide(facts(url, scope, **changes))
    assert isinstance(decision, Permit), decision
    return decision


def sent(url: str, scope: str = "patient/*.cruds", **changes) -> str:
    path, query = to_upstream(permitted(url, scope, **changes).request)
    return f"{path}?{query}" if query else path


@pytest.mark.spec("G1")
@pytest.mark.parametrize(
    "url",
    [
        "Patient/B",
        "Observation?patient=B",
        "Observation?patient=A,B",
        "Observation?patient=B,A",
        "Observation?patient=A&patient=B",
        "Observation?patient=B&patient=A",
        "Observation?patient:missing=true",
        "Observation?patient:missing=false",
        "Observation?patient:identifier=A",
        "Observation?patient:not=A",
        "Observation?patient=Patient/B",
        "Observation?patient=A/_history/1",
        "Observation?patient=A%5C,B",
        "Observation?patient=a",
        f"Observation?patient={BASE}/Patient/B",
        "Observation?patient=https://evil.example/Patient/A",
        "Observation?subject=Patient/B",
        "Observation?subject=B",
        "Observation?subject=Group/1,Patient/B",
        "Observation?subject:Patient=B",
        "Observation?subject:Group=Patient/A",
        "Appointment?actor=Patient/B",
        "Coverage?beneficiary=B",
        "Task?subject=Patient/B",
        "Patient?_id=B",
        "Patient?_id=A,B",
        "Patient?_id=A&_id=B",
        "Patient?_id:missing=true",
        "Patient?_id:not=A",
        "Patient?_id=Patient/A",
    ],
)
def test_another_patient_is_refused(url):
    refusal = denied(url)
    assert refusal.status == 403
    assert refusal.issue == "forbidden"
    assert refusal.rule in {"search.patient", "compartment.patient"}


@pytest.mark.spec("G1", "G2")
@pytest.mark.parametrize(
    ("url", "upstream"),
    [
        ("Patient/A", "Patient/A"),
        ("Observation/7", "Observation/7"),
        ("Observation", "Observation?patient=A"),
        ("Observation?patient=A", "Observation?patient=A"),
        ("Observation?patient=Patient/A", "Observation?patient=A"),
        (f"Observation?patient={BASE}/Patient/A", "Observation?patient=A"),
        ("Observation?patient:Patient=A", "Observation?patient=A"),
        ("Observation?subject=Patient/A&patient=A", "Observation?patient=A"),
        ("Observation?patient=A,Patient/A", "Observation?patient=A"),
        ("Observation?subject=Device/1", "Observation?patient=A&subject=Device/1"),
        ("Observation?_id=7", "Observation?patient=A&_id=7"),
        ("Patient", "Patient?_id=A"),
        ("Patient?_id=A", "Patient?_id=A"),
        ("Patient?identifier=mrn%7C12346", "Patient?_id=A&identifier=mrn%7C12346"),
        ("AdverseEvent", "AdverseEvent?subject=Patient/A"),
        ("SupplyRequest", "SupplyRequest?subject=Patient/A"),
        ("Coverage", "Coverage?patient=A"),
        ("Appointment?actor=Practitioner/1", "Appointment?patient=A&actor=Practitioner/1"),
        (
            "Observation?category=a&category=b,c&_sort=-date",
            "Observation?patient=A&category=a&category=b,c&_sort=-date",
        ),
        (
            f"Observation?encounter={BASE}/Encounter/9",
            "Observation?patient=A&encounter=Encounter/9",
        ),
        ("Observation?performer=Patient/B", "Observation?patient=A&performer=Patient/B"),
        ("Observation?_count=1000000", "Observation?patient=A&_count=200"),
        ("Observation?_count=5&_total=accurate", "Observation?patient=A&_count=5"),
        ("Practitioner/1", "Practitioner/1"),
        ("PractitionerRole/1", "PractitionerRole/1"),
        ("Medication/1", "Medication/1"),
    ],
)
def test_what_is_sent_upstream_names_the_patient(url, upstream):
    is_unsized_search = "?" in upstream and "_count" not in upstream
    assert sent(url) == upstream + ("&_count=200" if is_unsized_search else "")


def test_self_link_shows_the_search_that_ran():
    request = permitted("Observation?code=x").request
    assert public_url(BASE, request) == f"{BASE}/Observation?patient=A&code=x&_count=200"


@pytest.mark.spec("GRAN-02", "G15", "G42")
@pytest.mark.parametrize(
    ("scopes", "filters"),
    [
        ("patient/Observation.rs", ""),
        ("patient/Observation.rs?category=lab", "&category=lab"),
        (
            "patient/Observation.rs?category=http://x|lab,http://x|sdoh",
            "&category=http://x%7Clab,http://x%7Csdoh",
        ),
        ("patient/Observation.rs?category=lab&code=1", "&category=lab&code=1"),
        (
            "patient/Observation.s?category=lab patient/Observation.s?category=sdoh",
            "&category=lab,sdoh",
        ),
        (
            "patient/Observation.s?category=lab&code=1 patient/Observation.s?category=sdoh",
            "&category=lab,sdoh",
        ),
        ("patient/Observation.s?category=lab patient/Observation.s?code=1", ""),
        ("patient/Observation.s?category=lab patient/*.s", ""),
        ("patient/Observation.s?category=lab patient/Observation.r", "&category=lab"),
        ("patient/Observation.s?category=lab user/Observation.s", "&category=lab"),
    ],
)
def test_what_granular_scopes_have_in_common_is_sent_upstream(scopes, filters):
    assert sent("Observation?date=gt2020&_count=9", scopes) == (
        f"Observation?patient=A{filters}&date=gt2020&_count=9"
    )


@pytest.mark.spec("G3", "G47")
@pytest.mark.parametrize(
    "url",
    [
        "Observation?patient.name=x",
        "Observation?subject:Patient.name=x",
        "Observation?encounter.service-provider.name=x",
        "Observation?patient.identifier=x",
        "Patient?_has:Observation:patient:code=x",
        "Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=x",
    ],
)
def test_chains_are_refused(url):
    refusal = denied(url)
    assert (refusal.status, refusal.rule) == (403, "search.chain")


@pytest.mark.spec("G5")
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("Observation?_filter=code%20eq%20x", "search.unbounded"),
        ("Observation?_query=x", "search.unbounded"),
        ("Observation?_list=1", "search.unbounded"),
        ("Observation?_text=x", "search.unbounded"),
        ("Observation?_content=x", "search.unbounded"),
        ("Observation?code:in=x", "search.unbounded"),
        ("Observation?code:above=x", "search.unbounded"),
        ("Observation?_sort=password", "search.sort"),
        ("Observation?_sort=date,-unlisted", "search.sort"),
    ],
)
def test_searches_that_cannot_be_bounded_are_refused(url, rule):
    refusal = denied(url)
    assert (refusal.status, refusal.rule, refusal.issue) == (403, rule, "forbidden")


@pytest.mark.spec("G12", "G6")
@pytest.mark.parametrize("url", ["Observation?_contained=both", "Observation?_containedType=x"])
def test_results_that_are_not_offered(url):
    refusal = denied(url)
    assert (refusal.status, refusal.rule) == (400, "search.result")


@pytest.mark.spec("G43", "SCOP-03", "SCOP-04", "SCOP-07", "RSVR-03")
@pytest.mark.parametrize(
    ("scope", "url", "allowed"),
    [
        ("patient/Observation.rs", "Observation/1", True),
        ("patient/Observation.rs", "Observation", True),
        ("patient/Observation.read", "Observation/1", True),
        ("patient/Observation.read", "Observation", True),
        ("patient/Observation.r", "Observation/1", True),
        ("patient/Observation.r", "Observation", False),
        ("patient/Observation.s", "Observation", True),
        ("patient/Observation.s", "Observation/1", False),
        ("patient/Observation.write", "Observation", False),
        ("patient/Observation.cud", "Observation/1", False),
        ("patient/Condition.rs", "Observation/1", False),
        ("patient/Observation.r patient/Observation.s", "Observation", True),
        ("openid fhirUser launch/patient", "Observation/1", False),
        ("", "Observation/1", False),
        ("patient/Observation.rs?category=laboratory", "Observation/1", True),
    ],
)
def test_scope_letters(scope, url, allowed):
    decision = decide(facts(url, scope))
    if allowed:
        assert isinstance(decision, Permit)
        return
    assert isinstance(decision, Deny)
    assert (decision.status, decision.rule) == (403, "scope.covers")
    assert decision.scope == f"patient/Observation.{'r' if '/' in url else 's'}"


@pytest.mark.spec("SCOP-03")
@pytest.mark.parametrize(
    ("method", "url", "scope", "rule"),
    [
        ("POST", "Observation", "patient/Observation.rs", "scope.covers"),
        ("POST", "Observation", "patient/Observation.c", "interaction.offered"),
        ("PUT", "Observation/1", "patient/Observation.c", "scope.covers"),
        ("PUT", "Observation/1", "patient/Observation.u", "interaction.offered"),
        ("PATCH", "Observation/1", "patient/Observation.u", "interaction.offered"),
        ("DELETE", "Observation/1", "patient/Observation.u", "scope.covers"),
        ("DELETE", "Observation/1", "patient/Observation.d", "interaction.offered"),
        ("PUT", "Observation?code=x", "patient/Observation.u", "scope.covers"),
        ("PUT", "Observation?code=x", "patient/Observation.us", "interaction.offered"),
        ("PATCH", "Observation?code=x", "patient/Observation.us", "interaction.offered"),
        ("DELETE", "Observation?code=x", "patient/Observation.d", "scope.covers"),
    ],
)
def test_writes_are_refused_by_name(method, url, scope, rule):
    refusal = denied(url, scope, method=method)
    assert (refusal.status, refusal.rule) == (403, rule)


@pytest.mark.spec("G2", "G17", "G28", "G30")
@pytest.mark.parametrize(
    ("method", "url", "name"),
    [
        ("GET", "", "search-system"),
        ("GET", "?_type=Patient", "search-system"),
        ("POST", "", "batch"),
        ("POST", "_search", "search by POST"),
        ("POST", "Observation/_search", "search by POST of Observation"),
        ("GET", "_history", "history-system"),
        ("GET", "Observation/_history", "history-type of Observation"),
        ("GET", "Observation/1/_history", "history-instance of Observation"),
        ("GET", "Observation/1/_history/1", "vread of Observation"),
        ("GET", "Patient/B/Observation", "compartment search of Observation"),
        ("GET", "Patient/A/*", "compartment search of *"),
        ("GET", "Practitioner/1/*", "compartment search of *"),
        ("POST", "Encounter/1/Observation/_search", "compartment search of Observation"),
        ("GET", "Patient/A/$everything", "operation of $everything"),
        ("POST", "Patient/$match", "operation of $match"),
        ("GET", "$export", "operation of $export"),
        ("POST", "$graphql", "operation of $graphql"),
        ("POST", "Patient/A/_history/1/$meta-add", "operation of $meta-add"),
    ],
)
def test_other_interactions_are_refused_by_name(method, url, name):
    refusal = denied(url, method=method)
    assert (refusal.status, refusal.rule) == (403, "interaction.offered")
    assert refusal.issue == "not-supported"
    assert name in refusal.reason
    assert "search" in refusal.allowed


@pytest.mark.spec("G32", "G2")
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("Group/1", "compartment.type"),
        ("Person/1", "compartment.type"),
        ("AuditEvent/1", "compartment.type"),
        ("Schedule/1", "compartment.type"),
        ("ValueSet/1", "compartment.type"),
        ("Practitioner", "compartment.search"),
        ("Practitioner?name=x", "compartment.search"),
        ("Medication", "compartment.search"),
        ("Group", "compartment.search"),
        ("AuditEvent?patient=A", "compartment.search"),
        ("Binary", "compartment.search"),
        ("Person?patient=A", "compartment.search"),
    ],
)
def test_types_outside_the_record(url, rule):
    refusal = denied(url)
    assert (refusal.status, refusal.rule) == (403, rule)


@pytest.mark.spec("RSVR-13")
@pytest.mark.parametrize("user", ["Practitioner/123", "Person/7", "RelatedPerson/8", "Patient/9"])
def test_own_user_is_readable_with_openid_and_fhir_user(user):
    permit = permitted(user, "openid fhirUser", fhir_user=user, patient=None)
    assert permit.rule == "user.self"
    assert permit.access is not None
    assert permit.access.is_own_user
    assert permit.access.only == tuple(user.split("/"))


@pytest.mark.parametrize(
    ("url", "scope", "user"),
    [
        ("Person/8", "openid fhirUser", "Person/7"),
        ("Person/7", "openid", "Person/7"),
        ("Person/7", "fhirUser", "Person/7"),
        ("Person/7", "openid fhirUser", None),
        ("Person?_id=7", "openid fhirUser", "Person/7"),
        ("Person/7/_history", "openid fhirUser", "Person/7"),
    ],
)
def test_own_user_rule_opens_nothing_else(url, scope, user):
    assert denied(url, scope, fhir_user=user).status == 403


@pytest.mark.spec("G53")
def test_system_scopes_are_not_served():
    refusal = denied("Observation", "system/*.cruds")
    assert (refusal.status, refusal.rule) == (403, "scope.level")
    assert refusal.scope == "patient/Observation.s"


@pytest.mark.spec("G47", "SCOP-15")
@pytest.mark.parametrize("url", ["Observation", "Observation/1", "Practitioner?name=x"])
def test_user_scopes_need_somebody_behind_them(url):
    refusal = denied(url, "user/*.cruds", patient=None)
    assert (refusal.status, refusal.rule) == (403, "context.user")


def test_patient_scopes_need_a_patient():
    refusal = denied("Observation", patient=None)
    assert (refusal.status, refusal.rule) == (403, "context.patient")


@pytest.mark.spec("G48", "RSVR-15")
def test_metadata_is_open():
    permit = permitted("metadata", "", patient=None)
    assert permit.access is None
    assert to_upstream(permit.request) == ("metadata", "")


def test_a_permit_names_its_scopes_and_what_may_come_back():
    permit = permitted(
        "Observation?code=x", "patient/Observation.s patient/Observation.r patient/Condition.rs"
    )
    assert permit.rule == "scope.covers"
    assert "patient/Observation.s" in permit.reason
    assert permit.access is not None
    texts = {name: [one.text for one in found] for name, found in permit.access.scopes.items()}
    assert texts == {"Observation": ["patient/Observation.s"]}
    assert permit.access.only is None
    assert permit.access.patient == "A"


def test_a_refusal_lists_some_of_many_scopes():
    many = " ".join(f"patient/Condition.rs?code=x%7C{n}" for n in range(30))
    assert "and 10 more" in denied("Observation", many).allowed


@pytest.mark.parametrize("interaction", list(FhirInteraction))
def test_nothing_but_reads_search_and_metadata_is_ever_permitted(interaction):
    request = FhirRequest(interaction, "Observation", "1", "1", target_type="Observation")
    served = Served(interactions=frozenset(FhirInteraction))
    decision = decide(facts("Observation", request=request, served=served))
    offered = READS | {FhirInteraction.SEARCH_TYPE, FhirInteraction.CAPABILITIES}
    assert isinstance(decision, Permit) == (interaction in offered)
    if interaction not in offered:
        with pytest.raises(ValueError, match="not sent upstream"):
            to_upstream(request)
    assert len(letters(request)) <= 2
