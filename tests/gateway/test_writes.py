"""Create, update and delete through the front door: what passes, what is refused, what is told."""

import asyncio
import json
from typing import Any

import pytest

from authfi.accounts import people
from authfi.lib import tenancy
from tests.access.conftest import forget
from tests.cast import ADMIN
from tests.gateway.ward import CATEGORY, JSON, ORDER, PULSE, changed

JANES = {"reference": "Patient/790"}


@pytest.fixture
def john(ward):
    return ward.token()


def etag_of(resource):
    return f'W/"{resource["meta"]["versionId"]}"'


@pytest.mark.spec("G25", "G35", "SCOP-03", "V8", "A2")
def test_a_patient_adds_to_his_own_record(ward, john):
    reply = ward.create(john, PULSE)
    assert reply.status == 201
    made = reply.json
    assert changed(made, id=None, meta=None) == PULSE
    assert reply.headers["location"] == (
        f"http://localhost:8000/t/{ward.base.tenant.slug}/fhir/Observation/{made['id']}/_history/1"
    )
    assert reply.headers["etag"] == 'W/"1"'
    assert reply.headers["last-modified"].endswith("GMT")
    assert reply.headers["cache-control"] == "no-store"
    assert ward.stored(f"/Observation/{made['id']}") == (200, made)
    before, after = ward.told(reply, "create")
    assert before["patient"] == after["patient"] == "789"
    assert before["rule"] == "scope-rules.patients-own"
    assert len(before["after"]) == 64
    assert (after["outcome"], after["result"], after["status"]) == ("success", "done", 201)
    assert (after["object"], after["version"]) == (f"Observation/{made['id']}", "1")
    assert after["actor"]["roles"] == ["patient"]
    assert "pulse" not in str((before, after))


@pytest.mark.spec("G26", "SCOP-05", "A2")
def test_an_update_replaces_the_version_that_was_judged(ward, john):
    first = ward.behind(PULSE)
    changed_pulse = changed(first, valueQuantity={"value": 80, "unit": "/min"})
    reply = ward.update(john, changed_pulse, If_Match=etag_of(first))
    assert (reply.status, reply.headers["etag"]) == (200, 'W/"2"')
    assert reply.json["valueQuantity"]["value"] == 80
    assert "location" not in reply.headers
    before, after = ward.told(reply, "update")
    assert before["before"] != before["after"]
    assert (before["before_version"], after["version"]) == ('W/"1"', "2")
    again = ward.update(john, changed_pulse)
    assert (again.status, again.headers["etag"]) == (200, 'W/"3"')


@pytest.mark.spec("SCOP-06", "G29")
def test_a_delete_takes_the_resource_away(ward, john):
    first = ward.behind(PULSE)
    path = f"/Observation/{first['id']}"
    reply = ward.delete(john, path, If_Match=etag_of(first))
    assert (reply.status, reply.body) == (204, b"")
    assert ward.stored(path)[0] == 410
    _, after = ward.told(reply, "delete")
    assert (after["result"], after["object"]) == ("done", path[1:])
    ward.refused(ward.delete(john, path), 404, "not-found", "write.before")


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("prefer", "body"),
    [
        ("return=minimal", None),
        ("return=representation", "Observation"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("handling=lenient, return=minimal", None),
        ("return=everything", "Observation"),
    ],
)
def test_the_app_says_what_it_wants_back(ward, john, prefer, body):
    reply = ward.create(john, PULSE, Prefer=prefer)
    assert (reply.status, reply.headers["etag"]) == (201, 'W/"1"')
    assert "/Observation/" in reply.headers["location"]
    if body is None:
        assert reply.body == b""
        return
    assert reply.json["resourceType"] == body
    if body == "OperationOutcome":
        assert reply.json["issue"][0]["severity"] == "information"


@pytest.mark.spec("G25", "G11", "G21", "RSVR-17")
@pytest.mark.parametrize(
    "subject",
    [
        None,
        JANES,
        {"reference": "Patient/absent-1"},
        {"identifier": {"system": "urn:oid:1.2.3", "value": "12345"}},
        {"identifier": {"value": "12345"}, "type": "Patient"},
        {"display": "John Doe"},
        {"reference": "Patient?identifier=12345"},
        {"reference": "urn:uuid:5f0b3b6e-0d0c-4b7e-9f0e-000000000001"},
        {"reference": "https://evil.example/Patient/789"},
        {"reference": "http://localhost:8000/t/mercy/fhir/Patient/789"},
        {"reference": "Group/1"},
        {"reference": "#p"},
        {"reference": "Patient/789", "type": "Group"},
        {"reference": ["Patient/789"]},
        "Patient/789",
        [{"reference": "Patient/789"}, JANES],
    ],
)
def test_a_resource_about_nobody_or_another_is_not_created(ward, john, subject):
    reply = ward.create(john, changed(PULSE, subject=subject))
    reply.outcome(403, "forbidden")
    assert ward.base.events(reply)[0].details["rule"] == "write.subject"
    assert ward.base.events(reply)[0].code == "fhir.create.deny"
    ward.nothing_open()


@pytest.mark.spec("A3", "G25")
def test_an_attempt_on_another_record_is_told_in_that_record(ward, john):
    reply = ward.create(john, changed(PULSE, subject=JANES))
    assert [one.details["patient"] for one in ward.base.events(reply)] == ["789", "790"]


@pytest.mark.spec("G13", "G12", "G21", "G33", "RSVR-17")
@pytest.mark.parametrize(
    "members",
    [
        {"focus": [JANES]},
        {"performer": [JANES]},
        {"performer": [{"reference": "Patient/790/_history/1"}]},
        {"hasMember": [{"reference": "https://evil.example/Observation/1"}]},
        {"encounter": {"reference": "urn:uuid:5f0b3b6e-0d0c-4b7e-9f0e-000000000001"}},
        {"encounter": {"reference": "Encounter?patient=790"}},
        {"performer": [{"identifier": {"value": "1"}}]},
        {"extension": [{"url": "https://x.example", "valueReference": JANES}]},
        {"component": [{"code": {}, "extension": [{"url": "x", "valueReference": JANES}]}]},
        {"extension": [{"url": "x", "valueAttachment": {"url": "Binary/of-jane"}}]},
        {"extension": [{"url": "x", "valueAttachment": {"url": "Observation?patient=790"}}]},
        {"extension": [{"url": "x", "valueUri": "Observation/of-jane#x"}]},
        {"extension": [{"url": "x", "valueCanonical": "Patient/790/$everything"}]},
        {"hasMember": [{"reference": "Group/janes-family"}]},
        {"focus": [{"reference": "Person/jane"}]},
    ],
)
def test_no_reference_leads_to_another_patient_or_off_the_server(ward, john, members):
    reply = ward.create(john, changed(PULSE, **members))
    ward.refused(reply, 403, "forbidden", "write.reference")


@pytest.mark.spec("G12", "G45")
@pytest.mark.parametrize(
    ("contained", "rule"),
    [
        ({"resourceType": "Patient", "id": "p"}, "write.subject"),
        ({"resourceType": "Observation", "id": "o", "subject": JANES}, "write.subject"),
        ({"resourceType": "AuditEvent", "id": "a"}, "write.subject"),
        ({"resourceType": "SearchParameter", "id": "s"}, "write.type"),
        ({"resourceType": "Consent", "id": "c"}, "write.type"),
    ],
)
def test_nothing_is_smuggled_in_as_contained(ward, john, contained, rule):
    reply = ward.create(john, changed(PULSE, contained=[contained]))
    reply.outcome(403, "forbidden")
    assert ward.base.events(reply)[0].details["rule"] == rule


@pytest.mark.spec("G45", "G25", "G32")
@pytest.mark.parametrize(
    "kind",
    [
        *("AuditEvent", "Consent", "Provenance", "Subscription", "SearchParameter"),
        *("RelatedPerson", "Patient", "Binary", "Group", "Practitioner", "Medication", "Bundle"),
    ],
)
def test_types_that_decide_on_access_are_not_written(ward, john, kind):
    doctor = ward.token("patient/*.cud user/*.cud", user=ward.person("doctor"))
    body = {"resourceType": kind, "patient": {"reference": "Patient/789"}}
    for token in (john, doctor):
        ward.refused(ward.create(token, body), 403, "not-supported", "write.type")
    for method in ("PUT", "DELETE"):
        if kind == "Patient" and method == "PUT":
            continue
        reply = ward.send(method, f"/{kind}/789", doctor, body if method == "PUT" else None)
        ward.refused(reply, 403, "not-supported", "write.type")


@pytest.mark.spec("G45")
def test_labels_and_links_stay(ward):
    doctor = ward.token(user=ward.person("doctor"))
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    first = ward.behind(changed(PULSE, meta={"security": [label]}))
    poorer: list[Any] = [None, {}, {"security": []}, {"security": [{**label, "code": "N"}]}]
    for meta in poorer:
        reply = ward.update(doctor, changed(first, meta=meta))
        ward.refused(reply, 403, "forbidden", "write.labels")
    more = {"security": [label, {**label, "code": "V"}]}
    assert ward.update(doctor, changed(first, meta=more)).status == 200
    _, john = ward.stored("/Patient/789")
    link = [{"other": {"reference": "Patient/789"}, "type": "seealso"}]
    ward.refused(ward.update(doctor, changed(john, link=link)), 403, "forbidden", "write.link")
    assert ward.update(doctor, changed(john, active=True)).status == 200


@pytest.mark.spec("G26", "RSVR-17")
def test_nothing_moves_to_another_patient_nor_from_one(ward, john):
    own, janes = ward.behind(PULSE), ward.behind(changed(PULSE, subject=JANES))
    ward.base.hidden.append(janes["id"].encode())
    reply = ward.update(john, changed(own, subject=JANES))
    reply.outcome(403, "forbidden")
    assert {one.details["rule"] for one in ward.base.events(reply)} == {"write.subject"}
    reply = ward.update(john, changed(janes, subject={"reference": "Patient/789"}))
    reply.outcome(404, "not-found")
    assert ward.stored(f"/Observation/{own['id']}") == (200, own)
    assert ward.stored(f"/Observation/{janes['id']}") == (200, janes)


@pytest.mark.spec("G24", "G27", "G29")
def test_anothers_resource_reads_as_an_absent_one(ward, john):
    janes = ward.behind(changed(PULSE, subject=JANES))
    absent = ward.update(john, changed(PULSE, id="absent-1"))
    absent.outcome(404, "not-found")
    for headers in ({}, {"If_Match": 'W/"1"'}, {"If_Match": 'W/"7"'}, {"If_Match": "*"}):
        for resource_id in (janes["id"], "absent-1"):
            body = changed(PULSE, id=resource_id)
            update = ward.update(john, body, **headers)
            delete = ward.delete(john, f"/Observation/{resource_id}", **headers)
            for reply in (update, delete):
                assert (reply.status, reply.body) == (404, absent.body)
                assert set(reply.headers) == set(absent.headers)
    assert ward.stored("/Observation/absent-1")[0] == 404
    assert ward.stored(f"/Observation/{janes['id']}") == (200, janes)


@pytest.mark.spec("G26", "G24")
def test_a_stale_version_is_412(ward, john):
    first = ward.behind(PULSE)
    second = ward.update(john, changed(first, status="amended"))
    assert second.status == 200
    stale = ward.update(john, changed(first, status="cancelled"), If_Match='W/"1"')
    ward.refused(stale, 412, "conflict", "version.match")
    gone = ward.delete(john, f"/Observation/{first['id']}", If_Match='W/"1"')
    ward.refused(gone, 412, "conflict", "version.match")
    listed = ward.update(john, changed(first, status="final"), If_Match='W/"1", "2"')
    assert listed.status == 200


@pytest.mark.spec("G26")
def test_of_parallel_updates_of_one_version_one_wins(ward, john):
    first = ward.behind(PULSE)
    path, headers = f"/Observation/{first['id']}", {**JSON, "If-Match": etag_of(first)}

    async def all_at_once():

        asking = (
            ward.base.asking(
                path,
                john,
                method="PUT",
                headers=headers,
                body=json.dumps(changed(first, valueQuantity={"value": 60 + number})).encode(),
            )
            for number in range(8)
        )
        return await asyncio.gather(*asking)

    replies = ward.base.run(all_at_once())
    assert sorted(reply.status for reply in replies) == [200] + [412] * 7
    (won,) = [reply for reply in replies if reply.status == 200]
    assert ward.stored(path) == (200, won.json)
    assert won.json["meta"]["versionId"] == "2"
    for reply in replies:
        if reply.status == 412:
            reply.outcome(412, "conflict")
    ward.nothing_open()


@pytest.mark.spec("G42", "GRAN-04")
def test_granular_scopes_hold_before_and_after(ward):
    vitals = ward.token(f"patient/Observation.cud?category={CATEGORY}|vital-signs")
    category = [{"coding": [{"system": CATEGORY, "code": "laboratory"}]}]
    other_system = [{"coding": [{"system": "https://x.example", "code": "vital-signs"}]}]
    assert ward.create(vitals, PULSE).status == 201
    for wrong in (category, other_system, None):
        reply = ward.create(vitals, changed(PULSE, category=wrong))
        ward.refused(reply, 403, "forbidden", "scope.constraint")
    vital, lab = ward.behind(PULSE), ward.behind(changed(PULSE, category=category))
    reply = ward.update(vitals, changed(vital, category=category))
    ward.refused(reply, 403, "forbidden", "scope.constraint")
    for reply in (
        ward.update(vitals, changed(lab, category=PULSE["category"])),
        ward.delete(vitals, f"/Observation/{lab['id']}"),
    ):
        ward.refused(reply, 404, "not-found", "write.before")
    assert ward.delete(vitals, f"/Observation/{vital['id']}").status == 204


@pytest.mark.spec("G43", "SCOP-03", "SCOP-05", "SCOP-06", "RSVR-03")
@pytest.mark.parametrize("letters", ["c", "u", "d", "cu", "cud", "rs", "r", "s"])
def test_each_letter_writes_its_own_way_only(ward, letters):
    token, first = ward.token(f"patient/Observation.{letters}"), ward.behind(PULSE)
    replies = {
        "c": ward.create(token, PULSE),
        "u": ward.update(token, first),
        "d": ward.delete(token, f"/Observation/{first['id']}"),
    }
    for letter, reply in replies.items():
        if letter in letters:
            assert reply.status in (200, 201, 204)
        else:
            ward.refused(reply, 403, "forbidden", "scope.covers")
            assert 'error="insufficient_scope"' in reply.headers["www-authenticate"]
            assert f'scope="patient/Observation.{letter}"' in reply.headers["www-authenticate"]


@pytest.mark.spec("G23", "G24", "SCOP-26")
def test_conditions_are_refused_not_passed_over(ward, john):
    first = ward.behind(PULSE)
    reply = ward.create(john, PULSE, If_None_Exist="identifier=1")
    ward.refused(reply, 403, "not-supported", "interaction.offered")
    for name in ("If_None_Match", "If_Unmodified_Since", "If_Modified_Since"):
        reply = ward.update(john, first, **{name: '"1"'})
        ward.refused(reply, 400, "not-supported", "request.grammar")
    for bad in ("1", 'W/"1', 'W/"1" W/"2"', ""):
        reply = ward.update(john, first, If_Match=bad)
        ward.refused(reply, 400, "invalid", "request.grammar")
    reply = ward.create(john, PULSE, If_Match='W/"1"')
    ward.refused(reply, 400, "invalid", "request.grammar")
    for method, path in (
        ("PUT", "/Observation?identifier=1"),
        ("DELETE", "/Observation?status=final"),
        ("DELETE", "/Observation"),
        ("PATCH", f"/Observation/{first['id']}"),
    ):
        body = None if method == "DELETE" else PULSE
        ward.send(method, path, john, body).outcome(403, "not-supported")
    for method, path in (
        ("POST", "/Observation?identifier=1"),
        ("PUT", f"/Observation/{first['id']}?_at=1"),
        ("DELETE", f"/Observation/{first['id']}?_cascade=delete"),
    ):
        ward.send(method, path, john, PULSE if method != "DELETE" else None).outcome(
            400, "not-supported"
        )
    assert ward.stored(f"/Observation/{first['id']}") == (200, first)


@pytest.mark.spec("G1", "G53")
def test_another_patient_himself_is_403_without_looking(ward):
    doctor = ward.token(user=ward.person("doctor"))
    for resource_id in ("790", "absent-1"):
        reply = ward.update(doctor, {"resourceType": "Patient", "id": resource_id})
        reply.outcome(403, "forbidden")


@pytest.mark.spec("RSVR-12", "SCOP-17", "G43")
def test_orders_need_a_doctor_freshly_signed_in_with_two_factors(ward):
    doctor = ward.person("doctor")
    scope = "patient/MedicationRequest.write"
    fresh = ward.create(ward.token(scope, user=doctor), ORDER)
    assert fresh.status == 201
    before, _ = ward.told(fresh, "create")
    assert before["rule"] == "scope-rules.medication-orders"
    assert before["actor"]["roles"] == ["doctor"]
    for token in (
        ward.token(scope, user=doctor, age=901),
        ward.token(scope, user=doctor, acr="aal1"),
        ward.base.token(scope, subject=str(doctor.pk)),
    ):
        reply = ward.create(token, ORDER)
        ward.refused(reply, 401, "login", "scope-rules.medication-orders")
        challenge = reply.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'acr_values="aal2"' in challenge
        assert 'max_age="900"' in challenge
        assert "resource_metadata=" in challenge
    for other in (ward.person("nurse"), ward.person("patient"), ward.person("admin")):
        reply = ward.create(ward.token(scope, user=other), ORDER)
        ward.refused(reply, 403, "forbidden", "scope-rules.medication-orders")


@pytest.mark.spec("SCOP-17")
def test_a_patient_writes_what_is_his_to_tell_and_no_more(ward, john):
    condition = {
        "resourceType": "Condition",
        "code": {"text": "cold"},
        "subject": {"reference": "Patient/789"},
    }
    reply = ward.create(john, condition)
    ward.refused(reply, 403, "forbidden", "scope-rules.clinical-writes")
    nurse = ward.token(user=ward.person("nurse"))
    assert ward.create(nurse, condition).status == 201


@pytest.mark.spec("SCOP-17")
def test_a_role_taken_away_is_a_write_less(ward):

    doctor = ward.person("doctor")
    token = ward.token("patient/MedicationRequest.c", user=doctor)
    assert ward.create(token, ORDER).status == 201
    with tenancy.bind(ward.base.tenant):
        people.change_roles(user=doctor, roles=["nurse"], actor=ADMIN)
    forget()
    ward.refused(ward.create(token, ORDER), 403, "forbidden", "scope-rules.medication-orders")


@pytest.mark.spec("G47", "RSVR-12", "D16")
def test_user_scopes_write_where_their_person_may_open(ward):
    """D16's default: who treats a patient. Practitioner/123 does so; 999 treats nobody."""
    treats = ward.person("doctor", fhir_user="Practitioner/123")
    stranger = ward.person("doctor", fhir_user="Practitioner/999")
    scope = "user/Observation.cud"
    first = ward.behind(PULSE)
    known = ward.token(scope, user=treats, patient=None, fhir_user="Practitioner/123")
    assert ward.create(known, PULSE).status == 201
    assert ward.update(known, changed(first, status="amended")).status == 200
    unknown = ward.token(scope, user=stranger, patient=None, fhir_user="Practitioner/999")
    reply = ward.create(unknown, PULSE)
    ward.refused(reply, 403, "forbidden", "write.subject")
    reply = ward.update(unknown, first)
    ward.refused(reply, 404, "not-found", "write.before")
    ward.refused(
        ward.delete(unknown, f"/Observation/{first['id']}"), 404, "not-found", "write.before"
    )
    facts = {"user": stranger, "patient": "789", "fhir_user": "Practitioner/999"}
    picked = ward.token(scope, **facts)
    ward.refused(ward.create(picked, PULSE), 403, "forbidden", "write.subject")
    vouched = ward.token(scope, is_launched=True, **facts)
    assert ward.create(vouched, PULSE).status == 201
    assert ward.delete(vouched, f"/Observation/{first['id']}").status == 204


@pytest.mark.spec("G20")
def test_batches_stay_refused(ward, john):
    for kind in ("batch", "transaction"):
        body = {"resourceType": "Bundle", "type": kind}
        ward.send("POST", "/", john, body).outcome(403, "not-supported")


@pytest.mark.spec("G51", "RSVR-02")
def test_no_token_no_write(ward):
    reply = ward.base.ask("/Observation", None, method="POST", headers=JSON, body=b"{}")
    reply.outcome(401, "login")
    expired = ward.token(seconds=-1)
    ward.create(expired, PULSE).outcome(401, "expired")
