"""Whose record may a clinician open: every setting of D16, with a "may" and a "may not"."""

import asyncio

import pytest

from authfi.accounts import people
from authfi.accounts.models import User
from authfi.lib import outbound, tenancy
from smart import access, patient_list
from tests.access.conftest import DEMO_PATIENTS, connect, person, set_rules
from tests.cast import ADMIN, a_person
from tests.fhir_server import STATEMENT, Answer


def opened(tenant, who, *patients, vouched=None):
    """The verdicts, asked as a page asks."""
    with tenancy.bind(tenant):
        return access.openable_sync(who, patients or DEMO_PATIENTS, vouched=vouched)


def allowed(verdicts):
    return {patient for patient, verdict in verdicts.items() if verdict.allowed}


@pytest.mark.spec("D16", "G47")
def test_all_opens_every_record_and_asks_nobody(mercy):
    set_rules(mercy, "all")
    doctor = person(mercy, "doctor", fhir_user="Practitioner/123")
    verdicts = opened(mercy, doctor, "456", "nobody-yet")
    assert {verdict.rule for verdict in verdicts.values()} == {"all"}
    assert allowed(verdicts) == {"456", "nobody-yet"}
    assert asyncio.run(access.is_unbounded(mercy, doctor))


@pytest.mark.spec("D16", "G47")
def test_care_team_opens_the_records_of_ones_own_patients_only(hospital):
    nurse = person(hospital, "nurse", fhir_user="Practitioner/456")
    verdicts = opened(hospital, nurse)
    assert allowed(verdicts) == {"456", "789", "790", "1002"}
    assert verdicts["789"].reason == "The person is on the patient's care team."
    assert verdicts["1001"] == access.Verdict(
        False, "care-team", "Nothing ties the person to this patient."
    )
    assert not asyncio.run(access.is_unbounded(hospital, nurse))
