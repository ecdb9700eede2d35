"""Searches by POST and in the compartment are the same searches (G7, G30, G38, RSVR-07)."""

import pytest

from tests.fhir_server import Answer

ANN = {"patient": "ann", "fhir_user": "Patient/ann"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def ann(hands):
    return hands.token("patient/*.rs", **ANN)


def post(base, token, body, path="/Observation/_search", headers=FORM):
    sent = body.encode() if isinstance(body, str) else body
    return base.ask(path, token, method="POST", headers=headers, body=sent)


@pytest.mark.spec("RSVR-07", "G2")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=718-7",
        "category=laboratory&_sort=-date",
        "patient=ann",
        "_summary=count",
        "_id=no",
    ],
)
def test_a_form_finds_what_the_url_finds(hands, ann, query):
    posted, asked = post(hands, ann, query), hands.ask(f"/Observation?{query}", ann)
    assert (posted.status, posted.json) == (200, asked.json)
    split = post(hands, ann, "code=718-7", f"/Observation/_search?{query}")
    assert split.status == 200
    assert hands.event(posted).code == "fhir.search.allow"


@pytest.mark.spec("RSVR-07", "G1", "G3", "G5", "G6")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("patient=bob", 403),
        ("patient=ann,bob", 403),
        ("subject:Patient=bob", 403),
        ("patient.name=x", 403),
        ("_has:Encounter:subject:status=x", 403),
        ("_filter=x", 403),
        ("frobnicate=1", 400),
        ("patient=ann&_method=DELETE", 400),
        ("code=%zz", 400),
        ("code=\x00", 400),
        ("patient", 400),
        ("_format=xml", 406),
    ],
)
def test_a_form_meets_the_same_checks(hands, ann, body, status):
    assert post(hands, ann, body).status == status


@pytest.mark.spec("G7")
@pytest.mark.parametrize(
    ("query", "body", "is_one"),
    [
        ("patient=ann", "patient=bob", False),
        ("code=a", "code=b", False),
        ("code=a", "code=a&code=b", False),
        ("code=a&code=b", "code=a", False),
        ("_count=1", "_count=2", False),
        ("code=718-7", "code=718-7", True),
        ("code=718-7", "status=final", True),
        ("_count=1", "_count=1", True),
    ],
)
def test_url_and_body_say_the_same_or_nothing(hands, ann, query, body, is_one):
    reply = post(hands, ann, body, f"/Observation/_search?{query}")
    if is_one:
        assert reply.status == 200
        return
    assert "URL and body disagree" in reply.outcome(400, "invalid")


@pytest.mark.spec("G38")
@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-16",
        "text/plain",
        "",
    ],
)
def test_a_search_by_post_takes_a_form_only(hands, ann, media):
    reply = post(hands, ann, "code=1", headers={"Content-Type": media} if media else {})
    reply.outcome(415, "not-supported")
    utf8 = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert post(hands, ann, "code=718-7", headers=utf8).status == 200


@pytest.mark.spec("G39", "V3")
def test_a_form_is_bounded(hands, ann):
    post(hands, ann, "code=" + "x" * 70_000).outcome(413, "too-long")
    many = "&".join(["code=718-7"] * 101)
    post(hands, ann, many).outcome(400, "too-long")


@pytest.mark.spec("G41", "RSVR-01")
def test_a_token_in_the_form_is_400_and_told_as_misuse(hands, ann):
    reply = post(hands, ann, f"access_token={ann}")
    reply.outcome(400, "invalid")
    assert 'error="invalid_request"' in reply.headers["www-authenticate"]
    assert hands.event(reply).rule == "token.transport"


@pytest.mark.spec("RSVR-05", "G2")
def test_no_token_and_no_type_are_refused_as_ever(hands, ann):
    assert post(hands, None, "code=1").status == 401
    post(hands, ann, "code=1", "/_search").outcome(403, "not-supported")


def test_what_is_too_long_for_a_url_goes_on_as_a_form(clinic, upstream):
    upstream.routes["Patient/_search"] = lambda _: Answer(
        {"resourceType": "Bundle", "type": "searchset", "entry": []}
    )
    name = ",".join(f"n{number}" for number in range(2000))
    reply = post(clinic, clinic.token(patient="456"), f"name={name}", "/Patient/_search")
    assert reply.ids() == []
    asked = upstream.asked[-1]
    assert (asked.method, asked.path, asked.query) == ("POST", "Patient/_search", {})
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body.startswith(b"_id=456&name=n0,n1,")


@pytest.mark.spec("G30", "G31")
def test_the_patients_compartment_is_searched_by_type(hands, ann):
    found = hands.ask("/Patient/ann/Observation?code=718-7", ann)
    assert found.ids() == hands.ask("/Observation?code=718-7", ann).ids() != []
    posted = post(hands, ann, "code=718-7", "/Patient/ann/Observation/_search")
    assert posted.json == found.json
    assert hands.ask("/Patient/ann/Observation?_count=1&_summary=count", ann).json["total"] == 2
    assert hands.ask("/Patient/ann/Patient", ann).ids() == ["Patient/ann"]


@pytest.mark.spec("G30", "G31", "G2")
@pytest.mark.parametrize(
    ("path", "issue"),
    [
        ("/Patient/bob/Observation", "forbidden"),
        ("/Patient/bob/Patient", "forbidden"),
        ("/Patient/ann/Observation?patient=bob", "forbidden"),
        ("/Patient/ann/*", "not-supported"),
        ("/Patient/bob/*", "not-supported"),
        ("/Practitioner/nora/Observation", "not-supported"),
        ("/Practitioner/nora/*", "not-supported"),
        ("/Encounter/enc-ann/Observation", "not-supported"),
        ("/Patient/ann/Practitioner", "not-supported"),
        ("/Patient/ann/AuditEvent", "not-supported"),
    ],
)
def test_other_compartments_are_403(hands, ann, path, issue):
    reply = hands.ask(path, ann)
    reply.outcome(403, issue)
    assert hands.event(reply).outcome == "denied"


@pytest.mark.spec("G31", "G43")
def test_a_compartment_search_needs_the_types_own_scope(hands):
    token = hands.token("patient/Patient.rs patient/Observation.r", **ANN)
    hands.ask("/Patient/ann/Observation", token).outcome(403, "forbidden")
    hands.ask("/Patient/ann/*", hands.token("patient/Observation.s", **ANN)).outcome(
        403, "forbidden"
    )
