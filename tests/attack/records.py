"""The records that the attacks are about, and whose each version of each of them is.

Ann is the patient of most tokens. Everything of Bob's has an id that begins with `b7f3` and
carries the words of `CANARIES`, which no answer to a request of Ann's may show.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
#: In Bob's records only, and in no request.
SECRET: Final = "Quillfeather"
CANARIES: Final = (b"quillfeather", b"88213407", b"417.93")

ANN, BOB = {"reference": "Patient/ann"}, {"reference": "Patient/b7f3bob"}
#: Owners. `BOTH` may be seen by who may open both records, `NOBODY` by everyone, `CLOSED` by no
#: app: of a type that tells of several people, or about somebody who cannot be told.
OWN, FOREIGN, NOBODY, CLOSED = "ann", "b7f3bob", "", "closed"
#: Somebody else whom no record of Ann's or of Bob's names.
EVE: Final = "b7f3eve"
BOTH: Final = f"{OWN} {FOREIGN}"

#: A security label, which no app may take away.
LABEL: Final = {"system": "http://example.org/labels", "code": "family"}

Resource = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """One version of a resource, and whose it is: ids of patients, or one of the words above."""

    owner: str
    body: Resource

    @property
    def key(self) -> tuple[str, str]:
        return self.body["resourceType"], self.body["id"]


def _record(owner: str, kind: str, number: str, /, **members: Any) -> Record:
    """What is not Ann's or everyone's carries the secret, in a narrative and in an extension."""
    made = {"resourceType": kind, "id": number, **members}
    if owner not in (OWN, NOBODY):
        made["text"] = {"status": "generated", "div": f"<div>{SECRET}</div>"}
        made["extension"] = [{"url": "http://example.org/note", "valueString": "no 88213407"}]
    return Record(owner, made)


def _concept(code: str, system: str = CATEGORY, text: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code}], **({"text": text} if text else {})}


def _observation(owner: str, number: str, category: str, subject: Any, **more: Any) -> Record:
    value = 417.93 if owner not in (OWN, NOBODY) else 13.5
    members = {
        "status": "final",
        "category": [_concept(category)],
        "code": _concept("718-7", "http://loinc.org"),
        "subject": subject,
        "valueQuantity": {"value": value, "unit": "g/dL"},
        **more,
    }
    present = {name: value for name, value in members.items() if value is not None}
    return _record(owner, "Observation", number, **present)


def _flag(owner: str, number: str) -> Record:
    return _record(
        owner,
        "Flag",
        number,
        status="active",
        code={"text": "falls easily"},
        subject=ANN if owner == OWN else BOB,
    )


def _provenance(owner: str, number: str, *targets: str) -> Record:
    return _record(
        owner,
        "Provenance",
        number,
        target=[{"reference": one} for one in targets],
        recorded="2026-01-01T00:00:00Z",
        agent=[{"who": {"reference": "Practitioner/nora"}}],
    )


_BOB_INSIDE = {"resourceType": "Patient", "id": "p", "name": [{"family": SECRET}]}

PEOPLE: Final = [
    _record(
        OWN,
        "Patient",
        "ann",
        name=[{"family": "Lind", "given": ["Ann"]}],
        gender="female",
        birthDate="1980-02-03",
        identifier=[{"system": "urn:mrn", "value": "55501"}],
        generalPractitioner=[{"reference": "Practitioner/nora"}],
    ),
    _record(
        FOREIGN,
        "Patient",
        "b7f3bob",
        name=[{"family": SECRET, "given": ["Bob"]}],
        gender="male",
        birthDate="1971-05-06",
        identifier=[{"system": "urn:mrn", "value": "88213407"}],
        link=[{"other": ANN, "type": "seealso"}],
    ),
    _record(EVE, "Patient", EVE, name=[{"family": SECRET, "given": ["Eve"]}], gender="female"),
    _record(NOBODY, "Practitioner", "nora", name=[{"family": "Nord"}]),
    _record(NOBODY, "Practitioner", "odd", name=[{"family": "Oddly"}]),
    _record(NOBODY, "Practitioner", "dov", name=[{"family": "Dahl"}]),
    _record(
        NOBODY, "PractitionerRole", "role-nora", practitioner={"reference": "Practitioner/nora"}
    ),
    _record(NOBODY, "Organization", "mercy", name="Mercy"),
    _record(NOBODY, "Location", "ward-3", name="Ward 3"),
    _record(NOBODY, "Medication", "amox", code={"text": "Amoxicillin"}),
    _record(CLOSED, "Organization", "b7f3org", name="Family", contained=[_BOB_INSIDE]),
    _record(
        CLOSED,
        "Group",
        "b7f3group",
        type="person",
        actual=True,
        member=[{"entity": ANN}, {"entity": BOB}],
    ),
    _record(CLOSED, "Person", "b7f3person", link=[{"target": ANN}, {"target": BOB}]),
    _record(
        CLOSED,
        "AuditEvent",
        "b7f3audit",
        type={"code": "rest"},
        recorded="2026-01-01T00:00:00Z",
        agent=[{"requestor": True}],
        source={"observer": {"display": "x"}},
        entity=[{"what": ANN}, {"what": BOB}],
    ),
    _record(
        CLOSED,
        "Bundle",
        "b7f3bundle",
        type="collection",
        entry=[{"resource": _BOB_INSIDE}, {"resource": {"resourceType": "Patient", "id": "ann"}}],
    ),
    _record(CLOSED, "Linkage", "b7f3linkage", item=[{"type": "source", "resource": BOB}]),
]

OBSERVATIONS: Final = [
    _observation(
        OWN,
        "lab-ann",
        "laboratory",
        ANN,
        encounter={"reference": "Encounter/enc-ann"},
        performer=[{"reference": "Practitioner/nora"}],
        effectiveDateTime="2026-03-01",
    ),
    # Filed with a visit of Bob's by mistake: an include must not follow.
    _observation(
        OWN, "vital-ann", "vital-signs", ANN, encounter={"reference": "Encounter/b7f3enc"}
    ),
    _observation(OWN, "social-ann", "social-history", ANN, status="preliminary"),
    _observation(OWN, "lab-draft", "laboratory", ANN, status="preliminary"),
    _observation(OWN, "mother-ann", "survey", ANN, focus=[BOB], performer=[BOB]),
    _observation(OWN, "versioned-ann", "survey", {"reference": "Patient/ann/_history/1"}),
    _observation(
        FOREIGN,
        "b7f3lab",
        "laboratory",
        BOB,
        focus=[ANN],
        performer=[ANN],
        encounter={"reference": "Encounter/b7f3enc"},
    ),
    _observation(EVE, "b7f3evelab", "laboratory", {"reference": f"Patient/{EVE}"}),
    _observation(FOREIGN, "b7f3vital", "vital-signs", BOB),
    _observation(
        FOREIGN, "b7f3ofann", "laboratory", BOB, encounter={"reference": "Encounter/enc-ann"}
    ),
    _observation(CLOSED, "b7f3contained", "laboratory", ANN, contained=[_BOB_INSIDE]),
    _observation(
        BOTH,
        "b7f3inner",
        "laboratory",
        ANN,
        contained=[{"resourceType": "Condition", "id": "c", "subject": BOB}],
    ),
    _observation(CLOSED, "b7f3local", "laboratory", {"reference": "#p"}, contained=[_BOB_INSIDE]),
    _observation(
        CLOSED, "b7f3evil", "laboratory", {"reference": "https://evil.example/fhir/Patient/ann"}
    ),
    _observation(
        CLOSED,
        "b7f3urn",
        "laboratory",
        {"reference": "urn:uuid:0d7ab3b5-6d4c-4b4b-9d0b-6d0d1f4c2f11"},
    ),
    _observation(
        CLOSED, "b7f3ident", "laboratory", {"identifier": {"system": "urn:mrn", "value": "55501"}}
    ),
    _observation(
        CLOSED, "b7f3cond", "laboratory", {"reference": "Patient?identifier=urn:mrn|55501"}
    ),
    _observation(CLOSED, "b7f3typed", "laboratory", {"reference": "Patient/ann", "type": "Group"}),
    _observation(CLOSED, "b7f3ofgroup", "laboratory", {"reference": "Group/b7f3group"}),
    _observation(CLOSED, "b7f3nobody", "laboratory", None),
    _observation(CLOSED, "b7f3text", "laboratory", "Patient/ann"),
    _observation(BOTH, "b7f3two", "laboratory", [ANN, BOB]),
]

OTHERS: Final = [
    _record(
        OWN,
        "CareTeam",
        "team-ann",
        status="active",
        subject=ANN,
        participant=[{"member": {"reference": "Practitioner/nora"}}],
    ),
    _record(
        FOREIGN,
        "CareTeam",
        "b7f3team",
        status="inactive",
        subject=BOB,
        participant=[{"member": {"reference": "Practitioner/nora"}}, {"member": ANN}],
    ),
    _record(OWN, "Encounter", "enc-ann", status="finished", subject=ANN),
    _record(FOREIGN, "Encounter", "b7f3enc", status="finished", subject=BOB),
    _record(
        OWN,
        "Condition",
        "cond-ann",
        subject=ANN,
        code={"text": "asthma"},
        meta={"security": [LABEL]},
    ),
    _record(FOREIGN, "Condition", "b7f3condition", subject=BOB, asserter=ANN, recorder=ANN),
    _record(
        OWN,
        "MedicationRequest",
        "order-ann",
        status="active",
        intent="order",
        subject=ANN,
        medicationReference={"reference": "Medication/amox"},
    ),
    _record(
        FOREIGN,
        "MedicationRequest",
        "b7f3order",
        status="active",
        intent="order",
        subject=BOB,
        requester=ANN,
        medicationReference={"reference": "Medication/amox"},
    ),
    _record(FOREIGN, "AllergyIntolerance", "b7f3allergy", patient=BOB, recorder=ANN, asserter=ANN),
    _record(FOREIGN, "Immunization", "b7f3shot", patient=BOB, status="completed"),
    _record(FOREIGN, "Procedure", "b7f3proc", subject=BOB, status="completed", asserter=ANN),
    _record(FOREIGN, "DiagnosticReport", "b7f3report", subject=BOB, status="final"),
    _record(FOREIGN, "Consent", "b7f3consent", patient=BOB, status="active", performer=[ANN]),
    _record(FOREIGN, "DocumentReference", "b7f3doc", subject=BOB, status="current", author=[ANN]),
    _record(
        BOTH,
        "DocumentReference",
        "b7f3source",
        subject=ANN,
        status="current",
        context={"sourcePatientInfo": BOB},
    ),
    _record(
        FOREIGN,
        "Binary",
        "b7f3bin",
        contentType="text/html",
        securityContext={"reference": "DocumentReference/b7f3doc"},
    ),
    _record(CLOSED, "Binary", "b7f3loose", contentType="text/html"),
    _record(FOREIGN, "RelatedPerson", "b7f3rel", patient=BOB, identifier=[{"value": "ann"}]),
    _record(OWN, "RelatedPerson", "rel-ann", patient=ANN),
    _record(OWN, "Coverage", "cov-ann", status="active", beneficiary=ANN, subscriber=BOB),
    _record(
        FOREIGN,
        "Coverage",
        "b7f3cov",
        status="active",
        beneficiary=BOB,
        subscriber=ANN,
        policyHolder=ANN,
        payor=[ANN],
    ),
    _record(OWN, "Appointment", "appt-ann", status="booked", participant=[{"actor": ANN}]),
    _record(
        BOTH,
        "Appointment",
        "b7f3appt",
        status="booked",
        participant=[{"actor": ANN}, {"actor": BOB}],
    ),
    _record(FOREIGN, "Task", "b7f3task", status="requested", focus=ANN, owner=ANN, **{"for": BOB}),
    _record(FOREIGN, "Device", "b7f3device", patient=BOB),
    _record(BOTH, "List", "b7f3list", status="current", subject=ANN, entry=[{"item": BOB}]),
    _record(
        BOTH,
        "Composition",
        "b7f3comp",
        status="final",
        subject=ANN,
        section=[{"section": [{"entry": [BOB]}]}],
    ),
    _record(
        BOTH,
        "QuestionnaireResponse",
        "b7f3qr",
        status="completed",
        subject=ANN,
        item=[{"item": [{"answer": [{"valueReference": BOB}]}]}],
    ),
    _record(CLOSED, "Schedule", "b7f3schedule", actor=[ANN, BOB]),
    _provenance(OWN, "prov-ann", "Observation/lab-ann"),
    _provenance(FOREIGN, "b7f3prov", "Observation/b7f3lab"),
    _provenance(BOTH, "b7f3both", "Observation/lab-ann", "Observation/b7f3lab"),
    _provenance(BOTH, "b7f3people", "Patient/ann", "Patient/b7f3bob"),
]

#: In the order they were written: later versions over earlier ones.
VERSIONS: Final = [
    _flag(FOREIGN, "moved-in"),
    _flag(OWN, "moved-in"),
    _flag(OWN, "lent"),
    _flag(FOREIGN, "lent"),
    _flag(OWN, "gone-ann"),
    _flag(FOREIGN, "b7f3gone"),
    _flag(OWN, "gone-moved"),
    _flag(FOREIGN, "gone-moved"),
    _flag(FOREIGN, "gone-back"),
    _flag(OWN, "gone-back"),
]

RECORDS: Final = [*PEOPLE, *OBSERVATIONS, *OTHERS, *VERSIONS]
DELETED: Final = ("gone-ann", "b7f3gone", "gone-moved", "gone-back")


def _versions() -> dict[tuple[str, str, str], Record]:
    found: dict[tuple[str, str, str], Record] = {}
    for one in RECORDS:
        version = 1 + sum(one.key == key[:2] for key in found)
        found[*one.key, str(version)] = one
    return found


#: Each version by type, id and number.
VERSION_OF: Final = _versions()


#: Everything that is not Ann's and not everyone's.
FOREIGN_IDS: Final = sorted({one.key[1] for one in RECORDS if one.key[1].startswith("b7f3")})
_OWN_TEXT: Final = " ".join(json.dumps(one.body) for one in RECORDS if one.owner == OWN)
#: Those of them that records of Ann's refer to: they are known to who reads those.
MENTIONED: Final = frozenset(one for one in FOREIGN_IDS if f'/{one}"' in _OWN_TEXT)
