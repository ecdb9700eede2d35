"""The account page speaks to a patient in grade-6 words (C1, D17)."""

import pytest

from smart.account import wording
from smart.scopes.describe import Reader
from tests.consent.readability import grade, longest_sentence

PROSE = (
    *("lead", "empty_hint", "remembered_hint", "end_lead", "end_kept", "end_care"),
    *(
        "forget_lead",
        "change_lead",
        "change_hint",
        "done_changed",
        "done_ended",
        "one_by_one",
        "sensitive_note",
    ),
)


@pytest.mark.spec("C1", "D17")
@pytest.mark.parametrize("name", PROSE)
def test_every_patient_paragraph_reads_at_grade_six(name):
    text = wording.page(Reader.PATIENT)[name]
    assert grade(text) <= 6.0
    assert longest_sentence(text) <= 18


def test_both_readers_have_every_word():
    assert wording.page(Reader.PATIENT).keys() == wording.page(Reader.CLINICIAN).keys()
