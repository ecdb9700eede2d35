"""Who lives in the synthetic hospitals: staff, places and patients, all invented."""

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    NPI,
    NUCC,
    coding,
    concept,
    reference,
    resource,
    term,
)

INTERNIST = ("207R00000X", "Internal Medicine Physician")
NURSE = ("163W00000X", "Registered Nurse")
_FAMILY_DOCTOR = ("207Q00000X", "Family Medicine Physician")
_CARDIOLOGIST = ("207RC0000X", "Cardiovascular Disease Physician")
_ENDOCRINOLOGIST = (
    "207RE0101X",
    "Endocrinology, Diabetes & Metabolism Physician",
)


@dataclass(frozen=True)
class Staff:
    """A practitioner; without an NPI one is made that no real person can have."""

    id: str
    family: str
    given: str
    gender: str
    specialty: tuple[str, str]
    npi: str = ""


@dataclass(frozen=True)
class Person:
    """A patient and what the record is generated from."""

    id: str
    family: str
    given: str
    gender: str
    birth: date
    mrn: str
    diseases: tuple[str, ...] = ()
    email: str = ""
    partner: str = ""


@dataclass(frozen=True)
class Cast:
    """One hospital's people before they become resources."""

    slug: str
    name: str
    city: str
    staff: tuple[Staff, ...]
    named: tuple[Person, ...]
    generated_ids: range
    families: str
    first_mrn: int


@dataclass
class Hospital:
    """The resources that belong to no single patient, for others to refer to."""

    organization: Resource
    payer: Resource
    wards: list[Resource]
    practitioners: list[Resource]
    others: list[Resource] = field(default_factory=list)

    def resources(self) -> list[Resource]:
        """All of them, what is referred to first."""
        return [
            self.organization,
            self.payer,
            *self.wards,
            *self.practitioners,
            *self.others,
        ]

    def doctors(self) -> list[Resource]:
        """Practitioners who are not nurses."""
        return [p for p in self.practitioners if p["qualification"][0]["code"]["text"] != NURSE[1]]

    def nurse(self) -> Resource:
        """The first nurse."""
        return next(p for p in self.practitioners if p not in self.doctors())


_WOMEN = "Ada Beatriz Carmen Dolores Edith Freya Greta Hana Ines Joan Kamala Leona"
_MEN = "Albert Boris Cyril Dario Emil Felix Gustav Hugo Ivan Jonas Karim Leo"
_DISEASE_SETS: tuple[tuple[str, ...], ...] = (
    ("hypertension", "lipids"),
    ("diabetes", "hypertension", "obesity"),
    ("asthma",),
    ("thyroid",),
    ("depression", "reflux"),
    ("diabetes", "hypertension", "kidney", "lipids"),
    ("copd", "hypertension"),
    ("fibrillation", "hypertension"),
    ("anemia",),
    (),
)
_OLDEST_AT = {"kidney", "copd", "fibrillation", "diabetes"}

CASTS = {
    "general-hospital": Cast(
        "general-hospital",
        "General Hospital",
        "Fairhaven",
        (
            Staff("123", "Smith", "Anna", "female", INTERNIST, "1234567890"),
            Staff("456", "Jones", "Peter", "male", NURSE, "0987654321"),
            Staff("124", "Okonkwo", "Chidi", "male", _CARDIOLOGIST),
            Staff("125", "Lindqvist", "Maja", "female", _ENDOCRINOLOGIST),
            Staff("126", "Tanaka", "Kenji", "male", _FAMILY_DOCTOR),
            Staff("127", "Moreau", "Claire", "female", NURSE),
        ),
        (
            Person(
                "456",
                "Ellis",
                "Margaret",
                "female",
                date(1958, 3, 14),
                "12344",
                ("diabetes", "hypertension", "kidney", "lipids"),
                "margaret.ellis@example.com",
                "Walter Ellis",
            ),
            Person(
                "789",
                "Doe",
                "John",
                "male",
                date(1979, 7, 22),
                "12345",
                ("hypertension", "lipids"),
                "john.doe@email.com",
                "Jane Doe",
            ),
            Person(
                "790",
                "Doe",
                "Jane",
                "female",
                date(1982, 11, 5),
                "12346",
                ("asthma", "thyroid", "depression"),
                "jane.doe@email.com",
                "John Doe",
            ),
        ),
        range(1001, 1023),
        (
            "Abara Bergstrom Castellan Drummond Eskildsen Farrow Gilchrist Hawthorne Ibanez "
            "Jaworski Kessler Lombardi Mbeki Novak Oduya Pettersen Quigley Rosario Sandoval "
            "Thorne Umarov Vasquez"
        ),
        20001,
    ),
    "lakeside-clinic": Cast(
        "lakeside-clinic",
        "Lakeside Clinic",
        "Millbrook",
        (
            Staff("123", "Adeyemi", "Folake", "female", _FAMILY_DOCTOR),
            Staff("456", "Brandt", "Lukas", "male", NURSE),
            Staff("201", "Chaudhry", "Nadia", "female", INTERNIST),
        ),
        (
            Person("456", "Whitlock", "Graham", "male", date(1966, 5, 2), "70001", ("asthma",)),
            Person("789", "Ferreira", "Luisa", "female", date(1991, 9, 30), "70002", ("anemia",)),
            Person("790", "Nystrom", "Oskar", "male", date(1950, 1, 17), "70003", ("copd",)),
        ),
        range(2001, 2010),
        "Aldana Birch Corrigan Dahl Everly Fontaine Grady Hollis Iverson",
        70101,
    ),
}


def patients_of(cast: Cast) -> list[Person]:
    """The named patients, then the generated ones; the same on every call."""
    return [*cast.named, *(_generate_person(cast, number) for number in cast.generated_ids)]


def _generate_person(cast: Cast, number: int) -> Person:
    chance = random.Random(f"{cast.slug}/person/{number}")
    index = number - cast.generated_ids.start
    gender = "female" if index % 2 else "male"
    diseases = _DISEASE_SETS[index % len(_DISEASE_SETS)]
    age = chance.randint(58, 82) if _OLDEST_AT & set(diseases) else chance.randint(24, 62)
    given = chance.choice((_WOMEN if gender == "female" else _MEN).split())
    family = cast.families.split()[index]
    return Person(
        str(number),
        family,
        given,
        gender,
        date(2025 - age, chance.randint(1, 12), chance.randint(1, 28)),
        str(cast.first_mrn + index),
        diseases,
        f"{given}.{family}@example.com".lower(),
        f"Robin {family}" if index % 4 == 0 else "",
    )


def hospital_of(cast: Cast, anchor: datetime) -> Hospital:
    """Organisations, wards, practitioners and their roles."""
    updated = anchor - timedelta(days=1200)
    organization = resource(
        "Organization",
        cast.slug,
        updated,
        "us-core-organization",
        active=True,
        type=[term("organization-type", "prov", "Healthcare Provider")],
        name=cast.name,
        telecom=[{"system": "phone", "value": "555-0100", "use": "work"}],
        address=[_address(cast, "1 Harbor Road")],
    )
    payer = resource(
        "Organization",
        f"{cast.slug}-payer",
        updated,
        "us-core-organization",
        active=True,
        type=[term("organization-type", "pay", "Payer")],
        name="Commonwealth Mutual Health Plan",
    )
    wards = [
        _ward(cast, organization, code, name, updated)
        for code, name in (("ward", "Medical ward"), ("clinic", "Outpatient clinic"))
    ]
    practitioners = [_practitioner(staff, updated) for staff in cast.staff]
    hospital = Hospital(organization, payer, wards, practitioners)
    for staff, practitioner in zip(cast.staff, practitioners, strict=True):
        hospital.others.append(_role(staff, practitioner, hospital, updated))
    return hospital


def _address(cast: Cast, line: str) -> dict[str, Any]:
    return {
        "use": "home",
        "line": [line],
        "city": cast.city,
        "state": "MA",
        "postalCode": "02099",
        "country": "US",
    }


def _ward(cast: Cast, organization: Resource, code: str, name: str, updated: datetime) -> Resource:
    return resource(
        "Location",
        f"{cast.slug}-{code}",
        updated,
        "us-core-location",
        status="active",
        name=f"{cast.name}, {name}",
        mode="instance",
        address=_address(cast, "1 Harbor Road"),
        managingOrganization=reference(organization),
    )


def _practitioner(staff: Staff, updated: datetime) -> Resource:
    # US Core asks for a valid check digit, which given numbers may lack.
    profile = "" if staff.npi else "us-core-practitioner"
    prefix = [] if staff.specialty == NURSE else ["Dr."]
    return resource(
        "Practitioner",
        staff.id,
        updated,
        profile,
        identifier=[{"system": NPI, "value": staff.npi or make_npi(staff.id)}],
        active=True,
        name=[
            {
                "use": "official",
                "text": " ".join([*prefix, staff.given, staff.family]),
                "family": staff.family,
                "given": [staff.given],
                **({"prefix": prefix} if prefix else {}),
            }
        ],
        gender=staff.gender,
        qualification=[{"code": concept(coding(NUCC, *staff.specialty))}],
    )


def _role(staff: Staff, practitioner: Resource, hospital: Hospital, updated: datetime) -> Resource:
    return resource(
        "PractitionerRole",
        f"role-{staff.id}",
        updated,
        "us-core-practitionerrole",
        active=True,
        practitioner=reference(practitioner),
        organization=reference(hospital.organization),
        specialty=[concept(coding(NUCC, *staff.specialty))],
        location=[reference(ward) for ward in hospital.wards],
        telecom=[{"system": "phone", "value": "555-0100", "use": "work"}],
    )


def make_npi(staff_id: str) -> str:
    """An NPI with a right check digit, in the range from 2 that is not handed out yet.

    The check digit is Luhn's over 80840 and the number (45 CFR 162.406).
    """
    digits = f"2{int(staff_id):08d}"
    total = 24  # what the constant prefix 80840 adds
    for place, digit in enumerate(int(sign) for sign in reversed(digits)):
        total += digit if place % 2 else sum(divmod(2 * digit, 10))
    return f"{digits}{-total % 10}"


def patient_resource(cast: Cast, person: Person, hospital: Hospital, doctor: Resource) -> Resource:
    """The Patient resource."""
    chance = random.Random(f"{cast.slug}/address/{person.id}")
    updated = datetime.fromisoformat(hospital.organization["meta"]["lastUpdated"])
    telecom = [
        {"system": "phone", "value": f"555-01{chance.randint(10, 99)}", "use": "mobile"},
        *([{"system": "email", "value": person.email}] if person.email else []),
    ]
    street = chance.choice(("Alder", "Birch", "Cedar", "Elm", "Juniper", "Maple"))
    return resource(
        "Patient",
        person.id,
        updated,
        "us-core-patient",
        identifier=[
            {
                "use": "usual",
                "type": term("v2-0203", "MR", "Medical record number"),
                "system": f"https://{cast.slug}.example/mrn",
                "value": person.mrn,
                "assigner": reference(hospital.organization),
            }
        ],
        active=True,
        name=[
            {
                "use": "official",
                "text": f"{person.given} {person.family}",
                "family": person.family,
                "given": [person.given],
            }
        ],
        telecom=telecom,
        gender=person.gender,
        birthDate=person.birth.isoformat(),
        address=[_address(cast, f"{chance.randint(2, 98)} {street} Street")],
        communication=[
            {
                "language": concept(coding("urn:ietf:bcp:47", "en-US", "English (United States)")),
                "preferred": True,
            }
        ],
        generalPractitioner=[reference(doctor)],
        managingOrganization=reference(hospital.organization),
    )


def related_person(person: Person, patient: Resource) -> Resource:
    """The partner, as RelatedPerson."""
    given, _, family = person.partner.partition(" ")
    return resource(
        "RelatedPerson",
        f"rel-{person.id}",
        datetime.fromisoformat(patient["meta"]["lastUpdated"]),
        "us-core-relatedperson",
        active=True,
        patient=reference(patient),
        relationship=[term("v3-RoleCode", "SPS", "spouse")],
        name=[{"text": person.partner, "family": family, "given": [given]}],
        telecom=[{"system": "phone", "value": f"555-01{int(person.id) % 90 + 10}"}],
    )
