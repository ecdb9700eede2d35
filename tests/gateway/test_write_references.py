"""A write names what its bearer can read in that patient's record, and nothing else of records."""

import pytest

from tests.gateway.ward import ORDER, PULSE, changed

#: What is said of whatever cannot be named, there or not.
UNREADABLE = (
    "The resource refers to another one that this token cannot read in this patient's record."
)
VISIT = {
    "resourceType": "Encounter",
    "status": "finished",
    "class": {"code": "AMB"},
    "subject": {"reference": "Patient/789"},
}


@pytest.fixture
def john(ward):
    return ward.token()


@pytest.fixture
def visit(ward):
    """A visit of John's, as a reference."""
    return reference(ward.behind(VISIT))


@pytest.fixture
def janes(ward):
    """Things in Jane's record that John's must not name."""
    about = {"subject": {"reference": "Patient/790"}}
    made = {
        "visit": ward.behind(changed(VISIT, **about)),
        "pulse": ward.behind(changed(PULSE, **about)),
        "order": ward.behind(changed(ORDER, **about)),
    }
    return {name: reference(one) for name, one in made.items()}


def reference(resource):
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def told(ward, reply):
    """The patients under whom the refusal is told."""
    return {one.details["patient"] for one in ward.base.events(reply)}


PLACES = [
    ("visit", lambda one: {"encounter": one}),
    ("order", lambda one: {"basedOn": [one]}),
    ("pulse", lambda one: {"hasMember": [one]}),
    ("pulse", lambda one: {"derivedFrom": [one]}),
    ("visit", lambda one: {"extension": [{"url": "https://x.example", "valueReference": one}]}),
    (
        "order",
        lambda one: {
            "contained": [{"resourceType": "Procedure", "id": "p", "basedOn": [one]}],
            "partOf": [{"reference": "#p"}],
        },
    ),
]


@pytest.mark.spec("G13", "G25", "G21", "G12", "A3")
@pytest.mark.parametrize(("what", "members"), PLACES)
def test_nothing_of_another_record_is_named(ward, john, janes, what, members):
    """Jane's things are refused in the words for things that are not there, wherever they stand."""
    reply = ward.create(john, changed(PULSE, **members(janes[what])))
    assert ward.refused(reply, 403, "forbidden", "write.reference") == UNREADABLE
    assert told(ward, reply) == {"789", "790"}
    kind = janes[what]["reference"].partition("/")[0]
    absent = ward.create(john, changed(PULSE, **members({"reference": f"{kind}/absent-1"})))
    assert ward.refused(absent, 403, "forbidden", "write.reference") == UNREADABLE
    assert absent.body == reply.body
    first = ward.behind(PULSE)
    reply = ward.update(john, changed(first, **members(janes[what])))
    ward.refused(reply, 403, "forbidden", "write.reference")


@pytest.mark.spec("G13", "G25")
def test_ones_own_is_named(ward, john, visit):
    other = reference(ward.behind(PULSE))
    reply = ward.create(john, changed(PULSE, encounter=visit, hasMember=[other]))
    assert reply.status == 201, reply.body
    assert (reply.json["encounter"], reply.json["hasMember"]) == (visit, [other])


@pytest.mark.spec("G13", "GRAN-04", "SCOP-14")
def test_what_the_token_cannot_read_is_not_named(ward, visit):
    """A refusal would tell what is there; the visit of the launch the app knows already."""
    pulse = changed(PULSE, encounter=visit)
    number = visit["reference"].partition("/")[2]
    for scope in ("patient/Observation.cruds", "patient/*.cud patient/Encounter.r?status=planned"):
        reply = ward.create(ward.token(scope), pulse)
        assert ward.refused(reply, 403, "forbidden", "write.reference") == UNREADABLE
    assert ward.create(ward.token("patient/Observation.c", encounter=number), pulse).status == 201


@pytest.mark.spec("G47", "D16")
def test_at_the_user_level_the_same_record_is_meant(ward, visit, janes):
    """A nurse who opens both records still writes nothing of one into the other."""
    treats = ward.person("nurse", fhir_user="Practitioner/456")
    facts = {"user": treats, "patient": None, "fhir_user": "Practitioner/456"}
    nurse = ward.token("user/Observation.c user/*.rs", **facts)
    assert ward.create(nurse, changed(PULSE, encounter=visit)).status == 201
    of_jane = changed(PULSE, subject={"reference": "Patient/790"})
    assert ward.create(nurse, of_jane, Prefer="return=minimal").status == 201
    reply = ward.create(nurse, changed(PULSE, encounter=janes["visit"]))
    assert reply.outcome(403, "forbidden") == UNREADABLE


@pytest.mark.spec("G26", "G13")
def test_what_stands_may_stay_but_not_what_only_looks_like_it(ward, john, janes):
    """A reference the hospital made stays; one that was smuggled in as text stays text."""
    stood = ward.behind(changed(PULSE, encounter=janes["visit"]))
    assert ward.update(john, changed(stood, status="amended")).status == 200
    text = janes["visit"]["reference"]
    first = ward.create(john, changed(PULSE, note=[{"text": text}])).json
    reply = ward.update(john, changed(first, encounter=janes["visit"]))
    ward.refused(reply, 403, "forbidden", "write.reference")
    base = f"http://localhost:8000/t/{ward.base.tenant.slug}/fhir"
    link = f"{base}/Binary/scan-1"
    first = ward.create(john, changed(PULSE, note=[{"text": link}])).json
    extension = [{"url": "https://x.example", "valueAttachment": {"url": link}}]
    reply = ward.update(john, changed(first, extension=extension))
    ward.refused(reply, 403, "forbidden", "write.reference")


@pytest.mark.spec("G13", "G19", "V3")
def test_so_many_are_looked_up_and_no_more(ward, john):
    members = [reference(ward.behind(PULSE)) for _ in range(20)]
    assert ward.create(john, changed(PULSE, hasMember=members)).status == 201
    absent = {"reference": "Observation/one-more"}
    reply = ward.create(john, changed(PULSE, hasMember=[*members, absent]))
    text = ward.refused(reply, 422, "too-costly", "write.reference")
    assert "at most 20" in text


@pytest.mark.spec("G13", "G21")
@pytest.mark.parametrize(
    "literal",
    [
        "Encounter?identifier=12345",
        "Encounter/1/_history/1",
        "urn:uuid:5f0b3b6e-0d0c-4b7e-9f0e-000000000001",
        "https://elsewhere.example/fhir/Encounter/1",
        "http://localhost:8000/t/mercy/fhir/Encounter/1",
    ],
)
def test_only_type_and_id_are_taken(ward, john, literal):
    reply = ward.create(john, changed(PULSE, encounter={"reference": literal}))
    ward.refused(reply, 403, "forbidden", "write.reference")


@pytest.mark.spec("G13")
def test_a_logical_reference_names_nothing_here(ward, john):
    logical = {"identifier": {"system": "urn:oid:1.2.3", "value": "V1"}, "type": "Encounter"}
    assert ward.create(john, changed(PULSE, encounter=logical)).status == 201
