"""Through the front door with the token of John Doe's app: his record, and nobody else's."""

import pytest

from tests.gateway.asgi import call

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
BATCH = b'{"resourceType":"Bundle","type":"batch","entry":[]}'


@pytest.fixture
def john(hospital):
    """A token for everything of Patient/789."""
    return hospital.token()


@pytest.fixture
def writer(hospital):
    """A token with every letter of Patient/789's scopes."""
    return hospital.token("patient/*.cruds")


@pytest.mark.spec("RSVR-01", "RSVR-14", "G35", "G50")
def test_the_patient_in_context_is_read(hospital, john):
    reply = hospital.ask("/Patient/789", john)
    assert reply.status == 200
    assert (reply.json["resourceType"], reply.json["id"]) == ("Patient", "789")
    assert reply.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["vary"] == "Authorization, Origin"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "server" not in reply.headers
    assert "set-cookie" not in reply.headers


@pytest.mark.spec("RSVR-14")
def test_an_encounter_of_the_patient_is_read(hospital, john):
    assert hospital.ask("/Encounter/enc-789-1", john).json["id"] == "enc-789-1"


@pytest.mark.spec("RSVR-06", "G2", "G15", "G35")
def test_a_search_finds_the_patients_own(hospital, john):
    reply = hospital.ask("/Condition", john)
    assert reply.ids()
    for entry in reply.json["entry"]:
        assert entry["resource"]["subject"]["reference"] == "Patient/789"
        kind, number = entry["resource"]["resourceType"], entry["resource"]["id"]
        base = f"http://localhost:8000/t/{hospital.tenant.slug}/fhir"
        assert entry["fullUrl"] == f"{base}/{kind}/{number}"
    assert reply.json["total"] == len(reply.ids())
    assert reply.json["link"] == [
        {"relation": "self", "url": f"{base}/Condition?patient=789&_count=200"}
    ]


@pytest.mark.spec("RSVR-08", "G34", "G15")
def test_a_page_that_is_not_the_last_says_so_and_shows_no_link_of_the_upstream(hospital, john):
    reply = hospital.ask("/Observation?_count=3", john)
    assert len(reply.ids()) == 3
    assert "total" not in reply.json
    assert [link["relation"] for link in reply.json["link"]] == ["self"]
    warning = reply.json["entry"][-1]
    assert warning["search"] == {"mode": "outcome"}
    assert warning["resource"]["issue"][0]["code"] == "incomplete"


@pytest.mark.spec("G37")
def test_head_is_get_without_its_body(hospital, john):
    full, head = (
        hospital.ask("/Patient/789", john),
        hospital.ask("/Patient/789", john, method="HEAD"),
    )
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert hospital.event(head).code == "fhir.read.allow"


def test_header_names_compare_without_case(hospital):
    token = hospital.token()
    for name, scheme in (("AUTHORIZATION", "bEARER"), ("Authorization", "BEARER ")):
        reply = hospital.ask("/Patient/789", headers={name: f"{scheme} {token}"})
        assert reply.status == 200


# What another patient's record looks like from here -------------------------------------------


@pytest.mark.spec("G1", "RSVR-06", "SCOP-14")
@pytest.mark.parametrize("number", ["456", "790", "no-such-patient"])
def test_another_patient_is_403_whether_there_or_not(hospital, john, number):
    reply = hospital.ask(f"/Patient/{number}", john)
    text = reply.outcome(403, "forbidden")
    assert text == "This token is for another patient. Allowed is Patient/789."
    assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]
    assert hospital.event(reply).rule == "compartment.patient"


@pytest.mark.spec("G13", "RSVR-06")
@pytest.mark.parametrize(
    "path", ["Observation/{obs}", "Encounter/enc-790-1", "RelatedPerson/rel-790", "Binary/{binary}"]
)
def test_anothers_resource_is_the_404_of_one_that_is_absent(hospital, john, sandbox, path):
    obs = sandbox.search("Observation", ("patient", "790"), ("_count", "1")).ids()[0]
    path = path.format(obs=obs.partition("/")[2], binary="x")
    foreign = hospital.ask(f"/{path}", john)
    absent = hospital.ask("/Observation/absent-from-the-server", john)
    assert foreign.outcome(404, "not-found") == "There is no such resource."
    assert foreign.body == absent.body
    same = {name: value for name, value in absent.headers.items() if name != "x-request-id"}
    assert same.items() <= foreign.headers.items()


@pytest.mark.spec("G1", "G2", "RSVR-06")
@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("Observation?patient=790", "search.patient"),
        ("Observation?patient=Patient/790", "search.patient"),
        ("Observation?subject=Patient/790", "search.patient"),
        ("Observation?subject:Patient=790", "search.patient"),
        ("Observation?patient=789,790", "search.patient"),
        ("Observation?patient=789&patient=790", "search.patient"),
        ("Observation?patient:not=789", "search.patient"),
        ("Observation?patient:missing=true", "search.patient"),
        ("Observation?patient:identifier=12346", "search.patient"),
        (
            "Observation?patient=http://localhost:8000/t/elsewhere/fhir/Patient/789",
            "search.patient",
        ),
        ("Patient?_id=790", "search.patient"),
        ("Patient?_id=789,790", "search.patient"),
        ("Observation?patient.name=Jane", "search.chain"),
        ("Observation?subject:Patient.name=Jane", "search.chain"),
        ("Observation?encounter.subject.name=Jane", "search.chain"),
        ("Patient?_has:Observation:patient:code=1234-5", "search.chain"),
        ("Observation?_filter=code%20eq%20x", "search.unbounded"),
        ("Observation?_query=mine", "search.unbounded"),
        ("Observation?_list=x", "search.unbounded"),
        ("Observation?_text=Jane", "search.unbounded"),
        ("Observation?_content=Jane", "search.unbounded"),
        ("Observation?code:in=http://x/vs", "search.unbounded"),
        ("Observation?code:above=x", "search.unbounded"),
        ("Observation?_sort=narrative", "search.sort"),
        ("Observation?_count=0", "search.count"),
    ],
)
def test_searches_that_could_reach_another_patient_are_403(hospital, john, query, rule):
    reply = hospital.ask(f"/{query}", john)
    reply.outcome(403, "forbidden")
    seen = hospital.event(reply)
    assert (seen.rule, seen.outcome, seen.code) == (rule, "denied", "fhir.search.deny")


@pytest.mark.spec("G2")
@pytest.mark.parametrize(
    "query", ["birthdate=1982-11-05", "name=Jan", "family=Doe", "gender=female"]
)
def test_a_patient_search_finds_nobody_else(hospital, john, query):
    reply = hospital.ask(f"/Patient?{query}", john)
    assert set(reply.ids()) <= {"Patient/789"}
    assert reply.json["total"] == len(reply.ids())


@pytest.mark.spec("G4", "G14", "G15", "RSVR-08")
@pytest.mark.parametrize(
    "query",
    [
        "_include=Observation:subject",
        "_include=*",
        "_include:iterate=Observation:encounter",
        "_revinclude=Provenance:target",
        "_revinclude=Observation:focus",
        "_elements=code",
        "_summary=text",
        "_summary=count",
        "_contained=both",
        "_containedType=contained",
    ],
)
def test_shaped_results_are_400(hospital, john, query):
    hospital.ask(f"/Observation?{query}", john).outcome(400, "not-supported")


@pytest.mark.spec("G6")
@pytest.mark.parametrize(
    "query", ["frobnicate=1", "code:fuzzy=x", "_getpages=77", "patient:Starship=1"]
)
@pytest.mark.parametrize("prefer", ["handling=strict", "handling=lenient"])
def test_unknown_parameters_are_400_never_dropped(hospital, john, query, prefer):
    reply = hospital.ask(f"/Observation?{query}", john, headers={"Prefer": prefer})
    reply.outcome(400, "not-supported")
    assert hospital.event(reply).rule == "request.grammar"


# Paths ----------------------------------------------------------------------------------------


@pytest.mark.spec("G8", "G9")
@pytest.mark.parametrize(
    "path",
    [
        "/Patient/..%2f790",
        "/Patient/..%2fPatient%2f790",
        "/Patient/%2e%2e/Patient/790",
        "/Patient/789/../790",
        "/Patient/../Patient/790",
        "/Patient/..;/790",
        "/Patient/789;x=1",
        "//Patient/789",
        "/Patient//789",
        "/Patient/789/",
        "/Patient/",
        "/Patient/789%00",
        "/Patient/789%0a",
        "/Patient/789%0d%0aX-Injected:%201",
        "/Patient/%2537%2538%2539",
        "/Patient/%252e%252e",
        "/Patient/.",
        "/Patient/..",
        "/Patient/789\\",
        "/Patient/789%5c..",
        "/Patient%2f789",
        "/Patient/789%",
        "/Patient/7%zz",
        "/Patient/%ff",
        "/Patient/\u0437",
        "%2fPatient/789",
        "/Patient/" + "9" * 65,
    ],
)
def test_paths_outside_the_grammar_are_400(hospital, john, path):
    hospital.ask(path, john).outcome(400, "invalid")


@pytest.mark.spec("G10")
@pytest.mark.parametrize(
    "path",
    ["/patient/789", "/PATIENT/789", "/Starship/1", "/admin", "/.well-known", "/Patient/789/x/y"],
)
def test_paths_that_are_no_fhir_url_are_404(hospital, john, path):
    hospital.ask(path, john).outcome(404, "not-found")


def test_an_encoded_id_is_the_same_id(hospital, john):
    assert hospital.ask("/Patient/%37%38%39", john).json["id"] == "789"
    assert hospital.ask("/Patient/7%390", john).status == 403


def test_an_encoded_base_is_not_taken_for_a_path_below_it(hospital, john):
    """The server decodes the path to find the tenant; what was encoded is still refused."""
    raw = f"/t/{hospital.tenant.slug}/%66hir/Patient/789".encode()
    headers = [(b"authorization", b"Bearer " + john.encode())]
    hospital.run(call("GET", raw, headers=headers)).outcome(400, "invalid")


@pytest.mark.spec("G8")
def test_a_path_cannot_climb_to_another_tenant(hospital, clinic):
    token = hospital.token()
    reply = hospital.ask(f"/../../{clinic.tenant.slug}/fhir/Patient/456", token)
    reply.outcome(400, "invalid")


def test_a_long_url_is_414(hospital, john):
    reply = hospital.ask("/Patient?name=" + "x" * 9000, john)
    reply.outcome(414, "too-long")


# Interactions -----------------------------------------------------------------------------------


@pytest.mark.spec("G16", "G17", "G18", "G19", "G28", "G30", "G31", "RSVR-11")
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/Observation", "create"),
        ("PUT", "/Patient/789", "update"),
        ("PATCH", "/Patient/789", "patch"),
        ("DELETE", "/Observation/1", "delete"),
        ("PUT", "/Observation?code=1", "conditional update"),
        ("PATCH", "/Observation?code=1", "conditional patch"),
        ("DELETE", "/Observation?code=1", "conditional delete"),
        ("POST", "/", "batch"),
        ("POST", "", "batch"),
        ("GET", "", "search-system"),
        ("GET", "/?_type=Patient", "search-system"),
        ("POST", "/_search", "search by POST"),
        ("POST", "/Observation/_search", "search by POST"),
        ("GET", "/_history", "history-system"),
        ("GET", "/Patient/_history", "history-type"),
        ("GET", "/Patient/789/_history", "history-instance"),
        ("GET", "/Patient/789/_history/1", "vread"),
        ("GET", "/Patient/789/$everything", "operation of $everything"),
        ("POST", "/Patient/789/$everything", "operation of $everything"),
        ("GET", "/Patient/790/$everything", "operation of $everything"),
        ("GET", "/Patient/$everything", "operation of $everything"),
        ("GET", "/$graphql", "operation of $graphql"),
        ("POST", "/Patient/$match", "operation of $match"),
        ("GET", "/$export", "operation of $export"),
        ("GET", "/Patient/789/Observation", "compartment search of Observation"),
        ("GET", "/Patient/790/Observation", "compartment search of Observation"),
        ("GET", "/Encounter/enc-790-1/Observation", "compartment search of Observation"),
        ("GET", "/Patient/789/*", "compartment search of *"),
        ("GET", "/Practitioner/123/*", "compartment search of *"),
    ],
)
def test_interactions_not_offered_are_refused_by_name(hospital, writer, method, path, name):
    reply = hospital.ask(path, writer, method=method)
    text = reply.outcome(403, "not-supported")
    assert name in text
    assert hospital.event(reply).outcome == "denied"


@pytest.mark.spec("G19", "G21", "RSVR-09")
def test_a_batch_is_refused_whatever_it_holds(hospital, writer):
    entry = b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"url":"../x"}}]}'
    headers = {"Content-Type": "application/fhir+json"}
    for body in (BATCH, entry, b"\xff", b""):
        reply = hospital.ask("/", writer, method="POST", headers=headers, body=body)
        assert "batch" in reply.outcome(403, "not-supported")


@pytest.mark.spec("G7")
def test_a_search_by_post_cannot_disagree_with_its_url(hospital, john):
    reply = hospital.ask(
        "/Observation/_search?patient=789",
        john,
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=b"patient=790",
    )
    reply.outcome(403, "not-supported")


@pytest.mark.spec("G32", "RSVR-19")
@pytest.mark.parametrize(
    "path", ["Group/1", "Person/1", "AuditEvent/1", "Bundle/1", "Subscription/1"]
)
def test_types_outside_every_compartment_are_403(hospital, john, path):
    reply = hospital.ask(f"/{path}", john)
    reply.outcome(403, "forbidden")
    assert hospital.event(reply).rule == "compartment.type"


@pytest.mark.spec("G32", "RSVR-19", "SCOP-12", "SCOP-20")
@pytest.mark.parametrize(
    "kind", ["Practitioner", "PractitionerRole", "Organization", "Location", "Medication"]
)
def test_the_read_list_is_read_by_id_and_not_searched(hospital, sandbox, john, kind):
    path = sandbox.search(kind, ("_count", "1")).ids()[0]
    assert hospital.ask(f"/{path}", john).json["resourceType"] == kind
    hospital.ask(f"/{kind}", john).outcome(403, "forbidden")
    no_scope = hospital.token("patient/Patient.rs")
    hospital.ask(f"/{path}", no_scope).outcome(403, "forbidden")


# Scopes -----------------------------------------------------------------------------------------


@pytest.mark.spec("SCOP-03", "SCOP-04", "SCOP-05", "SCOP-06", "SCOP-07", "G43", "RSVR-03")
@pytest.mark.parametrize(
    ("scope", "reads", "searches"),
    [
        ("patient/Encounter.r", True, False),
        ("patient/Encounter.s", False, True),
        ("patient/Encounter.rs", True, True),
        ("patient/Encounter.read", True, True),
        ("patient/Encounter.write", False, False),
        ("patient/Encounter.cud", False, False),
        ("patient/*.r", True, False),
        ("patient/Observation.rs", False, False),
        ("user/Encounter.rs", False, False),
        ("system/Encounter.rs", False, False),
        ("openid fhirUser launch/patient", False, False),
    ],
)
def test_each_letter_opens_its_own_interaction(hospital, scope, reads, searches):
    token = hospital.token(scope)
    for path, is_open in (("/Encounter/enc-789-1", reads), ("/Encounter", searches)):
        reply = hospital.ask(path, token)
        if is_open:
            assert reply.status == 200
        else:
            reply.outcome(403, "forbidden")
            challenge = reply.headers["www-authenticate"]
            assert 'error="insufficient_scope"' in challenge
            assert 'scope="patient/Encounter.' in challenge


@pytest.mark.spec("SCOP-03", "SCOP-05", "SCOP-06")
@pytest.mark.parametrize(
    ("letter", "method", "path"),
    [
        ("c", "POST", "/Observation"),
        ("u", "PUT", "/Observation/1"),
        ("u", "PATCH", "/Observation/1"),
        ("d", "DELETE", "/Observation/1"),
    ],
)
def test_a_write_letter_gives_no_other_and_what_is_not_offered_says_so(
    hospital, letter, method, path
):
    granted = hospital.token(f"patient/Observation.{letter}")
    other = hospital.token("patient/Observation.rs")
    hospital.ask("/Observation/1", granted).outcome(403, "forbidden")
    hospital.ask("/Observation", granted).outcome(403, "forbidden")
    hospital.ask(path, granted, method=method).outcome(403, "not-supported")
    hospital.ask(path, other, method=method).outcome(403, "forbidden")


@pytest.mark.spec("GRAN-02", "GRAN-11", "G42")
def test_a_granular_scope_finds_all_of_its_category_and_no_more(hospital, john, sandbox):
    vitals = hospital.token(f"patient/Observation.rs?category={CATEGORY}|vital-signs")
    expected = sandbox.search(
        "Observation",
        ("patient", "789"),
        ("category", f"{CATEGORY}|vital-signs"),
        ("_count", "1000"),
    ).ids()
    found = hospital.ask("/Observation", vitals)
    assert set(found.ids()) == set(expected)
    assert len(expected) > 50
    assert found.json["total"] == len(expected)
    other = hospital.ask("/Observation?category=laboratory", vitals)
    assert (other.ids(), other.json["total"]) == ([], 0)


@pytest.mark.spec("G15", "G42", "GRAN-02")
def test_pages_do_not_tell_of_records_outside_the_scope(hospital):
    """A page that hidden matches had cut short would say that they are there."""
    social = hospital.token(f"patient/Observation.rs?category={CATEGORY}|social-history")
    reply = hospital.ask("/Observation?_count=1&category=laboratory", social)
    assert (reply.json.get("entry"), reply.json["total"]) == (None, 0)
    reply = hospital.ask("/Observation?_count=1", social)
    assert (len(reply.ids()), reply.json["total"]) == (1, 1)


@pytest.mark.spec("GRAN-02")
def test_several_granular_scopes_are_a_union(hospital, sandbox):
    scopes = [
        f"patient/Observation.rs?category={CATEGORY}|{one}"
        for one in ("vital-signs", "social-history")
    ]
    found = hospital.ask("/Observation?_count=200", hospital.token(" ".join(scopes)))
    categories = {
        one["resource"]["category"][0]["coding"][0]["code"] for one in found.json["entry"]
    }
    assert categories == {"vital-signs", "social-history"}


@pytest.mark.spec("GRAN-03", "G42")
def test_a_granular_scope_reads_a_match_and_404s_the_rest(hospital, sandbox):
    vitals = hospital.token(f"patient/Observation.rs?category={CATEGORY}|vital-signs")

    def one_of(category):
        pairs = (("patient", "789"), ("category", category), ("_count", "1"))
        return sandbox.search("Observation", *pairs).ids()[0]

    assert hospital.ask(f"/{one_of('vital-signs')}", vitals).status == 200
    hospital.ask(f"/{one_of('laboratory')}", vitals).outcome(404, "not-found")


@pytest.mark.spec("RSVR-13")
def test_a_users_own_resource_is_always_read(hospital):
    token = hospital.token("openid fhirUser", fhir_user="Practitioner/123", patient=None)
    assert hospital.ask("/Practitioner/123", token).json["id"] == "123"
    hospital.ask("/Practitioner/456", token).outcome(403, "forbidden")
    without = hospital.token("openid profile", fhir_user="Practitioner/123", patient=None)
    hospital.ask("/Practitioner/123", without).outcome(403, "forbidden")


@pytest.mark.spec("SCOP-14")
def test_patient_scopes_without_a_patient_are_403(hospital):
    token = hospital.token("patient/*.rs", patient=None, fhir_user=None)
    reply = hospital.ask("/Observation", token)
    reply.outcome(403, "forbidden")
    assert hospital.event(reply).rule == "context.patient"


# Headers ----------------------------------------------------------------------------------------


@pytest.mark.spec("G37", "G38", "G39", "G40", "G52")
@pytest.mark.parametrize(
    ("headers", "status", "issue"),
    [
        ({"X-HTTP-Method-Override": "DELETE"}, 400, "invalid"),
        ({"X-Method-Override": "PUT"}, 400, "invalid"),
        ({"Prefer": "respond-async"}, 400, "not-supported"),
        ({"Content-Length": "5"}, 400, "invalid"),
        ({"Transfer-Encoding": "chunked"}, 400, "invalid"),
        ({"Content-Length": "0", "Transfer-Encoding": "chunked"}, 400, "invalid"),
        ({"Accept": "application/fhir+xml"}, 406, "not-supported"),
        ({"Accept": "application/fhir+json; fhirVersion=5.0"}, 406, "not-supported"),
        ({"Accept": "application/json; charset=utf-16"}, 406, "not-supported"),
        ({"X-Long": "x" * 17_000}, 431, "too-long"),
        ({f"X-{number}": "1" for number in range(101)}, 431, "too-long"),
    ],
)
def test_headers_that_no_request_may_carry(hospital, john, headers, status, issue):
    hospital.ask("/Patient/789", john, headers=headers).outcome(status, issue)


@pytest.mark.spec("G37")
@pytest.mark.parametrize("query", ["_method=DELETE", "_method=GET"])
def test_the_method_is_not_overridden_in_the_query(hospital, john, query):
    hospital.ask(f"/Patient/789?{query}", john).outcome(400, "invalid")


@pytest.mark.spec("G37")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PURGE", "get"])
def test_methods_that_fhir_does_not_have_are_405(hospital, john, method):
    reply = hospital.ask("/Patient/789", john, method=method)
    reply.outcome(405, "not-supported")
    assert reply.headers["allow"] == "GET, HEAD"


def test_the_methods_of_a_url_are_named(hospital, john):
    reply = hospital.ask("/Patient/789", john, method="POST")
    reply.outcome(405, "not-supported")
    assert reply.headers["allow"] == "GET, PUT, PATCH, DELETE, HEAD"


@pytest.mark.spec("G38")
@pytest.mark.parametrize("kind", ["application/fhir+xml", "multipart/form-data", "text/plain"])
def test_bodies_of_other_kinds_change_nothing(hospital, writer, kind):
    reply = hospital.ask(
        "/Observation", writer, method="POST", headers={"Content-Type": kind}, body=b"<x/>"
    )
    reply.outcome(403, "not-supported")


@pytest.mark.spec("G52")
def test_the_page_size_is_clamped(hospital, john):
    reply = hospital.ask("/Observation?_count=1000000", john)
    assert "_count=200" in reply.json["link"][0]["url"]
    assert len(reply.ids()) == 165


@pytest.mark.spec("G37", "G52")
@pytest.mark.parametrize("value", ["-1", "1e3", "", "1,2", "\u0661"])
def test_counts_that_are_no_numbers_are_400(hospital, john, value):
    hospital.ask(f"/Observation?_count={value}", john).outcome(400, "invalid")
