"""Through the front door with the token of John Doe's app: his record, and nobody else's."""

import pytest

from tests.gateway.asgi import call

BATCH = b'{"resourceType":"Bundle","type":"batch","entry":[]}'


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


@pytest.mark.spec("RSVR-14", "SCOP-14")
def test_the_patient_in_context_is_read_by_whoever_was_launched(hospital):
    token = hospital.token("patient/Patient.r", fhir_user="Practitioner/123")
    assert hospital.ask("/Patient/789", token).json["id"] == "789"
    hospital.ask("/Patient/790", token).outcome(403, "forbidden")


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


@pytest.mark.spec("G37")
def test_head_is_get_without_its_body(hospital, john):
    full, head = (
        hospital.ask("/Patient/789", john),
        hospital.ask("/Patient/789", john, method="HEAD"),
    )
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert hospital.event(head).code == "fhir.read.allow"


@pytest.mark.spec("DISC-29", "RSVR-01")
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


@pytest.mark.spec("G12")
@pytest.mark.parametrize("query", ["_contained=both", "_containedType=contained"])
def test_searches_into_contained_resources_are_400(hospital, john, query):
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


@pytest.mark.spec("G17", "G28", "G30")
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PATCH", "/Patient/789", "patch"),
        ("PUT", "/Observation?code=1", "conditional update"),
        ("PATCH", "/Observation?code=1", "conditional patch"),
        ("DELETE", "/Observation?code=1", "conditional delete"),
        ("POST", "/", "batch"),
        ("POST", "", "batch"),
        ("GET", "", "search-system"),
        ("GET", "/?_type=Patient", "search-system"),
        ("POST", "/_search", "search by POST"),
        ("GET", "/_history", "history-system"),
        ("GET", "/Patient/_history", "history-type"),
        ("GET", "/Patient/789/$everything", "operation of $everything"),
        ("POST", "/Patient/789/$everything", "operation of $everything"),
        ("GET", "/Patient/790/$everything", "operation of $everything"),
        ("GET", "/Patient/$everything", "operation of $everything"),
        ("GET", "/$graphql", "operation of $graphql"),
        ("POST", "/Patient/$match", "operation of $match"),
        ("GET", "/$export", "operation of $export"),
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


@pytest.mark.spec("G20")
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
    assert reply.outcome(400, "invalid") == "URL and body disagree on patient."


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
