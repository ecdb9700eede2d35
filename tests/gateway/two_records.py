"""A small hospital of hand-made records, where every version and every foreign hook is known.

Ann is the patient of the tokens. What is Bob's has a name that no answer to her may show.
"""

from typing import Any

from tests.sandbox.conftest import Sandbox

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
HIDDEN = [b"Secretive", b"Patient/bob", b"obs-bob", b"prov-bob", b"prov-both"]
ANN, BOB = {"reference": "Patient/ann"}, {"reference": "Patient/bob"}


def resource(kind: str, number: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": number, **members}


def observation(number: str, whose: dict[str, str], category: str, **more: Any) -> dict[str, Any]:
    coding = [{"system": CATEGORY, "code": category}]
    return resource(
        "Observation",
        number,
        status="final",
        category=[{"coding": coding}],
        code={"coding": [{"system": "http://loinc.org", "code": "718-7"}], "text": "Secretive"}
        if whose is BOB
        else {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        subject=whose,
        **more,
    )


def flag(number: str, whose: dict[str, str]) -> dict[str, Any]:
    text = "Secretive" if whose is BOB else "falls easily"
    return resource("Flag", number, status="active", code={"text": text}, subject=whose)


def provenance(number: str, *targets: str) -> dict[str, Any]:
    return resource(
        "Provenance",
        number,
        target=[{"reference": one} for one in targets],
        recorded="2026-01-01T00:00:00Z",
        agent=[{"who": {"reference": "Practitioner/nora"}}],
    )


RESOURCES: list[dict[str, Any]] = [
    resource("Patient", "ann", name=[{"family": "Lind", "given": ["Ann"]}], gender="female"),
    resource("Patient", "bob", name=[{"family": "Secretive"}], gender="male"),
    resource("Practitioner", "nora", name=[{"family": "Nord"}]),
    resource("Practitioner", "dov", name=[{"family": "Dahl"}]),
    resource(
        "CareTeam",
        "ct-ann",
        status="active",
        subject=ANN,
        participant=[{"member": {"reference": "Practitioner/nora"}}],
    ),
    resource("Encounter", "enc-ann", status="finished", subject=ANN),
    resource(
        "Encounter",
        "enc-bob",
        status="finished",
        subject=BOB,
        reasonCode=[{"text": "Secretive"}],
    ),
    observation(
        "lab-ann",
        ANN,
        "laboratory",
        encounter={"reference": "Encounter/enc-ann"},
        performer=[{"reference": "Practitioner/nora"}],
        text={"status": "generated", "div": "<div>x</div>"},
        valueQuantity={"value": 13.5},
    ),
    observation("vital-ann", ANN, "vital-signs", encounter={"reference": "Encounter/enc-bob"}),
    observation("obs-bob", BOB, "laboratory", focus=[ANN]),
    provenance("prov-ann", "Observation/lab-ann"),
    provenance("prov-both", "Observation/lab-ann", "Observation/obs-bob"),
    provenance("prov-bob", "Observation/obs-bob"),
    provenance("prov-old", "Observation/lab-ann", "Observation/no-longer-there"),
    provenance("prov-two", "Observation/lab-ann", "Encounter/enc-ann"),
    flag("moved-in", BOB),
    flag("moved-in", ANN),
    flag("lent", ANN),
    flag("lent", BOB),
    flag("gone-ann", ANN),
    flag("gone-bob", BOB),
    flag("gone-moved", ANN),
    flag("gone-moved", BOB),
]
DELETED = ("gone-ann", "gone-bob", "gone-moved")


def fill(sandbox: Sandbox) -> None:
    """Write all versions, the later ones over the earlier, and delete what is to be gone."""
    for one in RESOURCES:
        reply = sandbox.call("PUT", f"/{one['resourceType']}/{one['id']}", one)
        assert reply.status in (200, 201), reply.content
    for number in DELETED:
        assert sandbox.call("DELETE", f"/Flag/{number}").status == 204
