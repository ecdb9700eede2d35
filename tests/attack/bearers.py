"""Who asks: the tokens of the attacks by name, as scopes, patient in context and person behind."""

from dataclasses import dataclass
from typing import Final

from tests.attack.records import CATEGORY, EVE, FOREIGN, OWN

LAB, VITAL = f"category={CATEGORY}|laboratory", f"category={CATEGORY}|vital-signs"


@dataclass(frozen=True)
class Bearer:
    """A good token: what was granted, for which patient, to whom.

    `reach` are the patients whose records the person may open with `user/` scopes.
    """

    scope: str
    patient: str | None = OWN
    person: str = "ann"
    reach: frozenset[str] = frozenset()
    app: str = "growth-chart"


def _user(person: str, scope: str, *reach: str) -> Bearer:
    return Bearer(scope, None, person, frozenset(reach))


BEARERS: Final = {
    "ann": Bearer("openid fhirUser launch/patient patient/*.rs"),
    "all": Bearer("openid fhirUser launch/patient patient/*.cruds"),
    "observations": Bearer("patient/Observation.rs patient/Patient.r"),
    "reads": Bearer("patient/*.r"),
    "searches": Bearer("patient/*.s"),
    "creates": Bearer("patient/*.c"),
    "updates": Bearer("patient/*.u"),
    "deletes": Bearer("patient/*.d"),
    "v1 read": Bearer("patient/*.read"),
    "v1 write": Bearer("patient/*.write"),
    "identity": Bearer("openid fhirUser launch/patient"),
    "without fhirUser": Bearer("openid patient/Encounter.rs"),
    "labs": Bearer(f"patient/Observation.rs?{LAB}"),
    "labs and vitals": Bearer(f"patient/Observation.rs?{LAB} patient/Observation.rs?{VITAL}"),
    "labs r, vitals s": Bearer(f"patient/Observation.r?{LAB} patient/Observation.s?{VITAL}"),
    "final labs": Bearer(f"patient/Observation.rs?{LAB}&status=final"),
    "crossed": Bearer(
        f"patient/Observation.rs?{LAB}&status=final "
        "patient/Observation.rs?category=social-history&status=preliminary"
    ),
    "same code, other system": Bearer(
        "patient/Observation.rs?category=http://elsewhere.example|laboratory"
    ),
    "labs with visits": Bearer(f"patient/Encounter.rs patient/Observation.rs?{LAB}"),
    "writes labs": Bearer(f"patient/Observation.cruds?{LAB}"),
    "writes vitals": Bearer(f"patient/Observation.cruds?{VITAL}"),
    "no patient": Bearer("patient/*.cruds", patient=None),
    "system": Bearer("system/*.cruds"),
    "rival app": Bearer("openid fhirUser launch/patient patient/*.rs", app="rival"),
    "bob": Bearer("openid fhirUser patient/*.rs", patient=FOREIGN, person="bob"),
    "nurse": _user("nurse", "user/*.rs", OWN),
    "nurse writes": _user("nurse", "user/*.cruds", OWN),
    "stranger": _user("stranger", "user/*.rs"),
    "stranger writes": _user("stranger", "user/*.cruds"),
    "doctor": _user("doctor", "user/*.cruds", OWN, FOREIGN, EVE),
    "doctor reads labs": _user("doctor", f"user/Observation.rs?{LAB}", OWN, FOREIGN, EVE),
    "doctor for ann": Bearer("launch patient/*.rs", person="doctor"),
    "doctor reads visits": _user("doctor", "user/Encounter.rs", OWN, FOREIGN, EVE),
    "admin": _user("admin", "user/*.cruds"),
    "admin for ann": Bearer("patient/*.rs", person="admin"),
    "ann as user": _user("ann", "user/*.rs", OWN),
    "ann writes as user": _user("ann", "user/*.cruds", OWN),
}
